//! Tokens a day. Where a quota applies they are reserved before a generation and settled after it, at its abort and, by their expiry, after
//! a crash. Where none does, nothing can be exceeded: what was used is counted at the end, and nothing is written before the first word.

use std::sync::Arc;

use domain::{ApiKeyId, Timestamp, TokenQuota, TokenReservation, TokensOfDay};
use ports::{Background, ReservationOutcome, StoreError, TokenQuotaStore, UsedTokens};

use super::LimitService;
use crate::keeping::to_the_end;
use crate::{Caller, Credential, ServiceError};

/// A user's tokens of today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaUsage {
    /// Tokens so far. None are set aside for what runs without a quota.
    pub tokens: TokensOfDay,
    /// How many there may be; `None` is without limit.
    pub quota: Option<u64>,
    /// When the next day begins (UTC).
    pub resets_at: Timestamp,
}

/// The tokens of what runs, until it is known how many it used. What was used by then counts when this is dropped, and what was set aside
/// besides is given back.
pub struct TokenHold {
    /// `None` once settled.
    account: Option<Account>,
    background: Arc<dyn Background>,
    used_tokens: u32,
}

/// Where the tokens are counted.
struct Account {
    kind: AccountKind,
    store: Arc<dyn TokenQuotaStore>,
}

enum AccountKind {
    /// A quota applies: so many were set aside.
    Reserved(TokenReservation),
    /// None does: they are counted at the end.
    Counted(UsedTokens),
}

impl TokenHold {
    fn new(kind: AccountKind, limits: &LimitService) -> Self {
        let account = Account { kind, store: Arc::clone(&limits.ports.tokens) };
        Self { account: Some(account), background: Arc::clone(&limits.ports.background), used_tokens: 0 }
    }

    /// Notes how many tokens were used so far.
    pub fn used(&mut self, tokens: u32) {
        self.used_tokens = tokens;
    }

    /// Whether somebody waits for these tokens to be given back: then they should be, before their caller asks for more.
    pub(crate) fn is_reserved(&self) -> bool {
        self.account.as_ref().is_some_and(|account| matches!(account.kind, AccountKind::Reserved(_)))
    }

    /// Ends the hold and waits until that is kept. It is kept also where the wait is dropped; that it cannot be is logged here, since it
    /// changes nothing for whoever was given what the tokens were used for.
    pub async fn settle(mut self, used_tokens: u32) {
        self.used_tokens = used_tokens;
        if let Some(account) = self.account.take() {
            to_the_end(&*self.background, account.settle(used_tokens)).await;
        }
    }
}

impl Drop for TokenHold {
    fn drop(&mut self) {
        if let Some(account) = self.account.take() {
            self.background.spawn(Box::pin(account.settle(self.used_tokens)));
        }
    }
}

impl Account {
    async fn settle(self, used_tokens: u32) {
        match self.kind {
            AccountKind::Reserved(reservation) => {
                if let Err(error) = self.store.settle(reservation.id, used_tokens).await {
                    tracing::error!(reservation_id = %reservation.id, %error, "reserved tokens could not be settled; they expire");
                }
            }
            AccountKind::Counted(_) if used_tokens == 0 => {}
            AccountKind::Counted(used) => match self.store.count(UsedTokens { tokens: used_tokens, ..used }).await {
                // Who removed their account has no day any more.
                Ok(()) | Err(StoreError::NotFound) => {}
                Err(error) => tracing::error!(user_id = %used.user_id, used_tokens, %error, "used tokens could not be counted"),
            },
        }
    }
}

impl LimitService {
    /// Sets tokens aside for a generation, or refuses with [`ServiceError::QuotaExceeded`] and sets nothing aside. Where no quota applies
    /// nothing needs to be.
    pub async fn hold_tokens(&self, caller: &Caller, tokens: u32) -> Result<TokenHold, ServiceError> {
        match self.quota_of(caller).await? {
            Some(quota) => self.reserve(caller, quota, tokens).await,
            None => Ok(self.count_later(caller)),
        }
    }

    /// The quotas that apply for a caller, if any does.
    pub(crate) async fn quota_of(&self, caller: &Caller) -> Result<Option<TokenQuota>, ServiceError> {
        let effective = self.effective(caller).await?;
        let found = TokenQuota {
            user: quota(effective.user.tokens_per_day.or(self.defaults.tokens_per_day)),
            api_key: quota(effective.api_key.tokens_per_day),
        };
        Ok(Some(found).filter(|quota| *quota != TokenQuota::default()))
    }

    /// Counts at its end what something uses.
    pub(crate) fn count_later(&self, caller: &Caller) -> TokenHold {
        let (user_id, day) = (caller.user.id, self.ports.clock.now().date_naive());
        let used = UsedTokens { user_id, api_key_id: api_key_of(caller), day, tokens: 0 };
        TokenHold::new(AccountKind::Counted(used), self)
    }

    /// Sets tokens aside, or refuses.
    pub(crate) async fn reserve(&self, caller: &Caller, quota: TokenQuota, tokens: u32) -> Result<TokenHold, ServiceError> {
        let now = self.ports.clock.now();
        let reservation = TokenReservation {
            id: self.ports.randomness.uuid_v7(),
            user_id: caller.user.id,
            api_key_id: api_key_of(caller),
            tokens,
            day: now.date_naive(),
            expires_at: now + self.defaults.reservation_lifetime,
        };
        // Before the answer is there: a caller who goes away meanwhile leaves nothing set aside.
        let mut hold = TokenHold::new(AccountKind::Reserved(reservation), self);
        let outcome = self.ports.tokens.reserve(reservation, quota).await.map_err(ServiceError::Store)?;
        match outcome {
            ReservationOutcome::Reserved => Ok(hold),
            ReservationOutcome::Exceeded { quota, tokens: so_far } => {
                hold.account = None;
                let resets_in_seconds = seconds_to_midnight(now);
                Err(ServiceError::QuotaExceeded { quota, tokens: so_far, asked: tokens, resets_in_seconds })
            }
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

fn api_key_of(caller: &Caller) -> Option<ApiKeyId> {
    match &caller.credential {
        Credential::ApiKey { id, .. } => Some(*id),
        Credential::Session(_) => None,
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
