//! Tokens a day: reserved before a generation, settled after it, at its abort and, by their expiry, after a crash.

use std::sync::Arc;

use domain::{Timestamp, TokenQuota, TokenReservation, TokensOfDay};
use ports::{Background, ReservationOutcome, TokenQuotaStore};

use super::LimitService;
use crate::{Caller, Credential, ServiceError};

/// A user's tokens of today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaUsage {
    /// Tokens so far.
    pub tokens: TokensOfDay,
    /// How many there may be; `None` is without limit.
    pub quota: Option<u64>,
    /// When the next day begins (UTC).
    pub resets_at: Timestamp,
}

/// Tokens that are set aside. They are given back, less what was used by then, when this is dropped.
pub struct TokenHold {
    /// `None` once settled.
    held: Option<(TokenReservation, Arc<dyn TokenQuotaStore>)>,
    background: Arc<dyn Background>,
    used_tokens: u32,
}

impl TokenHold {
    /// Notes how many tokens were used so far.
    pub fn used(&mut self, tokens: u32) {
        self.used_tokens = tokens;
    }

    /// Ends the hold and waits until that is kept.
    pub async fn settle(mut self, used_tokens: u32) -> Result<(), ServiceError> {
        let Some((reservation, store)) = self.held.take() else { return Ok(()) };
        store.settle(reservation.id, used_tokens).await.map_err(ServiceError::Store)
    }
}

impl Drop for TokenHold {
    fn drop(&mut self) {
        let Some((reservation, store)) = self.held.take() else { return };
        let used_tokens = self.used_tokens;
        self.background.spawn(Box::pin(async move {
            if let Err(error) = store.settle(reservation.id, used_tokens).await {
                tracing::error!(reservation_id = %reservation.id, %error, "reserved tokens could not be settled; they expire");
            }
        }));
    }
}

impl LimitService {
    /// Sets tokens aside for a generation, or refuses with [`ServiceError::QuotaExceeded`] and sets nothing aside.
    pub async fn hold_tokens(&self, caller: &Caller, tokens: u32) -> Result<TokenHold, ServiceError> {
        let effective = self.effective(caller).await?;
        let quota = TokenQuota {
            user: quota(effective.user.tokens_per_day.or(self.defaults.tokens_per_day)),
            api_key: quota(effective.api_key.tokens_per_day),
        };
        let now = self.ports.clock.now();
        let api_key_id = match &caller.credential {
            Credential::ApiKey { id, .. } => Some(*id),
            Credential::Session(_) => None,
        };
        let reservation = TokenReservation {
            id: self.ports.randomness.uuid_v7(),
            user_id: caller.user.id,
            api_key_id,
            tokens,
            day: now.date_naive(),
            expires_at: now + self.defaults.reservation_lifetime,
        };
        let outcome = self.ports.tokens.reserve(reservation, quota).await.map_err(ServiceError::Store)?;
        match outcome {
            ReservationOutcome::Reserved => {
                let held = Some((reservation, Arc::clone(&self.ports.tokens)));
                Ok(TokenHold { held, background: Arc::clone(&self.ports.background), used_tokens: 0 })
            }
            ReservationOutcome::Exceeded { quota, tokens: so_far } => Err(ServiceError::QuotaExceeded {
                quota,
                tokens: so_far,
                asked: tokens,
                resets_in_seconds: seconds_to_midnight(now),
            }),
        }
    }

    /// What the caller used today, and may use.
    pub async fn usage(&self, caller: &Caller) -> Result<QuotaUsage, ServiceError> {
        let effective = self.effective(caller).await?;
        let now = self.ports.clock.now();
        let tokens = self.ports.tokens.of_user(caller.user.id, now.date_naive()).await.map_err(ServiceError::Store)?;
        let quota = quota(effective.user.tokens_per_day.or(self.defaults.tokens_per_day));
        Ok(QuotaUsage { tokens, quota, resets_at: next_midnight(now) })
    }

    /// Gives back what processes that died had set aside. To be called at the start and from time to time.
    pub async fn release_expired(&self) -> Result<u64, ServiceError> {
        self.ports.tokens.release_expired(self.ports.clock.now()).await.map_err(ServiceError::Store)
    }
}

/// 0 is without limit, as in the settings.
fn quota(tokens_per_day: Option<u64>) -> Option<u64> {
    tokens_per_day.filter(|tokens| *tokens > 0)
}

fn next_midnight(now: Timestamp) -> Timestamp {
    // Nobody lives to see the last day that can be told.
    let tomorrow = now.date_naive().succ_opt().and_then(|day| day.and_hms_opt(0, 0, 0));
    tomorrow.map_or(now, |midnight| midnight.and_utc())
}

/// Rounded up: who waits so long does not come too early.
fn seconds_to_midnight(now: Timestamp) -> u32 {
    let milliseconds = (next_midnight(now) - now).num_milliseconds();
    u32::try_from(milliseconds).map_or(1, |milliseconds| milliseconds.div_ceil(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_midnight_to_the_second() {
        let now: Timestamp = "2026-11-21T23:59:57.250Z".parse().unwrap();
        assert_eq!(next_midnight(now), "2026-11-22T00:00:00Z".parse::<Timestamp>().unwrap());
        assert_eq!(seconds_to_midnight(now), 3);
        assert_eq!(seconds_to_midnight("2026-11-21T00:00:00Z".parse().unwrap()), 86_400);
    }
}
