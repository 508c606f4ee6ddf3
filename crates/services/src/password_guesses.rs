//! Growing waits for accounts and addresses that keep giving wrong passwords: to sign in, and where a password is asked for again.

use std::sync::Arc;
use std::time::Duration;

use domain::{ThrottlePolicy, counted_address};
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
    ///
    /// A name counts whether it has an account or not, so that the answer does not tell.
    pub(crate) async fn begin(&self, login: &str, address: Option<&str>) -> Result<Attempt, ServiceError> {
        let attempt = Attempt {
            account: format!("account:{}", login.chars().take(254).collect::<String>()),
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

fn throttled(wait: Duration) -> ServiceError {
    let seconds = wait.as_millis().div_ceil(1000);
    ServiceError::SignInThrottled { retry_after_seconds: u32::try_from(seconds).unwrap_or(u32::MAX) }
}
