//! Removing all that a user had made, before their account goes.

use domain::{MediaKind, ObjectKey, PageLimit, PageRequest, UserId};
use ports::RecordScope;

use super::MediaService;
use super::job::remove_all;
use crate::ServiceError;

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ErasedMedia {
    /// Pictures.
    pub images: u64,
    /// Recordings.
    pub speeches: u64,
}

impl MediaService {
    /// Removes a user's records, their objects and their history. What is made while this runs, or after it, goes with the account's
    /// rows, and its objects by the sweeper.
    pub(crate) async fn erase(&self, user_id: UserId) -> Result<ErasedMedia, ServiceError> {
        let images = self.erase_kind(user_id, MediaKind::Image).await?;
        let speeches = self.erase_kind(user_id, MediaKind::Speech).await?;
        let folder = ObjectKey::parse(format!("users/{user_id}"))?;
        self.remove_folder(&folder).await?;
        Ok(ErasedMedia { images, speeches })
    }

    async fn erase_kind(&self, user_id: UserId, kind: MediaKind) -> Result<u64, ServiceError> {
        let first = PageRequest { after: None, limit: PageLimit::new(i64::from(PageLimit::MAX))? };
        let mut removed = 0;
        loop {
            let page = self.ports.records.list(kind, RecordScope::Of(user_id), first).await.map_err(ServiceError::Store)?;
            if page.items.is_empty() {
                return Ok(removed);
            }
            for record in page.items {
                match self.ports.records.remove(record.id).await {
                    Ok(()) => removed += 1,
                    Err(ports::StoreError::NotFound) => {}
                    Err(error) => return Err(ServiceError::Store(error)),
                }
                remove_all(&self.ports, &record).await;
            }
        }
    }

    /// Removes every object below a folder, and answers how many there were.
    pub(super) async fn remove_folder(&self, folder: &ObjectKey) -> Result<u64, ServiceError> {
        const PAGE: u32 = 500;
        let (storage, mut removed) = (&self.ports.storage, 0);
        loop {
            let listed = storage.list(folder, None, PAGE).await.map_err(ServiceError::Store)?;
            if listed.is_empty() {
                return Ok(removed);
            }
            for object in listed {
                storage.remove(&object.key).await.map_err(ServiceError::Store)?;
                removed += 1;
            }
        }
    }
}
