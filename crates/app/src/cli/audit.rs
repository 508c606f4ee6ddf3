//! `tertulia audit`: whether the audit log is what was written.

use std::io::Write as _;

use adapters_db::Migrations;
use clap::{Args, Subcommand};
use ports::AuditVerdict;

use super::shared_with_server;
use crate::config::Config;
use crate::start_error::StartError;

/// Check the audit log, without a server
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Audit {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check that no event was changed, removed or slipped in
    ///
    /// Every event carries the hash of the one before it; the first that does not fit is named, and the exit code is 1. A server may run
    /// meanwhile.
    Verify,
}

const EXAMPLES: &str = "\
Examples:
  tertulia audit verify
  tertulia audit verify || mail -s 'The audit log was tampered with' admin@example.org < /dev/null";

impl Audit {
    pub(super) async fn run(self, config: Config) -> Result<(), StartError> {
        let Self { action: Action::Verify } = self;
        match shared_with_server(&config, Migrations::Refuse)?.audit().verify().await? {
            AuditVerdict::Intact { events } => {
                let _ = writeln!(std::io::stdout(), "intact: {events} events");
                Ok(())
            }
            AuditVerdict::Broken { sequence, problem } => Err(StartError::AuditBroken { sequence, problem }),
        }
    }
}
