//! Putting right what a process that died left behind.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::{MediaKind, ObjectKey, PageLimit, PageRequest, Timestamp, UserId};
use ports::{ObjectInfo, RecordScope, StoreError};

use super::MediaService;
use super::job::end_badly;
use crate::ServiceError;

/// Records and objects looked at together.
const PAGE: u32 = 500;
/// An object without a record is left alone so long: clocks differ, and who is at work may still clear up after themselves.
const ORPHAN_AGE: Duration = Duration::from_hours(1);
/// No upload takes so long.
const UPLOAD_AGE: Duration = Duration::from_hours(24);
/// Histories of records that ended within this time are written anew at the start.
const HISTORY_AGE: Duration = Duration::from_hours(48);
/// How many records are looked at for that, at the most.
const HISTORY_RECORDS: usize = 10_000;

/// What was swept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Objects that had no record, or whose user is gone.
    pub orphans: u64,
    /// Remains of uploads.
    pub uploads: u64,
}

impl MediaService {
    /// Fails every record that has not ended and was asked for before this time: whoever made it is dead. Answers how many there were.
    pub async fn fail_abandoned(&self, before: Timestamp) -> Result<u64, ServiceError> {
        let mut failed = 0;
        loop {
            let records = self.ports.records.unfinished(before, PAGE).await.map_err(ServiceError::Store)?;
            let found = records.len() as u64;
            let mut ended = 0;
            for record in records {
                let reason = "the server stopped while it was made".to_owned();
                ended += u64::from(end_badly(&self.ports, &self.histories, record, reason).await);
            }
            failed += ended;
            // A store that takes none of them now is asked again by the next sweep.
            if found < u64::from(PAGE) || ended == 0 {
                return Ok(failed);
            }
        }
    }

    /// Writes the histories anew whose last lines a crash may have cost.
    pub async fn renew_histories(&self) -> Result<(), ServiceError> {
        let since = self.ports.clock.now() - HISTORY_AGE;
        let mut files = BTreeSet::new();
        for kind in MediaKind::ALL {
            let mut page = PageRequest { after: None, limit: PageLimit::new(i64::from(PageLimit::MAX))? };
            let mut looked_at = 0;
            loop {
                let found = self.ports.records.list(kind, RecordScope::Everyone, page).await.map_err(ServiceError::Store)?;
                looked_at += found.items.len();
                let recent = found.items.iter().take_while(|record| record.created_at >= since);
                files.extend(recent.filter_map(domain::MediaRecord::history_file));
                let goes_on = found.items.last().is_some_and(|record| record.created_at >= since) && looked_at < HISTORY_RECORDS;
                page.after = found.next.filter(|_| goes_on);
                if page.after.is_none() {
                    break;
                }
            }
        }
        for file in files {
            self.histories.note(file);
        }
        Ok(())
    }

    /// Removes objects that have no record, histories of users who are gone, and what uploads left behind.
    pub async fn sweep(&self) -> Result<Swept, ServiceError> {
        let now = self.ports.clock.now();
        let uploads = self.ports.storage.remove_unfinished(now - UPLOAD_AGE).await.map_err(ServiceError::Store)?;
        let mut orphans = 0;
        for folder in ["requests", "users"] {
            let folder = ObjectKey::parse(folder)?;
            let mut after = None;
            loop {
                let page = self.ports.storage.list(&folder, after, PAGE).await.map_err(ServiceError::Store)?;
                let Some(last) = page.last() else { break };
                after = Some(last.key.clone());
                orphans += self.remove_orphans(&page, now).await?;
            }
        }
        Ok(Swept { orphans, uploads })
    }

    async fn remove_orphans(&self, objects: &[ObjectInfo], now: Timestamp) -> Result<u64, ServiceError> {
        let old: Vec<&ObjectInfo> = objects.iter().filter(|object| object.modified_at + ORPHAN_AGE <= now).collect();
        let mut uuids: Vec<_> = old.iter().filter_map(|object| object.key.media_uuid()).collect();
        uuids.dedup();
        let known = self.ports.records.known(uuids).await.map_err(ServiceError::Store)?;
        let gone = self.gone(old.iter().filter_map(|object| object.key.user_id()).collect()).await?;
        let mut removed = 0;
        for object in old {
            let is_orphan = match (object.key.media_uuid(), object.key.user_id()) {
                (Some(uuid), _) => !known.contains(&uuid),
                (None, Some(user_id)) => gone.contains(&user_id),
                // What is not of our making is not ours to remove.
                (None, None) => false,
            };
            if is_orphan {
                self.ports.storage.remove(&object.key).await.map_err(ServiceError::Store)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Those of these users who have no account.
    async fn gone(&self, users: BTreeSet<UserId>) -> Result<BTreeSet<UserId>, ServiceError> {
        let mut gone = BTreeSet::new();
        for user_id in users {
            match self.ports.users.get(user_id).await {
                Ok(_) => {}
                Err(StoreError::NotFound) => drop(gone.insert(user_id)),
                Err(error) => return Err(ServiceError::Store(error)),
            }
        }
        Ok(gone)
    }
}
