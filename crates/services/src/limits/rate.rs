//! Requests a minute.

use domain::{RateDecision, RateLimit, counted_address};

use super::LimitService;
use crate::{Caller, Credential, ServiceError};

impl LimitService {
    /// Counts a request of a signed-in caller, against their user's limit and against their key's where it has one. Answers the tighter
    /// of the two, or [`ServiceError::RateLimited`].
    pub async fn admit(&self, caller: &Caller) -> Result<RateDecision, ServiceError> {
        let effective = self.effective(caller).await?;
        // The key first: what it may not ask for must not use up its user's minute.
        let of_key = match (&caller.credential, effective.api_key.requests_per_minute) {
            (Credential::ApiKey { id, .. }, Some(requests)) => {
                Some(self.judge(&format!("key:{id}"), RateLimit::per_minute(requests)?).await?)
            }
            _ => None,
        };
        let limit = effective.user.requests_per_minute.map_or(Ok(self.defaults.user), RateLimit::per_minute)?;
        let of_user = self.judge(&format!("user:{}", caller.user.id), limit).await?;
        Ok(of_key.filter(|of_key| of_key.remaining < of_user.remaining).unwrap_or(of_user))
    }

    /// Counts a request of somebody who is not signed in, against the address or, with IPv6, the network it came from.
    pub async fn admit_guest(&self, address: &str) -> Result<RateDecision, ServiceError> {
        self.judge(&format!("address:{}", counted_address(address)), self.defaults.guest).await
    }

    async fn judge(&self, subject: &str, limit: RateLimit) -> Result<RateDecision, ServiceError> {
        let decision = self.ports.limiter.judge(subject, limit).await;
        if decision.retry_after.is_some() { Err(ServiceError::RateLimited(decision)) } else { Ok(decision) }
    }
}
