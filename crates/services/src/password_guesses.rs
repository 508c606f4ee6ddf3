//! Growing waits for accounts and addresses that keep giving wrong passwords: to sign in, and where a password is asked for again.

use std::sync::Arc;
use std::time::Duration;

use domain::{Email, ThrottlePolicy, ThrottleWait, UserId, counted_address};
use ports::SignInThrottle;

use crate::ServiceError;

/// Ten failures of an account within 15 minutes, then waits that double from two seconds.
const PER_ACCOUNT: ThrottlePolicy =
    ThrottlePolicy { free_failures: 10, window: Duration::from_mins(15), first_wait: Duration::from_secs(2) };

/// A hundred of an address, or of a network of IPv6: a school shares one.
const PER_ADDRESS: ThrottlePolicy = ThrottlePolicy { free_failures: 100, ..PER_ACCOUNT };

/// Whom an attempt counts against, in the forms that the throttle keeps.
pub(crate) struct Attempt {
    account: String,
    address: Option<String>,
}

/// Whose password is guessed. An account has one ladder of waits, however it is called: by its name, or by its address in any spelling.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Guessed<'a> {
    /// An account's.
    Account(UserId),
    /// Nobody's who is called so. It counts like an account, so that the answer does not tell.
    Nobody(&'a str),
}

/// An attempt that must wait.
pub(crate) struct Throttled {
    /// What its caller is told.
    pub(crate) error: ServiceError,
    /// Whether the wait has turned nobody away before.
    pub(crate) is_first: bool,
}

/// Whoever compares a password counts the attempt here first.
#[derive(Clone)]
pub(crate) struct PasswordGuesses {
    throttle: Arc<dyn SignInThrottle>,
}

impl PasswordGuesses {
    pub(crate) fn new(throttle: Arc<dyn SignInThrottle>) -> Self {
        Self { throttle }
    }

    /// Counts an attempt against the account and the address, or refuses it because one of them must wait.
    pub(crate) async fn begin(&self, guessed: Guessed<'_>, address: Option<&str>) -> Result<Attempt, Throttled> {
        let attempt = Attempt {
            account: guessed.subject(),
            address: address.map(|address| format!("address:{}", counted_address(address))),
        };
        if let Some(address) = &attempt.address {
            self.throttle.attempt(address, PER_ADDRESS).await.map_err(throttled)?;
        }
        if let Err(wait) = self.throttle.attempt(&attempt.account, PER_ACCOUNT).await {
            if let Some(address) = &attempt.address {
                self.throttle.forgive(address, PER_ADDRESS).await;
            }
            return Err(throttled(wait));
        }
        Ok(attempt)
    }

    /// The attempt succeeded: the account starts anew, the address is forgiven this one.
    pub(crate) async fn succeeded(&self, attempt: Attempt) {
        self.throttle.clear(&attempt.account).await;
        if let Some(address) = attempt.address {
            self.throttle.forgive(&address, PER_ADDRESS).await;
        }
    }

    /// The attempt was never judged (the server was too busy): nobody is to blame.
    pub(crate) async fn withdrawn(&self, attempt: Attempt) {
        self.throttle.forgive(&attempt.account, PER_ACCOUNT).await;
        if let Some(address) = attempt.address {
            self.throttle.forgive(&address, PER_ADDRESS).await;
        }
    }
}

impl Guessed<'_> {
    /// What the throttle knows it by. Nobody's name is no account's identifier.
    fn subject(self) -> String {
        match self {
            Self::Account(id) => format!("account:{id}"),
            Self::Nobody(login) => {
                let login: String = login.chars().take(Email::MAX_BYTES).collect();
                format!("login:{}", if login.contains('@') { Email::folded(&login) } else { login })
            }
        }
    }
}

fn throttled(wait: ThrottleWait) -> Throttled {
    let seconds = wait.duration.as_millis().div_ceil(1000);
    let retry_after_seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    Throttled { error: ServiceError::SignInThrottled { retry_after_seconds }, is_first: wait.is_first }
}
