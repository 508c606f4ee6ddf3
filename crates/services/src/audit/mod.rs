//! The audit log: what the use cases write to it, and an admin's look at it.

use std::sync::Arc;

use domain::{AuditAction, AuditEntry, AuditEvent, PageLimit, UserId};
use ports::{AuditFilter, AuditLog, AuditVerdict, Clock};

use crate::{Caller, ServiceError};

/// The pen of every use case that is to be audited.
#[derive(Clone)]
pub struct AuditTrail {
    log: Arc<dyn AuditLog>,
    clock: Arc<dyn Clock>,
}

/// Who did something, from where.
#[derive(Debug, Clone, Default)]
pub(crate) struct Actor<'a> {
    pub(crate) id: Option<UserId>,
    pub(crate) address: Option<&'a str>,
}

impl<'a> From<&'a Caller> for Actor<'a> {
    fn from(caller: &'a Caller) -> Self {
        Self { id: Some(caller.user.id), address: caller.address.as_deref() }
    }
}

impl AuditTrail {
    /// Writes to this log.
    pub fn new(log: Arc<dyn AuditLog>, clock: Arc<dyn Clock>) -> Self {
        Self { log, clock }
    }

    /// Writes an event. What was done is done: a log that cannot be written is reported loudly, and the caller's answer stays the same.
    pub(crate) async fn record(&self, action: AuditAction, actor: Actor<'_>, subject: String, detail: &str) {
        let entry = AuditEntry {
            occurred_at: self.clock.now(),
            action,
            actor: actor.id,
            subject,
            address: actor.address.map(str::to_owned),
            detail: detail.to_owned(),
        };
        if let Err(error) = self.log.append(entry).await {
            tracing::error!(action = action.as_str(), %error, "an event could not be written to the audit log");
        }
    }
}

/// An admin's look at the log.
#[derive(Clone)]
pub struct AuditService {
    log: Arc<dyn AuditLog>,
}

impl AuditService {
    /// Reads this log.
    pub fn new(log: Arc<dyn AuditLog>) -> Self {
        Self { log }
    }

    /// Events with a number below `before`, the newest first.
    pub async fn list(
        &self,
        caller: &Caller,
        filter: AuditFilter,
        before: Option<i64>,
        limit: PageLimit,
    ) -> Result<Vec<AuditEvent>, ServiceError> {
        caller.require_admin()?;
        self.log.list(filter, before, limit.get()).await.map_err(ServiceError::Store)
    }

    /// Checks the whole log. Open to who has the command line, where there is no caller to ask.
    pub async fn verify(&self) -> Result<AuditVerdict, ServiceError> {
        self.log.verify().await.map_err(ServiceError::Store)
    }
}
