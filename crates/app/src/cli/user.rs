//! `tertulia user`: accounts, for who has the machine but perhaps no admin's password.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::sync::Arc;

use adapters_db::Migrations;
use adapters_limits::MemorySignInThrottle;
use clap::{Args, Subcommand};
use domain::{Password, Role, User};
use services::{AccountChange, AccountService};

use super::shared_with_server;
use crate::config::Config;
use crate::start_error::StartError;

/// Make and manage accounts, without a server
///
/// A server that runs beside it on the same database sees the change at once. Every change is noted in the audit log.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct UserCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make an account, whatever REGISTRATION says; the very first one is an admin
    ///
    /// The password is asked for on the terminal, or read as one line from standard input. It is never an argument: other users of
    /// this machine can read those.
    Create(Named),
    /// Make an account an admin
    Promote(Named),
    /// Make an admin an ordinary user
    Demote(Named),
    /// Shut an account out, and end its sessions
    Disable(Named),
    /// Let an account in again
    Enable(Named),
    /// Print a code by which the account's owner sets a new password within an hour (POST /auth/password-reset)
    ResetPassword(Named),
}

#[derive(Debug, Args)]
struct Named {
    /// The account's name
    name: String,
}

const EXAMPLES: &str = "\
Examples:
  tertulia user create ana
  echo \"$PASSWORD\" | tertulia user create ana
  tertulia user promote ana
  tertulia user reset-password ana";

impl UserCommand {
    pub(super) async fn run(self, config: Config) -> Result<(), StartError> {
        let shared = shared_with_server(&config, Migrations::Run)?;
        // Nobody guesses passwords on the command line.
        let throttle = Arc::new(MemorySignInThrottle::new(1));
        let accounts = shared.accounts(&config.accounts, throttle);
        let (name, change) = match self.action {
            Action::Create(Named { name }) => return create(&accounts, name).await,
            Action::ResetPassword(Named { name }) => return reset_password(&accounts, &name).await,
            Action::Promote(Named { name }) => (name, role(Role::Admin)),
            Action::Demote(Named { name }) => (name, role(Role::User)),
            Action::Disable(Named { name }) => (name, disabled(true)),
            Action::Enable(Named { name }) => (name, disabled(false)),
        };
        print_user(&accounts.change_by_name(&name, change).await?);
        Ok(())
    }
}

const fn role(role: Role) -> AccountChange {
    AccountChange { role: Some(role), disabled: None }
}

const fn disabled(disabled: bool) -> AccountChange {
    AccountChange { role: None, disabled: Some(disabled) }
}

async fn create(accounts: &AccountService, name: String) -> Result<(), StartError> {
    let password = tokio::task::spawn_blocking(read_password).await;
    let password = password.map_err(|error| StartError::System(error.to_string()))??;
    let user = accounts.create(name, password).await?;
    print_user(&user);
    Ok(())
}

async fn reset_password(accounts: &AccountService, name: &str) -> Result<(), StartError> {
    let issued = accounts.issue_password_reset_by_name(name).await?;
    let _ = writeln!(std::io::stdout(), "{}", issued.code);
    let _ = writeln!(std::io::stderr(), "valid once, until {}", issued.record.expires_at.format("%Y-%m-%d %H:%M UTC"));
    Ok(())
}

fn print_user(user: &User) {
    let state = if user.disabled { "disabled" } else { "enabled" };
    let _ = writeln!(std::io::stdout(), "{} {} {state}", user.username.as_str(), user.role.as_str());
}

/// From the terminal, twice and unseen; otherwise one line of standard input, read no further than a password may be long.
fn read_password() -> Result<String, StartError> {
    let unreadable = |error: std::io::Error| StartError::System(format!("cannot read a password: {error}"));
    if std::io::stdin().is_terminal() {
        let ask = |prompt| rpassword::prompt_password(prompt).map_err(unreadable);
        let password = ask("Password: ")?;
        if ask("Again: ")? != password {
            return Err(StartError::System("the two passwords are not the same".to_owned()));
        }
        return Ok(password);
    }
    // The password, one byte too many, and the end of the line.
    let most_bytes = u64::try_from(Password::MAX_BYTES).unwrap_or(u64::MAX).saturating_add(3);
    let mut line = String::new();
    std::io::stdin().lock().take(most_bytes).read_line(&mut line).map_err(unreadable)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
