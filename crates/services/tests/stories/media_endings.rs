//! How pictures and recordings end where something goes wrong at their very end.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::TimeDelta;
use domain::{Cursor, HistoryFile, MediaId, MediaKind, MediaRecord, MediaState, Page, PageRequest, Role, Timestamp};
use ports::{GenerationError, MediaStore, RecordScope, StoreError};
use services::ServiceError;
use test_support::FakeDatabase;
use test_support::builders::{a_speech_record, a_time};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::media::{Studio, says, shows};

/// What becomes of the call by which a record is noted as done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reply {
    /// It is kept, and that is said once the gate is open.
    Late,
    /// It is kept, and that is never said.
    Lost,
}

/// A database that has done what it was asked to before anybody hears of it.
struct Unheard {
    database: Arc<FakeDatabase>,
    reply: Reply,
    kept: Semaphore,
    gate: Semaphore,
}

impl Unheard {
    fn studio(reply: Reply) -> (Arc<Studio>, Arc<Self>) {
        let mut kept = None;
        let studio = Studio::build(true, |database| {
            let unheard = Arc::new(Self { database, reply, kept: Semaphore::new(0), gate: Semaphore::new(0) });
            kept = Some(Arc::clone(&unheard));
            unheard
        });
        (Arc::new(studio), kept.unwrap())
    }
}

#[async_trait]
impl MediaStore for Unheard {
    async fn add(&self, record: MediaRecord) -> Result<(), StoreError> {
        MediaStore::add(&*self.database, record).await
    }

    async fn get(&self, kind: MediaKind, id: MediaId) -> Result<MediaRecord, StoreError> {
        MediaStore::get(&*self.database, kind, id).await
    }

    async fn list(&self, kind: MediaKind, scope: RecordScope, page: PageRequest) -> Result<Page<MediaRecord>, StoreError> {
        MediaStore::list(&*self.database, kind, scope, page).await
    }

    async fn set_state(&self, id: MediaId, state: MediaState) -> Result<(), StoreError> {
        let is_end = matches!(state, MediaState::Done { .. });
        self.database.set_state(id, state).await?;
        if is_end {
            self.kept.add_permits(1);
            match self.reply {
                Reply::Late => self.gate.acquire().await.unwrap().forget(),
                Reply::Lost => return Err(StoreError::Corrupt("the connection broke".into())),
            }
        }
        Ok(())
    }

    async fn remove(&self, id: MediaId) -> Result<(), StoreError> {
        MediaStore::remove(&*self.database, id).await
    }

    async fn ended_on(&self, file: HistoryFile, after: Option<Cursor>, limit: u32) -> Result<Vec<MediaRecord>, StoreError> {
        self.database.ended_on(file, after, limit).await
    }

    async fn unfinished(&self, before: Timestamp, limit: u32) -> Result<Vec<MediaRecord>, StoreError> {
        self.database.unfinished(before, limit).await
    }

    async fn known(&self, uuids: Vec<Uuid>) -> Result<Vec<Uuid>, StoreError> {
        self.database.known(uuids).await
    }
}

#[tokio::test]
async fn who_goes_away_while_the_end_is_noted_leaves_a_record_with_its_object() {
    let (studio, unheard) = Unheard::studio(Reply::Late);
    let ana = studio.newcomer(Role::User).await;
    let speaking = tokio::spawn({
        let (studio, ana) = (Arc::clone(&studio), ana.clone());
        async move { studio.media.speak(Some(&ana), says("Hello")).await }
    });
    unheard.kept.acquire().await.unwrap().forget();
    speaking.abort();
    assert!(speaking.await.unwrap_err().is_cancelled());
    unheard.gate.add_permits(1);
    studio.background.finish().await;
    let record = &studio.all(MediaKind::Speech).await[0];
    assert!(matches!(record.state, MediaState::Done { .. }), "{record:?}");
    assert!(studio.storage.object(record.content_key().as_str()).is_some(), "a record that is done has its object");
    assert_eq!(studio.history(&ana).await, [format!("{} done Hello", record.id)]);
    let (used, reserved) = studio.used_tokens(&ana).await;
    assert!(used > 0 && reserved == 0, "{used} {reserved}");
}

#[tokio::test]
async fn a_reply_that_is_lost_changes_nothing() {
    let (studio, _) = Unheard::studio(Reply::Lost);
    let ana = studio.newcomer(Role::User).await;
    let record = studio.media.draw(Some(&ana), shows("A dragon")).await.unwrap();
    assert!(matches!(record.state, MediaState::Done { .. }), "{record:?}");
    assert!(studio.storage.object(record.content_key().as_str()).is_some());
    assert_eq!(studio.history(&ana).await, [format!("{} done A dragon", record.id)]);
}

#[tokio::test]
async fn what_takes_too_long_is_failed() {
    let studio = Studio::open();
    let ana = studio.newcomer(Role::User).await;
    studio.synthesizer.hang();
    let late = Err(ServiceError::Generation(GenerationError::DeadlineExceeded));
    assert_eq!(studio.media.speak(Some(&ana), says("Hello")).await, late);
    let record = &studio.all(MediaKind::Speech).await[0];
    assert_eq!(studio.history(&ana).await, [format!("{} failed Hello", record.id)]);
    assert!(studio.storage.object(record.content_key().as_str()).is_none());
    assert_eq!(studio.used_tokens(&ana).await, (0, 0));
}

#[tokio::test]
async fn abandoned_records_that_cannot_be_failed_now_are_left_to_a_later_sweep() {
    let refusing = |database: Arc<FakeDatabase>| -> Arc<dyn MediaStore> {
        let mut store = ports::MockMediaStore::new();
        let listing = Arc::clone(&database);
        store
            .expect_unfinished()
            .times(1)
            .returning(move |before, limit| futures_util::FutureExt::now_or_never(listing.unfinished(before, limit)).unwrap());
        store.expect_set_state().times(1..).returning(|_, _| Err(StoreError::Unavailable("the disk is full".into())));
        Arc::new(store)
    };
    let studio = Studio::build(true, refusing);
    for n in 0..500 {
        let id = MediaId::owned(Uuid::from_u128(n));
        let record = MediaRecord { id, state: MediaState::Running, ..a_speech_record(None) };
        MediaStore::add(&*studio.database, record).await.unwrap();
    }
    assert_eq!(studio.media.fail_abandoned(a_time() + TimeDelta::seconds(1)).await, Ok(0));
}
