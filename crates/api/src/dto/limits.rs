//! Limits: what an admin sets, and what a caller has used.

use chrono::{DateTime, Utc};
use domain::{RateDecision, Refusal};
use ports::LimitOverride;
use serde::{Deserialize, Serialize};
use services::QuotaUsage;
use utoipa::ToSchema;

use super::integer;
use crate::ApiError;

/// More tokens a day than any machine makes; a database keeps it without loss.
const MAX_TOKENS_PER_DAY: i64 = 1_000_000_000_000;

/// An exception to the server's limits. What is absent or `null` is as the settings say; both absent: no exception.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitRequest {
    /// Requests a minute.
    #[schema(example = 1200, minimum = 1, maximum = 1_000_000)]
    #[serde(default, deserialize_with = "integer::optional")]
    requests_per_minute: Option<i64>,
    /// Tokens a day; 0 is without limit.
    #[schema(example = 100_000, minimum = 0, maximum = 1_000_000_000_000_i64)]
    #[serde(default, deserialize_with = "integer::optional")]
    tokens_per_day: Option<i64>,
}

impl TryFrom<LimitRequest> for LimitOverride {
    type Error = ApiError;

    fn try_from(request: LimitRequest) -> Result<Self, ApiError> {
        let requests_per_minute = request.requests_per_minute.map(u32::try_from).transpose();
        let too_many_requests = |_| Refusal::field("requests_per_minute", "must be between 1 and 1000000");
        let tokens = request.tokens_per_day.map(|tokens| u64::try_from(tokens.min(MAX_TOKENS_PER_DAY + 1))).transpose();
        let tokens = tokens.ok().filter(|tokens| tokens.is_none_or(|tokens| tokens <= MAX_TOKENS_PER_DAY.unsigned_abs()));
        let too_many_tokens = || Refusal::field("tokens_per_day", format!("must be between 0 and {MAX_TOKENS_PER_DAY}"));
        Ok(Self {
            requests_per_minute: requests_per_minute.map_err(too_many_requests)?,
            tokens_per_day: tokens.ok_or_else(too_many_tokens)?,
        })
    }
}

/// The exception as it is now.
#[derive(Serialize, ToSchema)]
pub(crate) struct LimitResponse {
    /// Requests a minute; `null` as the settings say.
    #[schema(example = 1200, required)]
    requests_per_minute: Option<u32>,
    /// Tokens a day, 0 without limit; `null` as the settings say.
    #[schema(example = 100_000, required)]
    tokens_per_day: Option<u64>,
}

impl From<LimitOverride> for LimitResponse {
    fn from(limit: LimitOverride) -> Self {
        Self { requests_per_minute: limit.requests_per_minute, tokens_per_day: limit.tokens_per_day }
    }
}

/// What the caller has used, and has left.
#[derive(Serialize, ToSchema)]
pub(crate) struct UsageReport {
    /// Requests a minute.
    requests: RequestUsage,
    /// Tokens a day.
    tokens: QuotaUsageResponse,
}

/// Requests a minute, this one included.
#[derive(Serialize, ToSchema)]
struct RequestUsage {
    /// How many there may be.
    #[schema(example = 600)]
    limit: u32,
    /// How many more would be let through now.
    #[schema(example = 599)]
    remaining: u32,
    /// When all of the limit is free again, in seconds.
    #[schema(example = 1)]
    resets_in_seconds: u64,
}

/// Tokens a day (UTC).
#[derive(Serialize, ToSchema)]
struct QuotaUsageResponse {
    /// How many there may be; `null` without limit.
    #[schema(example = 100_000, required)]
    limit: Option<u64>,
    /// How many were spent.
    #[schema(example = 1200)]
    used: u64,
    /// How many are set aside for what is running.
    #[schema(example = 120)]
    reserved: u64,
    /// How many are left; `null` without limit.
    #[schema(example = 98_680, required)]
    remaining: Option<u64>,
    /// When the next day begins.
    resets_at: DateTime<Utc>,
}

impl UsageReport {
    /// Both together.
    pub(crate) fn new(requests: RateDecision, usage: QuotaUsage) -> Self {
        let reset_seconds = requests.reset_after.as_millis().div_ceil(1000);
        Self {
            requests: RequestUsage {
                limit: requests.limit,
                remaining: requests.remaining,
                resets_in_seconds: u64::try_from(reset_seconds).unwrap_or(u64::MAX),
            },
            tokens: QuotaUsageResponse {
                limit: usage.quota,
                used: usage.tokens.used,
                reserved: usage.tokens.reserved,
                remaining: usage.quota.map(|quota| usage.tokens.left_of(quota)),
                resets_at: usage.resets_at,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<LimitOverride, ApiError> {
        serde_json::from_str::<LimitRequest>(json).unwrap().try_into()
    }

    #[test]
    fn an_exception_names_what_it_changes_alone() {
        let limit = read(r#"{"requests_per_minute": 60.0, "tokens_per_day": 0}"#).unwrap();
        assert_eq!((limit.requests_per_minute, limit.tokens_per_day), (Some(60), Some(0)));
        assert_eq!(read("{}").unwrap(), LimitOverride::default());
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused_by_their_name() {
        for (json, named) in [
            (r#"{"requests_per_minute": -1}"#, "requests_per_minute"),
            (r#"{"requests_per_minute": 4294967296}"#, "requests_per_minute"),
            (r#"{"tokens_per_day": -1}"#, "tokens_per_day"),
            (r#"{"tokens_per_day": 1000000000001}"#, "tokens_per_day"),
            (r#"{"tokens_per_day": 9223372036854775807}"#, "tokens_per_day"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.detail().starts_with(&format!("[E012] {named}")), "{json}: {}", error.detail());
        }
    }
}
