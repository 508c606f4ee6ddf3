//! How much each caller may ask for: requests a minute and tokens a day, by setting, role, user and key.

mod quota;
mod rate;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::{AuditAction, RateLimit, Timestamp};
use ports::{Clock, LimitOverride, LimitStore, LimitSubject, RateLimiter, TokenQuotaStore};

use crate::audit::Actor;
use crate::{AuditTrail, Caller, Credential, ServiceError};

pub use quota::{QuotaUsage, TokenHold};

/// What applies where an admin made no exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitDefaults {
    /// Requests a minute of a user.
    pub user: RateLimit,
    /// Requests a minute of an address that is not signed in.
    pub guest: RateLimit,
    /// Tokens a day of a user; `None` is without limit.
    pub tokens_per_day: Option<u64>,
    /// After which a reservation is given back that nobody settled; longer than any generation lasts.
    pub reservation_lifetime: Duration,
}

/// What a [`LimitService`] stands on.
#[derive(Clone)]
pub struct LimitPorts {
    /// Counts requests.
    pub limiter: Arc<dyn RateLimiter>,
    /// Counts tokens.
    pub tokens: Arc<dyn TokenQuotaStore>,
    /// An admin's exceptions.
    pub overrides: Arc<dyn LimitStore>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Draws identifiers.
    pub randomness: Arc<dyn ports::Randomness>,
    /// Settles what a caller who went away had reserved.
    pub background: Arc<dyn ports::Background>,
}

/// The use cases around limits.
#[derive(Clone)]
pub struct LimitService {
    ports: LimitPorts,
    defaults: LimitDefaults,
    audit: AuditTrail,
    cache: Arc<Mutex<Cache>>,
}

/// An exception works everywhere within so many seconds; until then a request costs no look at the database.
const CACHE_SECONDS: i64 = 5;
/// The cache is emptied when it holds so many callers.
const CACHE_ENTRIES: usize = 10_000;

/// What was found for a caller's subjects, and when.
type Cache = HashMap<Vec<LimitSubject>, (Timestamp, Vec<LimitOverride>)>;

/// The limits of one caller: of the user, and of the key they use.
#[derive(Debug, Clone, Copy)]
struct Effective {
    user: LimitOverride,
    api_key: LimitOverride,
}

impl LimitService {
    /// Takes what it needs.
    pub fn new(ports: LimitPorts, defaults: LimitDefaults, audit: AuditTrail) -> Self {
        Self { ports, defaults, audit, cache: Arc::default() }
    }

    /// Sets an admin's exception.
    pub async fn set_override(&self, caller: &Caller, subject: LimitSubject, limit: LimitOverride) -> Result<(), ServiceError> {
        caller.require_admin()?;
        if let Some(requests) = limit.requests_per_minute {
            RateLimit::per_minute(requests)?;
        }
        let missing = match subject {
            LimitSubject::ApiKey(_) => ServiceError::ApiKeyNotFound,
            LimitSubject::User(_) | LimitSubject::Role(_) => ServiceError::UserNotFound,
        };
        let (this, actor, admin_id) = (self.clone(), Actor::from(caller), caller.user.id);
        let act = async move {
            let set = this.ports.overrides.set(subject, limit).await;
            set.map_err(|error| ServiceError::from_store(error, missing))?;
            this.cache.lock().unwrap_or_else(PoisonError::into_inner).clear();
            tracing::info!(%admin_id, ?subject, ?limit, "limits changed");
            this.audit.record(AuditAction::LimitsChanged, actor, name_of(subject), &describe(limit)).await;
            Ok(())
        };
        self.audit.see_through(act).await
    }

    /// What applies for a caller: their own exception before their role's before the settings.
    async fn effective(&self, caller: &Caller) -> Result<Effective, ServiceError> {
        let mut subjects = vec![LimitSubject::User(caller.user.id), LimitSubject::Role(caller.user.role)];
        if let Credential::ApiKey { id, .. } = &caller.credential {
            subjects.push(LimitSubject::ApiKey(*id));
        }
        let found = self.overrides(subjects).await?;
        let at = |index: usize| found.get(index).copied().unwrap_or_default();
        let (own, role) = (at(0), at(1));
        let user = LimitOverride {
            requests_per_minute: own.requests_per_minute.or(role.requests_per_minute),
            tokens_per_day: own.tokens_per_day.or(role.tokens_per_day),
        };
        Ok(Effective { user, api_key: at(2) })
    }

    async fn overrides(&self, subjects: Vec<LimitSubject>) -> Result<Vec<LimitOverride>, ServiceError> {
        let now = self.ports.clock.now();
        {
            let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((read_at, found)) = cache.get(&subjects)
                && (now - *read_at).num_seconds() < CACHE_SECONDS
            {
                return Ok(found.clone());
            }
        }
        let found = self.ports.overrides.get(subjects.clone()).await.map_err(ServiceError::Store)?;
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHE_ENTRIES {
            cache.clear();
        }
        cache.insert(subjects, (now, found.clone()));
        Ok(found)
    }
}

/// How the audit log calls a subject.
fn name_of(subject: LimitSubject) -> String {
    match subject {
        LimitSubject::Role(role) => format!("role:{}", role.as_str()),
        LimitSubject::User(id) => format!("user:{id}"),
        LimitSubject::ApiKey(id) => format!("key:{id}"),
    }
}

fn describe(limit: LimitOverride) -> String {
    let words = |name: &str, value: Option<u64>| value.map_or(format!("{name} as set"), |value| format!("{name} {value}"));
    let requests = words("requests_per_minute", limit.requests_per_minute.map(u64::from));
    format!("{requests}, {}", words("tokens_per_day", limit.tokens_per_day))
}
