//! The audit log: what the use cases write to it, and an admin's look at it.

use std::sync::Arc;

use domain::{AuditAction, AuditEntry, AuditEvent, PageLimit, UserId};
use futures_util::lock::Mutex;
use ports::{AuditFilter, AuditLog, AuditVerdict, Background, Clock, StoreError};
use tracing::Instrument as _;

use crate::{Caller, ServiceError};

/// The pen of every use case that is to be audited.
#[derive(Clone)]
pub struct AuditTrail {
    log: Arc<dyn AuditLog>,
    clock: Arc<dyn Clock>,
    background: Arc<dyn Background>,
}

/// Who did something, from where.
#[derive(Debug, Clone, Default)]
pub(crate) struct Actor {
    pub(crate) id: Option<UserId>,
    pub(crate) address: Option<String>,
}

impl From<&Caller> for Actor {
    fn from(caller: &Caller) -> Self {
        Self { id: Some(caller.user.id), address: caller.address.clone() }
    }
}

impl AuditTrail {
    /// Writes to this log. What must be written once it is done runs in `background`.
    pub fn new(log: Arc<dyn AuditLog>, clock: Arc<dyn Clock>, background: Arc<dyn Background>) -> Self {
        Self { log, clock, background }
    }

    /// Does something together with what must follow it, its event at the least, whether or not somebody still waits: a caller who goes
    /// away in between must not leave a deed without its event. Dropping this future stops nothing.
    pub(crate) async fn see_through<T: Send + 'static>(
        &self,
        act: impl Future<Output = Result<T, ServiceError>> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let slot = Arc::new(Mutex::new(None));
        // The act holds the slot from now on, so that whoever waits for the slot waits for the act.
        let mut held = Arc::clone(&slot).lock_owned().await;
        let act = async move { *held = Some(act.await) };
        self.background.spawn(Box::pin(act.in_current_span()));
        let unfinished = || ServiceError::Store(StoreError::Unavailable("the server stopped before it was done".to_owned()));
        slot.lock().await.take().unwrap_or_else(|| Err(unfinished()))
    }

    /// Writes an event. What was done is done: a log that cannot be written is reported loudly, and the caller's answer stays the same.
    pub(crate) async fn record(&self, action: AuditAction, actor: Actor, subject: String, detail: &str) {
        let entry = AuditEntry {
            occurred_at: self.clock.now(),
            action,
            actor: actor.id,
            subject,
            address: actor.address,
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
