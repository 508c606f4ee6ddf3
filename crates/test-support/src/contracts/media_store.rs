//! The stories of [`ports::MediaStore`].

use chrono::TimeDelta;
use domain::{
    AudioFormat, Cursor, ImageSize, MediaId, MediaKind, MediaRecord, MediaSettings, MediaState, ModelName, Pitch, Seed, Speed,
    VoiceName,
};
use ports::{RecordScope, StoreError};

use super::{Stores, all_pages, error_of};
use crate::builders::{a_picture_record, a_speech_record, a_time, a_user_id, a_uuid};

const EVERYONE: RecordScope = RecordScope::Everyone;

async fn a_kept_recording(stores: &Stores) -> MediaRecord {
    let record = a_speech_record(Some(stores.add_a_user().await.id));
    stores.media.add(record.clone()).await.unwrap();
    record
}

fn done() -> MediaState {
    MediaState::Done { size_bytes: u64::from(u32::MAX) + 1, finished_at: a_time() + TimeDelta::microseconds(1) }
}

fn failed(reason: &str) -> MediaState {
    MediaState::Failed { reason: reason.into(), finished_at: a_time() }
}

/// Field by field, in every state.
pub async fn a_record_comes_back_as_it_was_added(stores: &Stores) {
    let user_id = stores.add_a_user().await.id;
    let speech = MediaSettings::Speech {
        voice: VoiceName::new("zh-CN").unwrap(),
        format: AudioFormat::Opus,
        speed: Speed::new(0.1 + 0.2).unwrap(),
        pitch: Pitch::new(2.0).unwrap(),
    };
    let image = MediaSettings::Image { size: ImageSize::new(64, 2048).unwrap(), seed: Seed::new(i64::MAX).unwrap() };
    let states = [MediaState::Queued, MediaState::Running, done(), failed("a \0 and a \u{10}")];
    for (settings, state) in [speech, image].into_iter().flat_map(|s| states.clone().map(|state| (s.clone(), state))) {
        for (id, user_id) in [(a_speech_record(None).id, None), (MediaId::owned(a_uuid()), Some(user_id))] {
            let record = MediaRecord {
                id,
                user_id,
                prompt: "Olá\0, 世界 \u{10}".into(),
                model: ModelName::new("openai:tts-1").unwrap(),
                settings: settings.clone(),
                state: state.clone(),
                created_at: a_time() + TimeDelta::microseconds(7),
            };
            stores.media.add(record.clone()).await.unwrap();
            assert!(stores.media.get(record.kind(), id).await.unwrap() == record, "{record:?}");
        }
    }
}

/// The account may go meanwhile.
pub async fn a_record_of_an_account_that_is_gone_is_not_kept(stores: &Stores) {
    let record = a_speech_record(Some(a_user_id()));
    assert_eq!(error_of(stores.media.add(record.clone()).await), StoreError::NotFound);
    assert_eq!(error_of(stores.media.get(MediaKind::Speech, record.id).await), StoreError::NotFound);
}

/// Whatever happens elsewhere.
pub async fn the_same_record_is_not_kept_twice(stores: &Stores) {
    let record = a_kept_recording(stores).await;
    assert_eq!(error_of(stores.media.add(record).await), StoreError::Conflict { field: "id" });
}

/// And a picture under a recording's route neither.
pub async fn a_record_of_another_kind_or_secret_is_not_found(stores: &Stores) {
    let record = a_speech_record(None);
    stores.media.add(record.clone()).await.unwrap();
    assert_eq!(error_of(stores.media.get(MediaKind::Image, record.id).await), StoreError::NotFound);
    for id in [MediaId::owned(record.id.uuid()), MediaId::anonymous(record.id.uuid(), 0)] {
        assert_eq!(error_of(stores.media.get(MediaKind::Speech, id).await), StoreError::NotFound, "half an identifier is none");
    }
}

/// And once it has, it stays so.
pub async fn a_record_goes_on_until_it_has_ended(stores: &Stores) {
    for end in [done(), failed("no network")] {
        let record = MediaRecord { state: MediaState::Queued, ..a_speech_record(None) };
        stores.media.add(record.clone()).await.unwrap();
        for state in [MediaState::Running, end.clone()] {
            stores.media.set_state(record.id, state.clone()).await.unwrap();
            assert_eq!(stores.media.get(MediaKind::Speech, record.id).await.unwrap().state, state);
        }
        for state in [MediaState::Running, failed("too late"), done()] {
            let refused = error_of(stores.media.set_state(record.id, state).await);
            assert_eq!(refused, StoreError::Conflict { field: "state" });
        }
        assert_eq!(stores.media.get(MediaKind::Speech, record.id).await.unwrap().state, end);
    }
    assert_eq!(error_of(stores.media.set_state(MediaId::owned(a_uuid()), done()).await), StoreError::NotFound);
}

/// Of one kind, and nobody else's.
pub async fn a_users_records_are_listed_newest_first_a_page_at_a_time(stores: &Stores) {
    let user_id = stores.add_a_user().await.id;
    let mut expected = Vec::new();
    for n in 0..7 {
        let record = MediaRecord { created_at: a_time() + TimeDelta::microseconds(n / 3), ..a_speech_record(Some(user_id)) };
        stores.media.add(record.clone()).await.unwrap();
        stores.media.add(a_speech_record(None)).await.unwrap();
        stores.media.add(a_picture_record(Some(user_id))).await.unwrap();
        expected.insert(0, record);
    }
    for limit in [1, 2, 3, 7, 200] {
        let turn = |page| stores.media.list(MediaKind::Speech, RecordScope::Of(user_id), page);
        assert_eq!(all_pages(limit, turn).await, expected, "pages of {limit}");
    }
}

/// Those of nobody too.
pub async fn everybodys_records_are_listed_together(stores: &Stores) {
    let mut expected = Vec::new();
    for user_id in [None, Some(stores.add_a_user().await.id), None, Some(stores.add_a_user().await.id)] {
        let record = a_picture_record(user_id);
        stores.media.add(record.clone()).await.unwrap();
        expected.insert(0, record);
    }
    for limit in [1, 3, 200] {
        let listed = all_pages(limit, |page| stores.media.list(MediaKind::Image, EVERYONE, page)).await;
        assert_eq!(listed, expected, "pages of {limit}");
    }
}

/// And no other.
pub async fn a_removed_record_is_gone(stores: &Stores) {
    let (gone, stays) = (a_kept_recording(stores).await, a_kept_recording(stores).await);
    stores.media.remove(gone.id).await.unwrap();
    assert_eq!(error_of(stores.media.get(MediaKind::Speech, gone.id).await), StoreError::NotFound);
    assert_eq!(error_of(stores.media.remove(gone.id).await), StoreError::NotFound);
    assert_eq!(stores.media.get(MediaKind::Speech, stays.id).await.unwrap(), stays);
}

/// Nobody's stay.
pub async fn records_go_with_their_account(stores: &Stores) {
    let (record, nobodys) = (a_kept_recording(stores).await, a_speech_record(None));
    stores.media.add(nobodys.clone()).await.unwrap();
    stores.users.remove(record.user_id.unwrap()).await.unwrap();
    assert_eq!(error_of(stores.media.get(MediaKind::Speech, record.id).await), StoreError::NotFound);
    assert_eq!(stores.media.get(MediaKind::Speech, nobodys.id).await.unwrap(), nobodys);
}

/// Oldest first, from where one stopped; what has not ended is not among them.
pub async fn what_ended_on_a_day_is_given_oldest_first(stores: &Stores) {
    let user_id = stores.add_a_user().await.id;
    let mut expected = Vec::new();
    for n in 0..5 {
        let record = MediaRecord { created_at: a_time() + TimeDelta::minutes(n / 2), ..a_speech_record(Some(user_id)) };
        stores.media.add(record.clone()).await.unwrap();
        expected.push(record);
    }
    let others = [
        MediaRecord { state: MediaState::Running, ..a_speech_record(Some(user_id)) },
        MediaRecord { created_at: a_time() + TimeDelta::hours(12), ..a_speech_record(Some(user_id)) },
        MediaRecord { created_at: a_time() - TimeDelta::hours(13), ..a_speech_record(Some(user_id)) },
        a_picture_record(Some(user_id)),
        a_speech_record(None),
    ];
    for other in others {
        stores.media.add(other).await.unwrap();
    }
    let file = expected[0].history_file().unwrap();
    for limit in [1, 2, 5, 200] {
        let mut found: Vec<MediaRecord> = Vec::new();
        loop {
            let after: Option<Cursor> = found.last().map(MediaRecord::cursor);
            let page = stores.media.ended_on(file, after, limit).await.unwrap();
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        assert_eq!(found, expected, "{limit} at a time");
    }
}

/// The oldest first.
pub async fn what_has_not_ended_by_a_time_is_found(stores: &Stores) {
    let of = |minutes, state| MediaRecord { created_at: a_time() - TimeDelta::minutes(minutes), state, ..a_speech_record(None) };
    let (old, older) = (of(10, MediaState::Running), of(20, MediaState::Queued));
    for record in [&old, &older, &of(1, MediaState::Running), &of(30, done()), &of(30, failed("x"))] {
        stores.media.add(record.clone()).await.unwrap();
    }
    let before = a_time() - TimeDelta::minutes(5);
    assert_eq!(stores.media.unfinished(before, 10).await.unwrap(), [older.clone(), old]);
    assert_eq!(stores.media.unfinished(before, 1).await.unwrap(), [older]);
}

/// For whoever looks after objects.
pub async fn the_uuids_of_records_are_told_from_others(stores: &Stores) {
    let (owned, anonymous) = (a_kept_recording(stores).await.id, a_picture_record(None));
    stores.media.add(anonymous.clone()).await.unwrap();
    let uuids = vec![a_uuid(), owned.uuid(), anonymous.id.uuid()];
    assert_eq!(stores.media.known(uuids).await.unwrap(), [owned.uuid(), anonymous.id.uuid()]);
    assert_eq!(stores.media.known(vec![anonymous.id.uuid()]).await.unwrap(), [anonymous.id.uuid()]);
    assert!(stores.media.known(Vec::new()).await.unwrap().is_empty());
}

/// Makes a test of every story, of what `$make` gives.
#[macro_export]
macro_rules! media_store_contract {
    ($make:path) => {
        $crate::stories! {
            $make, media_store,
            a_record_comes_back_as_it_was_added,
            a_record_of_an_account_that_is_gone_is_not_kept,
            the_same_record_is_not_kept_twice,
            a_record_of_another_kind_or_secret_is_not_found,
            a_record_goes_on_until_it_has_ended,
            a_users_records_are_listed_newest_first_a_page_at_a_time,
            everybodys_records_are_listed_together,
            a_removed_record_is_gone,
            records_go_with_their_account,
            what_ended_on_a_day_is_given_oldest_first,
            what_has_not_ended_by_a_time_is_found,
            the_uuids_of_records_are_told_from_others,
        }
    };
}
