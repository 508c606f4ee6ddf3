//! The pictures and recordings that were made.

use domain::{AuditAction, MediaId, MediaKind, MediaRecord, Page, PageRequest};
use ports::RecordScope;

use super::job::remove_all;
use super::{MediaService, not_found, viewer};
use crate::{Caller, ServiceError};

impl MediaService {
    /// A record. A user's is theirs and the admins'; nobody's is everybody's who has its identifier.
    pub async fn get(&self, caller: Option<&Caller>, kind: MediaKind, id: MediaId) -> Result<MediaRecord, ServiceError> {
        let record = self.find(caller, kind, id).await?;
        self.note_access(caller, &record, "read").await;
        Ok(record)
    }

    /// The caller's own records, newest first.
    pub async fn list(&self, caller: &Caller, kind: MediaKind, page: PageRequest) -> Result<Page<MediaRecord>, ServiceError> {
        self.ports.records.list(kind, RecordScope::Of(caller.user.id), page).await.map_err(ServiceError::Store)
    }

    /// Everybody's records, newest first, for an admin.
    pub async fn list_all(&self, caller: &Caller, kind: MediaKind, page: PageRequest) -> Result<Page<MediaRecord>, ServiceError> {
        caller.require_admin()?;
        self.ports.records.list(kind, RecordScope::Everyone, page).await.map_err(ServiceError::Store)
    }

    /// Removes a record and its objects. One that is being made is broken off at its next step.
    pub async fn remove(&self, caller: Option<&Caller>, kind: MediaKind, id: MediaId) -> Result<(), ServiceError> {
        let record = self.find(caller, kind, id).await?;
        self.ports.records.remove(id).await.map_err(|error| ServiceError::from_store(error, not_found(kind)))?;
        remove_all(&self.ports, &record).await;
        if let Some(file) = record.history_file() {
            self.histories.note(file);
        }
        self.note_access(caller, &record, "removed").await;
        Ok(())
    }

    pub(super) async fn find(&self, caller: Option<&Caller>, kind: MediaKind, id: MediaId) -> Result<MediaRecord, ServiceError> {
        let found = self.ports.records.get(kind, id).await;
        let record = found.map_err(|error| ServiceError::from_store(error, not_found(kind)))?;
        if record.belongs_to(viewer(caller)) { Ok(record) } else { Err(not_found(kind)) }
    }

    /// That an admin had to do with another's record goes into the audit log.
    pub(super) async fn note_access(&self, caller: Option<&Caller>, record: &MediaRecord, what: &str) {
        if let Some(caller) = caller
            && record.user_id.is_some_and(|owner| owner != caller.user.id)
        {
            let subject = format!("{}:{}", record.kind().as_str(), record.id.uuid());
            self.audit.record(AuditAction::OthersRecordAccessed, caller.into(), subject, what).await;
        }
    }
}
