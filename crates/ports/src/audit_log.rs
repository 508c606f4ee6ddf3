//! Where the audit log is kept.

use async_trait::async_trait;
use domain::{AuditAction, AuditEntry, AuditEvent, UserId};

use crate::StoreError;

/// Which events of the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditFilter {
    /// Of this action alone.
    pub action: Option<AuditAction>,
    /// By this actor alone.
    pub actor: Option<UserId>,
    /// To this subject alone.
    pub subject: Option<String>,
}

/// What a check of the whole log found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditVerdict {
    /// So many events, each with the right hash and in its place.
    Intact {
        /// How many.
        events: u64,
    },
    /// The first event that is not what was written: changed, missing or out of its place.
    Broken {
        /// Its number.
        sequence: i64,
        /// What is wrong with it.
        problem: String,
    },
}

/// Keeps events that are only ever added.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait AuditLog: Send + Sync {
    /// Adds an event after the last one: its number is one more, its hash is chained to the last one's. Atomic, also among replicas.
    /// The entry's time is cut to microseconds, and the answer is the event as it is kept. It outlives the accounts it speaks of.
    async fn append(&self, entry: AuditEntry) -> Result<AuditEvent, StoreError>;

    /// Events with a number below `before` (all if absent), the newest first, at most `limit`.
    async fn list(&self, filter: AuditFilter, before: Option<i64>, limit: u32) -> Result<Vec<AuditEvent>, StoreError>;

    /// Reads the whole log in its order, a bounded number of events at a time, and checks every number and hash and that none is
    /// missing at the end. What is added meanwhile does no harm.
    async fn verify(&self) -> Result<AuditVerdict, StoreError>;
}
