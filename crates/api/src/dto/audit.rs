//! The audit log.

use chrono::{DateTime, Utc};
use domain::{AuditAction, AuditEvent, PageLimit, UserId};
use ports::AuditFilter;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::ApiError;

/// Which events of the log.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// Of this action alone, such as `session.signed_in`.
    action: Option<String>,
    /// By this user alone.
    actor: Option<Uuid>,
    /// To this subject alone, such as `user:…`.
    subject: Option<String>,
    /// How many events at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i64>,
    /// The `next_cursor` of the page before; absent for the newest events.
    cursor: Option<String>,
}

/// A page of the log that is asked for.
pub(crate) struct AuditPageRequest {
    /// Which events.
    pub(crate) filter: AuditFilter,
    /// Only those with a smaller number.
    pub(crate) before: Option<i64>,
    /// How many at most.
    pub(crate) limit: PageLimit,
}

impl TryFrom<AuditQuery> for AuditPageRequest {
    type Error = ApiError;

    fn try_from(query: AuditQuery) -> Result<Self, ApiError> {
        let action = query.action.as_deref().map(AuditAction::parse).transpose()?;
        let filter = AuditFilter { action, actor: query.actor.map(UserId::new), subject: query.subject };
        let limit = query.limit.map(PageLimit::new).transpose()?.unwrap_or_default();
        Ok(Self { filter, before: query.cursor.as_deref().map(sequence).transpose()?, limit })
    }
}

/// A cursor of the log is the number of the last event that was shown.
fn sequence(cursor: &str) -> Result<i64, ApiError> {
    let is_plain = cursor.bytes().all(|byte| byte.is_ascii_digit()) && !cursor.starts_with('0');
    let number = cursor.parse().ok().filter(|_| is_plain);
    number.ok_or_else(|| ApiError::malformed("cursor: is not a next_cursor of this server"))
}

/// Who did what to whom, when, from where.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditEventResponse {
    /// Its number: 1, 2, 3, … without a gap.
    #[schema(example = 17)]
    sequence: i64,
    /// When.
    occurred_at: DateTime<Utc>,
    /// What.
    #[schema(example = "session.signed_in")]
    action: &'static str,
    /// Who; `null` where a sign-in failed, or the command line did it.
    #[schema(required)]
    actor: Option<Uuid>,
    /// To whom or what.
    #[schema(example = "user:0197a1b2-0000-7000-8000-000000000000")]
    subject: String,
    /// From which address.
    #[schema(example = "192.0.2.1", required)]
    address: Option<String>,
    /// More, in a few words.
    detail: String,
    /// The hash of the event before it.
    previous_hash: String,
    /// The SHA-256 of this event and the hash before it, in hexadecimal.
    hash: String,
}

impl From<AuditEvent> for AuditEventResponse {
    fn from(event: AuditEvent) -> Self {
        let AuditEvent { sequence, entry, previous_hash, hash } = event;
        Self {
            sequence,
            occurred_at: entry.occurred_at,
            action: entry.action.as_str(),
            actor: entry.actor.map(UserId::uuid),
            subject: entry.subject,
            address: entry.address,
            detail: entry.detail,
            previous_hash,
            hash,
        }
    }
}

/// A page of the log, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditPageResponse {
    /// The events.
    items: Vec<AuditEventResponse>,
    /// Where the next page begins; `null` on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

impl AuditPageResponse {
    /// The page; one that is not full, or has reached the first event of all, is the last.
    pub(crate) fn new(events: Vec<AuditEvent>, limit: PageLimit) -> Self {
        let is_full = u32::try_from(events.len()).is_ok_and(|count| count >= limit.get());
        let last = events.last().map(|event| event.sequence).filter(|sequence| is_full && *sequence > 1);
        Self { items: events.into_iter().map(Into::into).collect(), next_cursor: last.map(|sequence| sequence.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_cursor_is_a_number_as_it_was_written_or_refused(text in "\\PC{0,20}|[0-9]{0,22}") {
            if let Ok(number) = sequence(&text) {
                prop_assert!(number > 0);
                prop_assert_eq!(number.to_string(), text);
            }
        }
    }
}
