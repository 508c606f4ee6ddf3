//! Links by which anybody can read an object for a while.

use std::ops::Range;

use domain::{MediaId, MediaKind, MediaRecord, MediaState, ObjectKey, Timestamp};
use ports::{ObjectBytes, ObjectInfo, StoreError};

use super::{MediaService, not_found, storage_error};
use crate::{Caller, ServiceError};

/// A link to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedLink {
    /// Where it leads; one that begins with `/` is a path of this server.
    pub url: String,
    /// Until when it works.
    pub expires_at: Timestamp,
}

/// An object to which a link was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedObject {
    /// What is known of it.
    pub info: ObjectInfo,
    /// Until when the link works.
    pub expires_at: Timestamp,
}

impl MediaService {
    /// A link to a record's object. One that is not done has none, and is not found.
    pub async fn download(&self, caller: Option<&Caller>, kind: MediaKind, id: MediaId) -> Result<SignedLink, ServiceError> {
        let record = self.find(caller, kind, id).await?;
        self.note_access(caller, &record, "downloaded").await;
        self.link(&record).await?.ok_or_else(|| not_found(kind))
    }

    /// A link to the object of a record that the caller may see; none while there is no object.
    pub async fn link(&self, record: &MediaRecord) -> Result<Option<SignedLink>, ServiceError> {
        self.sign(record, Some(record.content_key())).await
    }

    /// A link to a picture's small copy.
    pub async fn thumbnail_link(&self, record: &MediaRecord) -> Result<Option<SignedLink>, ServiceError> {
        self.sign(record, record.thumbnail_key()).await
    }

    async fn sign(&self, record: &MediaRecord, key: Option<ObjectKey>) -> Result<Option<SignedLink>, ServiceError> {
        let (MediaState::Done { .. }, Some(key)) = (&record.state, key) else { return Ok(None) };
        let (now, lifetime) = (self.ports.clock.now(), self.policy.link_lifetime);
        let url = self.ports.storage.signed_url(&key, now, lifetime).await;
        let url = url.map_err(|error| storage_error(&*self.ports.storage, error))?;
        Ok(Some(SignedLink { url, expires_at: now + lifetime }))
    }

    /// Opens a link of this server's own. One whose time is over, whose signature does not fit or whose object is gone is
    /// [`ServiceError::LinkInvalid`]: which of them is nobody's business.
    pub async fn open_link(&self, key: &ObjectKey, expires_at: Timestamp, signature: &str) -> Result<OpenedObject, ServiceError> {
        let links = self.ports.links.as_ref().ok_or(ServiceError::LinkInvalid)?;
        // The signature first: nobody learns by the answer whether a time was one that was handed out.
        if !links.is_signed(key, expires_at, signature) || expires_at <= self.ports.clock.now() {
            return Err(ServiceError::LinkInvalid);
        }
        let info = self.ports.storage.info(key).await;
        let info = info.map_err(|error| self.link_error(error))?;
        Ok(OpenedObject { info, expires_at })
    }

    /// The bytes of an object whose link was opened, or those within a range that lies inside it.
    pub async fn read(&self, object: &OpenedObject, range: Option<Range<u64>>) -> Result<ObjectBytes, ServiceError> {
        let read = self.ports.storage.read(&object.info.key, range).await;
        read.map_err(|error| self.link_error(error))
    }

    fn link_error(&self, error: StoreError) -> ServiceError {
        match error {
            StoreError::NotFound => ServiceError::LinkInvalid,
            other => storage_error(&*self.ports.storage, other),
        }
    }

    /// The bytes of a record's object, for whoever takes along all that is theirs; `None` while there is none.
    pub async fn content(&self, record: &MediaRecord) -> Result<Option<ObjectBytes>, ServiceError> {
        if !matches!(record.state, MediaState::Done { .. }) {
            return Ok(None);
        }
        match self.ports.storage.read(&record.content_key(), None).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StoreError::NotFound) => Ok(None),
            Err(error) => Err(storage_error(&*self.ports.storage, error)),
        }
    }
}
