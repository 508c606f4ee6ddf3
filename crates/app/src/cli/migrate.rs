//! `tertulia migrate`: the database's tables, brought up to date without serving.

use std::io::Write as _;

use adapters_db::Migrations;
use clap::Args;

use crate::config::Config;
use crate::start_error::StartError;
use crate::{telemetry, wiring};

/// Bring the database's tables up to date, and stop
///
/// `serve` does this by itself; where it must not (`serve --no-migrate`), run this before a new version starts. All that is pending
/// runs in one transaction, so a failure changes nothing.
#[derive(Debug, Args)]
pub(super) struct Migrate {}

impl Migrate {
    #[expect(clippy::unused_self, reason = "every command is run as a value")]
    pub(super) fn run(self, config: &Config) -> Result<(), StartError> {
        let mut logs = telemetry::start(&config.log)?;
        wiring::database::check(config, Migrations::Run)?;
        logs.release()?;
        wiring::data_dir::make(&config.data_dir)?;
        let done = wiring::database::migrate(config)?;
        let mut out = std::io::stdout();
        for name in &done {
            let _ = writeln!(out, "migrated {name}");
        }
        let _ = writeln!(out, "{} is up to date", config.database.url);
        Ok(())
    }
}
