//! Records of pictures and speech in memory.

use std::collections::HashSet;

use async_trait::async_trait;
use domain::{Cursor, HistoryFile, MediaId, MediaKind, MediaRecord, MediaState, Page, PageRequest, Timestamp};
use ports::{MediaStore, RecordScope, StoreError};
use uuid::Uuid;

use super::{FakeDatabase, page_of};

fn is_in(scope: RecordScope, record: &MediaRecord) -> bool {
    match scope {
        RecordScope::Of(user_id) => record.user_id == Some(user_id),
        RecordScope::Everyone => true,
    }
}

/// Where it stands among others, the oldest first.
fn place(record: &MediaRecord) -> (Timestamp, uuid::Uuid) {
    (record.created_at, record.id.uuid())
}

#[async_trait]
impl MediaStore for FakeDatabase {
    async fn add(&self, record: MediaRecord) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        if record.user_id.is_some_and(|user_id| !tables.users.contains_key(&user_id)) {
            return Err(StoreError::NotFound);
        }
        if tables.media.contains_key(&record.id) {
            return Err(StoreError::Conflict { field: "id" });
        }
        tables.media.insert(record.id, record);
        Ok(())
    }

    async fn get(&self, kind: MediaKind, id: MediaId) -> Result<MediaRecord, StoreError> {
        self.tables()?.media.get(&id).filter(|record| record.kind() == kind).cloned().ok_or(StoreError::NotFound)
    }

    async fn list(&self, kind: MediaKind, scope: RecordScope, page: PageRequest) -> Result<Page<MediaRecord>, StoreError> {
        let is_listed = |record: &&MediaRecord| record.kind() == kind && is_in(scope, record);
        let records = self.tables()?.media.values().filter(is_listed).cloned().collect();
        Ok(page_of(records, page, MediaRecord::cursor))
    }

    async fn set_state(&self, id: MediaId, state: MediaState) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        let record = tables.media.get_mut(&id).ok_or(StoreError::NotFound)?;
        if record.state.finished_at().is_some() {
            return Err(StoreError::Conflict { field: "state" });
        }
        record.state = state;
        Ok(())
    }

    async fn remove(&self, id: MediaId) -> Result<(), StoreError> {
        self.tables()?.media.remove(&id).map(drop).ok_or(StoreError::NotFound)
    }

    async fn ended_on(&self, file: HistoryFile, after: Option<Cursor>, limit: u32) -> Result<Vec<MediaRecord>, StoreError> {
        let is_there = |record: &&MediaRecord| {
            record.history_file() == Some(file)
                && record.state.finished_at().is_some()
                && after.is_none_or(|after| place(record) > (after.created_at, after.id))
        };
        let mut records: Vec<_> = self.tables()?.media.values().filter(is_there).cloned().collect();
        records.sort_by_key(place);
        records.truncate(limit as usize);
        Ok(records)
    }

    async fn unfinished(&self, before: Timestamp, limit: u32) -> Result<Vec<MediaRecord>, StoreError> {
        let is_unfinished = |record: &&MediaRecord| record.state.finished_at().is_none() && record.created_at < before;
        let mut records: Vec<_> = self.tables()?.media.values().filter(is_unfinished).cloned().collect();
        records.sort_by_key(place);
        records.truncate(limit as usize);
        Ok(records)
    }

    async fn known(&self, uuids: Vec<Uuid>) -> Result<Vec<Uuid>, StoreError> {
        let tables = self.tables()?;
        let there: HashSet<Uuid> = tables.media.keys().map(|id| id.uuid()).collect();
        Ok(uuids.into_iter().filter(|uuid| there.contains(uuid)).collect())
    }
}
