//! Where the records of pictures and speech are kept.

use async_trait::async_trait;
use domain::{Cursor, HistoryFile, MediaId, MediaKind, MediaRecord, MediaState, Page, PageRequest, Timestamp};
use uuid::Uuid;

use crate::{RecordScope, StoreError};

/// Keeps records of pictures and speech. Every call is one transaction. A user's records go with their account.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait MediaStore: Send + Sync {
    /// Adds a record. Fails with `NotFound` if its user is gone, and with `Conflict {field: "id"}`.
    async fn add(&self, record: MediaRecord) -> Result<(), StoreError>;

    /// One record of this kind, whoever's it is: who may see it is for the caller to say.
    async fn get(&self, kind: MediaKind, id: MediaId) -> Result<MediaRecord, StoreError>;

    /// The scope's records of this kind, newest first. Everybody's include those of nobody.
    async fn list(&self, kind: MediaKind, scope: RecordScope, page: PageRequest) -> Result<Page<MediaRecord>, StoreError>;

    /// Notes how far a record is. One that has ended stays as it is: `Conflict {field: "state"}`. One that is gone: `NotFound`.
    async fn set_state(&self, id: MediaId, state: MediaState) -> Result<(), StoreError>;

    /// Removes a record.
    async fn remove(&self, id: MediaId) -> Result<(), StoreError>;

    /// A user's records of one day that have ended, oldest first, those after `after`, at most `limit`.
    async fn ended_on(&self, file: HistoryFile, after: Option<Cursor>, limit: u32) -> Result<Vec<MediaRecord>, StoreError>;

    /// Records that were asked for before this time and have not ended, oldest first, at most `limit`.
    async fn unfinished(&self, before: Timestamp, limit: u32) -> Result<Vec<MediaRecord>, StoreError>;

    /// Those of these UUIDs that a record has, a user's or nobody's.
    async fn known(&self, uuids: Vec<Uuid>) -> Result<Vec<Uuid>, StoreError>;
}
