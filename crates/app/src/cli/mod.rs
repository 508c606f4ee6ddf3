//! The command line: one file a command.

mod audit;
mod generate;
mod healthcheck;
mod migrate;
mod models;
mod openapi;
mod serve;
mod user;

use std::sync::Arc;

use adapters_db::Migrations;
use clap::{Parser, Subcommand};

use crate::config::{Config, Source};
use crate::start_error::StartError;
use crate::system::BackgroundTasks;
use crate::wiring::{self, Shared};

/// A self-hosted server for generated text.
#[derive(Debug, Parser)]
#[command(name = "tertulia", version, about, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tertulia generate \"Once upon a time\"        write a text to the terminal, without a server or an account
  tertulia serve                              serve the API on http://127.0.0.1:8000, its documentation on /docs
  PORT=9000 DATA_DIR=/srv/texts tertulia serve
  DATABASE_URL=postgres://ana:secret@localhost/texts tertulia migrate
  tertulia openapi > openapi.json
  tertulia user create ana                    make an account; also: promote, demote, disable, enable, reset-password
  tertulia models pull gpt2                   fetch a model of the Hugging Face hub; also: list, remove
  tertulia audit verify                       check that nobody changed the audit log
  tertulia healthcheck                        ask a running server whether it lives

Settings come from the environment and from a file .env in the working directory, which the environment overrides.
The project's .env.template lists every one with its default and its meaning; those most often changed are
  HOST PORT DATA_DIR DATABASE_URL LLM_ID SECRET_KEY LOG_LEVEL LOG_FORMAT

Exit codes: 0 done; 1 could not be done, with the reason in one line on standard error; 2 not a command.";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Migrate(migrate::Migrate),
    Generate(Box<generate::Generate>),
    Openapi(openapi::OpenApi),
    User(user::UserCommand),
    Audit(audit::Audit),
    Healthcheck(healthcheck::Healthcheck),
    Models(models::Models),
}

impl Cli {
    /// Does what was asked for.
    pub(crate) fn run(self) -> Result<(), StartError> {
        match self.command {
            // The document is the same whatever the settings are, also where they are wrong.
            Command::Openapi(command) => command.run(),
            Command::Serve(command) => on_runtime(command.run(settings()?)),
            Command::Migrate(command) => command.run(&settings()?),
            Command::Generate(command) => on_runtime(command.run(settings()?)),
            Command::User(command) => on_runtime(command.run(settings()?)),
            Command::Audit(command) => on_runtime(command.run(settings()?)),
            Command::Healthcheck(command) => on_runtime(command.run(settings()?)),
            Command::Models(command) => on_runtime(command.run(settings()?)),
        }
    }
}

fn settings() -> Result<Config, StartError> {
    Ok(Config::read(&Source::of_this_process()?)?)
}

/// What a command without a server needs of what the server stands on. Blocks; a server may be running on the same database.
fn shared_with_server(config: &Config, migrations: Migrations) -> Result<Shared, StartError> {
    wiring::database::check(config, migrations)?;
    if migrations == Migrations::Run {
        wiring::data_dir::make(&config.data_dir)?;
    }
    let background = Arc::new(BackgroundTasks::on_this_runtime());
    Shared::new(config, &wiring::database::open(config, migrations)?, background)
}

fn on_runtime(command: impl Future<Output = Result<(), StartError>>) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| StartError::System(format!("cannot start threads: {error}")))?;
    let result = runtime.block_on(command);
    // A blocking task that hangs must not keep the process: what matters was awaited by the command.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_teaches_by_example() {
        let help = Cli::command().render_long_help().to_string();
        for command in ["serve", "migrate", "generate", "openapi", "user", "audit", "models", "healthcheck"] {
            assert!(help.contains(&format!("tertulia {command}")), "{help}");
        }
    }
}
