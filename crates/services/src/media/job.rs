//! A record on its way from `queued` to its end.
//!
//! The order is what a crash cannot break: the record, then the object, then the document beside it, then the record's `done`. A job that
//! is dropped before its end (the caller went away, the server stops) is failed in the background; one whose process dies is failed by
//! the sweeper. Either way the objects go, so that nothing half-made is kept. The end itself is not broken off: a database commits also
//! what nobody waits for any more, and a record must not be failed that has just become `done`.

use std::sync::Arc;

use domain::{MediaRecord, MediaState, ObjectKey};
use ports::{GenerationError, ObjectStorage, StoreError};
use tracing::Instrument as _;

use super::histories::Histories;
use super::under_way::Counted;
use super::{MediaPorts, MediaService, not_found, storage_error};
use crate::keeping::{persistently, to_the_end};
use crate::{ServiceError, TokenHold};

/// What its owner reads of a job whose caller went away.
const BROKEN_OFF: &str = "the caller went away before it was made";

pub(super) struct Job {
    ports: Arc<MediaPorts>,
    histories: Histories,
    /// `None` once it has ended.
    record: Option<MediaRecord>,
    /// The caller's tokens that are set aside; given back when the job does not end well.
    hold: Option<(TokenHold, u32)>,
    _counted: Counted,
}

impl MediaService {
    /// Keeps a record that waits for its turn, unless its owner has enough under way.
    pub(super) async fn queue(&self, record: MediaRecord, hold: Option<(TokenHold, u32)>) -> Result<Job, ServiceError> {
        let counted = self.under_way.begin(record.user_id)?;
        self.ports.records.add(record.clone()).await.map_err(ServiceError::Store)?;
        let (ports, histories) = (Arc::clone(&self.ports), self.histories.clone());
        Ok(Job { ports, histories, record: Some(record), hold, _counted: counted })
    }
}

impl Job {
    /// Ends a job that was refused before it began: nothing is kept of it.
    pub(super) async fn withdraw(mut self) -> Result<(), ServiceError> {
        let Some(record) = self.record.take() else { return Ok(()) };
        let records = Arc::clone(&self.ports.records);
        let removal = async move { records.remove(record.id).await };
        to_the_end(&*self.ports.background, removal).await.map_err(ServiceError::Store)
    }

    /// Notes that it is being made, and keeps what was asked for.
    pub(super) async fn run(&mut self) -> Result<MediaRecord, ServiceError> {
        let Some(record) = &mut self.record else { return Err(ended_twice()) };
        self.ports.records.set_state(record.id, MediaState::Running).await.map_err(|error| gone(record, error))?;
        record.state = MediaState::Running;
        let input = self.ports.documents.input(record);
        let storage = &*self.ports.storage;
        put(storage, &record.input_key(), "application/json", input).await.map_err(|error| storage_error(storage, error))?;
        Ok(record.clone())
    }

    /// Ends it well, its object being kept.
    pub(super) async fn finish(&mut self, size_bytes: u64) -> Result<MediaRecord, ServiceError> {
        let Some(record) = &self.record else { return Err(ended_twice()) };
        let state = MediaState::Done { size_bytes, finished_at: self.ports.clock.now() };
        let record = MediaRecord { state, ..record.clone() };
        let document = self.ports.documents.record(&record);
        let storage = &*self.ports.storage;
        put(storage, &record.record_key(), "application/json", document).await.map_err(|error| storage_error(storage, error))?;
        self.record = None;
        let (ports, histories, hold) = (Arc::clone(&self.ports), self.histories.clone(), self.hold.take());
        to_the_end(&*self.ports.background, end_well(ports, histories, record, hold)).await
    }

    /// Ends it with what went wrong, and gives that back.
    pub(super) async fn fail(mut self, error: ServiceError) -> ServiceError {
        if let Some(record) = self.record.take() {
            let reason = reason(&error);
            tracing::info!(media_id = %record.id.uuid(), kind = record.kind().as_str(), reason, "a picture or a recording failed");
            let (ports, histories) = (Arc::clone(&self.ports), self.histories.clone());
            let end = async move { end_badly(&ports, &histories, record, reason).await };
            to_the_end(&*self.ports.background, end).await;
        }
        error
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let Some(record) = self.record.take() else { return };
        let (ports, histories) = (Arc::clone(&self.ports), self.histories.clone());
        self.ports.background.spawn(Box::pin(async move {
            end_badly(&ports, &histories, record, BROKEN_OFF.to_owned()).await;
        }));
    }
}

/// Notes that a record is `done`, and settles what it cost.
async fn end_well(
    ports: Arc<MediaPorts>,
    histories: Histories,
    record: MediaRecord,
    hold: Option<(TokenHold, u32)>,
) -> Result<MediaRecord, ServiceError> {
    let note_done = || ports.records.set_state(record.id, record.state.clone());
    if let Err(error) = persistently(&*ports.timer, |_| false, note_done).await
        // A store may have kept what it could not say that it kept.
        && !is_done(&ports, &record).await
    {
        let error = gone(&record, error);
        end_badly(&ports, &histories, record, reason(&error)).await;
        return Err(error);
    }
    if let Some(file) = record.history_file() {
        histories.note(file);
    }
    if let Some((hold, tokens)) = hold {
        hold.settle(tokens).await;
    }
    Ok(record)
}

async fn is_done(ports: &MediaPorts, record: &MediaRecord) -> bool {
    let kept = ports.records.get(record.kind(), record.id).await;
    kept.is_ok_and(|kept| matches!(kept.state, MediaState::Done { .. }))
}

/// Fails a record that has not ended, and removes its objects in the background: a storage that is slow to answer keeps nobody waiting.
/// Answers whether the record has ended now. What cannot be done now is left to the sweeper.
pub(super) async fn end_badly(ports: &Arc<MediaPorts>, histories: &Histories, record: MediaRecord, reason: String) -> bool {
    let state = MediaState::Failed { reason, finished_at: ports.clock.now() };
    let record = MediaRecord { state, ..record };
    let marked = ports.records.set_state(record.id, record.state.clone()).await;
    if let Err(error @ (StoreError::Unavailable(_) | StoreError::Corrupt(_))) = marked {
        note(Err(error), &record, "a record could not be marked as failed; the sweeper will");
        return false;
    }
    let (for_clearing, histories) = (Arc::clone(ports), histories.clone());
    let clear = async move { clear_up(&for_clearing, &histories, &record, marked).await };
    ports.background.spawn(Box::pin(clear.in_current_span()));
    true
}

async fn clear_up(ports: &MediaPorts, histories: &Histories, record: &MediaRecord, marked: Result<(), StoreError>) {
    match marked {
        Ok(()) => {
            remove_content(ports, record).await;
            let document = ports.documents.record(record);
            let kept = put(&*ports.storage, &record.record_key(), "application/json", document).await;
            note(kept.map(drop), record, "the document of a failed record could not be kept");
            if let Some(file) = record.history_file() {
                histories.note(file);
            }
        }
        // It was removed meanwhile, and so is all of it.
        Err(StoreError::NotFound) => remove_all(ports, record).await,
        // Somebody else has ended it: the sweeper, which took this process for dead, or whoever made it, after all.
        Err(_) if is_done(ports, record).await => {}
        Err(_) => remove_content(ports, record).await,
    }
}

/// Removes the object and its small copy.
async fn remove_content(ports: &MediaPorts, record: &MediaRecord) {
    let keys = [Some(record.content_key()), record.thumbnail_key()];
    for key in keys.into_iter().flatten() {
        note(ports.storage.remove(&key).await, record, "an object could not be removed; the sweeper will");
    }
}

/// Removes every object of a record.
pub(super) async fn remove_all(ports: &MediaPorts, record: &MediaRecord) {
    remove_content(ports, record).await;
    for key in [record.input_key(), record.record_key()] {
        note(ports.storage.remove(&key).await, record, "an object could not be removed; the sweeper will");
    }
}

fn note(done: Result<(), StoreError>, record: &MediaRecord, what: &'static str) {
    if let Err(error) = done {
        tracing::error!(media_id = %record.id.uuid(), %error, "{what}");
    }
}

/// Keeps a small object.
pub(super) async fn put(
    storage: &dyn ObjectStorage,
    key: &ObjectKey,
    content_type: &'static str,
    bytes: bytes::Bytes,
) -> Result<u64, StoreError> {
    let mut upload = storage.begin(key, content_type).await?;
    upload.write(bytes).await?;
    upload.finish().await
}

/// A record that is no longer there was removed by its owner, or ended by somebody else.
fn gone(record: &MediaRecord, error: StoreError) -> ServiceError {
    match error {
        StoreError::NotFound | StoreError::Conflict { .. } => not_found(record.kind()),
        other => ServiceError::Store(other),
    }
}

fn ended_twice() -> ServiceError {
    GenerationError::Failed("a job ended twice".to_owned()).into()
}

/// What its owner reads: as much as the answer told, and no cause that is for the log.
fn reason(error: &ServiceError) -> String {
    match error {
        ServiceError::Generation(GenerationError::Failed(_)) => "the server failed".to_owned(),
        ServiceError::Generation(GenerationError::ProviderFailed { provider, .. }) => format!("{provider} answered badly"),
        ServiceError::Store(_) | ServiceError::StorageUnavailable { .. } => "the storage could not keep it".to_owned(),
        other => other.to_string(),
    }
}
