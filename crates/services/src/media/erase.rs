//! Removing all that a user had made, after their account has gone.

use domain::{MediaKind, MediaRecord, ObjectKey, PageLimit, PageRequest, UserId};
use ports::{RecordScope, StoreError};

use super::MediaService;
use super::job::remove_all;
use crate::ServiceError;

/// How many records of a user are remembered beyond their account, so that their objects go at once. What is more than that, the sweeper
/// removes: it finds every object whose record is gone.
const MOST_REMEMBERED: usize = 10_000;

impl MediaService {
    /// The records of what a user has made, the newest first, as many as are to be erased at once.
    pub(crate) async fn made_by(&self, user_id: UserId) -> Result<Vec<MediaRecord>, ServiceError> {
        let mut records = Vec::new();
        for kind in MediaKind::ALL {
            let mut page = PageRequest { after: None, limit: PageLimit::new(i64::from(PageLimit::MAX))? };
            loop {
                let found = self.ports.records.list(kind, RecordScope::Of(user_id), page).await.map_err(ServiceError::Store)?;
                records.extend(found.items);
                page.after = found.next.filter(|_| records.len() < MOST_REMEMBERED);
                if page.after.is_none() {
                    break;
                }
            }
        }
        Ok(records)
    }

    /// Removes the objects of these records and the history of this user, whose account and records are gone. What cannot be removed now
    /// is logged, and left to the sweeper.
    pub(crate) async fn erase(&self, user_id: UserId, records: Vec<MediaRecord>) {
        for record in records {
            remove_all(&self.ports, &record).await;
        }
        if let Err(error) = self.remove_history(user_id).await {
            tracing::error!(%user_id, %error, "a user's history could not be removed; the sweeper will");
        }
    }

    async fn remove_history(&self, user_id: UserId) -> Result<u64, StoreError> {
        let key = format!("users/{user_id}");
        let folder = ObjectKey::parse(key).map_err(|refusal| StoreError::Corrupt(refusal.to_string()))?;
        self.remove_folder(&folder).await
    }

    /// Removes every object below a folder, and answers how many there were.
    async fn remove_folder(&self, folder: &ObjectKey) -> Result<u64, StoreError> {
        const PAGE: u32 = 500;
        let (storage, mut removed) = (&self.ports.storage, 0);
        loop {
            let listed = storage.list(folder, None, PAGE).await?;
            if listed.is_empty() {
                return Ok(removed);
            }
            for object in listed {
                storage.remove(&object.key).await?;
                removed += 1;
            }
        }
    }
}
