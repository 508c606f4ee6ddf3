//! A user's history as files: one a day, one line a picture or recording (`users/…/history/….jsonl`).
//!
//! S3 cannot append. Reading a file, adding a line and writing it back loses a line where two do so at once, and the conditional writes
//! that would prevent it are not known to every S3-compatible server, which then ignores the condition. So the database is where the
//! lines are, and a file is written anew from it, whole, whenever one of its records ends or goes: a storage shows an object whole or not
//! at all, so that no two lines can interleave.
//!
//! None is lost either, with any number of servers: whoever has written a file reads the records again, and writes again if they are not
//! what was written. Take the write that came last of all. Its writer then read the records and found what it had written; a record that
//! ended after that has a writer of its own, whose write would have come later still. So the last write holds every line.
//!
//! Within one process a file is written by one task at a time; what ends meanwhile makes it go round once more, so that a thousand
//! records that end at once cost a few writes and not a thousand. A crash between a record's end and its line is made good by the sweeper.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use domain::{Cursor, HistoryFile, MediaRecord};
use ports::{Background, MediaDocuments, MediaStore, ObjectStorage, StoreError};

use super::MediaPorts;

/// Records read at once.
const PAGE: u32 = 200;
/// Somebody else changes a file as often as it is written only where very many servers do so at once; then one of them succeeds.
const MAX_ROUNDS: u32 = 100;

/// The files of this process's users.
#[derive(Clone)]
pub(super) struct Histories {
    records: Arc<dyn MediaStore>,
    storage: Arc<dyn ObjectStorage>,
    documents: Arc<dyn MediaDocuments>,
    background: Arc<dyn Background>,
    /// The files that are being written, and whether to go round once more.
    being_written: Arc<Mutex<HashMap<HistoryFile, bool>>>,
}

impl Histories {
    pub(super) fn new(ports: &MediaPorts) -> Self {
        Self {
            records: Arc::clone(&ports.records),
            storage: Arc::clone(&ports.storage),
            documents: Arc::clone(&ports.documents),
            background: Arc::clone(&ports.background),
            being_written: Arc::default(),
        }
    }

    /// Sees to it, in the background, that a file holds what it should.
    pub(super) fn note(&self, file: HistoryFile) {
        match self.being_written.lock().unwrap_or_else(PoisonError::into_inner).entry(file) {
            Entry::Occupied(mut being_written) => {
                being_written.insert(true);
                return;
            }
            Entry::Vacant(place) => place.insert(false),
        };
        let histories = self.clone();
        self.background.spawn(Box::pin(async move {
            loop {
                if let Err(error) = histories.write_until_true(file).await {
                    tracing::error!(key = %file.key(), %error, "a history could not be written; its next line will bring it");
                }
                if !histories.goes_round_again(file) {
                    break;
                }
            }
        }));
    }

    fn goes_round_again(&self, file: HistoryFile) -> bool {
        let mut being_written = self.being_written.lock().unwrap_or_else(PoisonError::into_inner);
        let again = being_written.get_mut(&file).is_some_and(std::mem::take);
        if !again {
            being_written.remove(&file);
        }
        again
    }

    async fn write_until_true(&self, file: HistoryFile) -> Result<(), StoreError> {
        for _ in 0..MAX_ROUNDS {
            let written = self.write(file).await?;
            if self.digest(file).await? == written {
                return Ok(());
            }
        }
        Err(StoreError::Unavailable("others go on changing it".to_owned()))
    }

    /// Writes the file, or removes it if there is nothing to write, and answers the digest of its lines.
    async fn write(&self, file: HistoryFile) -> Result<u64, StoreError> {
        let mut upload = self.storage.begin(&file.key(), "application/x-ndjson").await?;
        let (mut digest, mut after, mut is_empty) = (DefaultHasher::new(), None, true);
        while let Some(page) = self.page(file, &mut after).await? {
            for record in page {
                let line = self.documents.history_line(&record);
                digest.write(&line);
                upload.write(line).await?;
                is_empty = false;
            }
        }
        if is_empty {
            drop(upload);
            self.storage.remove(&file.key()).await?;
        } else {
            upload.finish().await?;
        }
        Ok(digest.finish())
    }

    async fn digest(&self, file: HistoryFile) -> Result<u64, StoreError> {
        let (mut digest, mut after) = (DefaultHasher::new(), None);
        while let Some(page) = self.page(file, &mut after).await? {
            for record in page {
                digest.write(&self.documents.history_line(&record));
            }
        }
        Ok(digest.finish())
    }

    /// The next records, and the place after them.
    async fn page(&self, file: HistoryFile, after: &mut Option<Cursor>) -> Result<Option<Vec<MediaRecord>>, StoreError> {
        let page = self.records.ended_on(file, *after, PAGE).await?;
        *after = page.last().map(MediaRecord::cursor);
        Ok(after.map(|_| page))
    }
}
