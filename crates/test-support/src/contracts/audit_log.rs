//! The stories of [`ports::AuditLog`].

use chrono::TimeDelta;
use domain::{AUDIT_GENESIS_HASH, AuditAction, AuditEntry, AuditEvent};
use ports::{AuditFilter, AuditVerdict};
use sha2::{Digest as _, Sha256};

use super::{Stores, all_at_once};
use crate::builders::{a_time, a_user_id, an_audit_entry};

async fn append(stores: &Stores, entry: AuditEntry) -> AuditEvent {
    stores.audit_log.append(entry).await.unwrap()
}

async fn everything(stores: &Stores) -> Vec<AuditEvent> {
    stores.audit_log.list(AuditFilter::default(), None, 1000).await.unwrap()
}

/// As anybody can compute it who knows what was written.
fn hash_of(event: &AuditEvent) -> String {
    hex::encode(Sha256::digest(event.entry.hashed_text(event.sequence, &event.previous_hash)))
}

/// From the first, which follows on the hash before all.
pub async fn each_event_is_numbered_and_chained_to_the_one_before(stores: &Stores) {
    let mut previous_hash = AUDIT_GENESIS_HASH.to_owned();
    for sequence in 1..=5 {
        let entry = an_audit_entry();
        let event = append(stores, entry.clone()).await;
        assert_eq!((event.sequence, &event.previous_hash, &event.entry), (sequence, &previous_hash, &entry));
        assert_eq!(event.hash, hash_of(&event));
        previous_hash = event.hash;
    }
}

/// Nothing is lost or changed, whatever a stranger types as a name.
pub async fn an_event_comes_back_as_it_was_added(stores: &Stores) {
    let strange = AuditEntry {
        occurred_at: a_time() + TimeDelta::microseconds(123_456),
        action: AuditAction::SignInFailed,
        actor: None,
        subject: "Ñandú \0 \u{10}0 '; DROP TABLE audit_events; -- 🐦".into(),
        address: None,
        detail: "\0".into(),
    };
    let first = append(stores, strange.clone()).await;
    let second = append(stores, an_audit_entry()).await;
    assert_eq!(first.entry, strange);
    assert_eq!(everything(stores).await, [second, first]);
    assert_eq!(stores.audit_log.verify().await.unwrap(), AuditVerdict::Intact { events: 2 });
}

/// The hash is of what is kept, so it still fits when it is read again.
pub async fn what_is_finer_than_a_microsecond_does_not_break_the_chain(stores: &Stores) {
    let finer = AuditEntry { occurred_at: a_time() + TimeDelta::nanoseconds(1_999), ..an_audit_entry() };
    append(stores, finer).await;
    append(stores, an_audit_entry()).await;
    assert_eq!(stores.audit_log.verify().await.unwrap(), AuditVerdict::Intact { events: 2 });
}

/// A page at a time, by the number of the last one seen.
pub async fn events_are_listed_newest_first_and_go_on_before_a_number(stores: &Stores) {
    for _ in 0..5 {
        append(stores, an_audit_entry()).await;
    }
    let page = async |before, limit| {
        let events = stores.audit_log.list(AuditFilter::default(), before, limit).await.unwrap();
        events.into_iter().map(|event| event.sequence).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 2).await, [5, 4]);
    assert_eq!(page(Some(4), 2).await, [3, 2]);
    assert_eq!(page(Some(2), 2).await, [1]);
    assert_eq!(page(Some(1), 2).await, []);
    assert_eq!(page(Some(i64::MIN), 2).await, []);
    assert_eq!(page(Some(i64::MAX), u32::MAX).await, [5, 4, 3, 2, 1]);
    assert_eq!(page(None, 0).await, []);
}

/// By what was done, by whom and to whom; what is asked for together must hold together.
pub async fn events_are_found_by_action_actor_and_subject(stores: &Stores) {
    let (ana, eva) = (a_user_id(), a_user_id());
    let entry = |action, actor, subject: &str| AuditEntry { action, actor, subject: subject.into(), ..an_audit_entry() };
    append(stores, entry(AuditAction::SignedIn, Some(ana), "user:ana")).await;
    append(stores, entry(AuditAction::SignedIn, Some(eva), "user:eva")).await;
    append(stores, entry(AuditAction::AccountRemoved, Some(ana), "user:eva")).await;
    append(stores, entry(AuditAction::SignInFailed, None, "\0")).await;
    let found = async |filter, before| {
        let events = stores.audit_log.list(filter, before, 10).await.unwrap();
        events.into_iter().map(|event| event.sequence).collect::<Vec<_>>()
    };
    let any = AuditFilter::default;
    assert_eq!(found(AuditFilter { action: Some(AuditAction::SignedIn), ..any() }, None).await, [2, 1]);
    assert_eq!(found(AuditFilter { actor: Some(ana), ..any() }, None).await, [3, 1]);
    assert_eq!(found(AuditFilter { subject: Some("user:eva".into()), ..any() }, None).await, [3, 2]);
    assert_eq!(found(AuditFilter { subject: Some("\0".into()), ..any() }, None).await, [4]);
    assert_eq!(found(AuditFilter { subject: Some("user:".into()), ..any() }, None).await, []);
    let all = AuditFilter { action: Some(AuditAction::SignedIn), actor: Some(ana), subject: Some("user:ana".into()) };
    assert_eq!(found(all.clone(), None).await, [1]);
    assert_eq!(found(all, Some(1)).await, []);
}

/// Whichever replica they come from.
pub async fn the_chain_has_no_gap_when_many_append_at_once(stores: &Stores) {
    let mut appended = all_at_once(20, || {
        let log = stores.audit_log.clone();
        async move { log.append(an_audit_entry()).await.unwrap() }
    })
    .await;
    appended.sort_by_key(|event| event.sequence);
    assert_eq!(appended.iter().map(|event| event.sequence).collect::<Vec<_>>(), (1..=20).collect::<Vec<_>>());
    for pair in appended.windows(2) {
        assert_eq!(pair[1].previous_hash, pair[0].hash);
    }
    appended.reverse();
    assert_eq!(everything(stores).await, appended);
    assert_eq!(stores.audit_log.verify().await.unwrap(), AuditVerdict::Intact { events: 20 });
}

/// Nothing is wrong with what did not happen.
pub async fn an_empty_log_is_intact(stores: &Stores) {
    assert_eq!(stores.audit_log.verify().await.unwrap(), AuditVerdict::Intact { events: 0 });
    assert_eq!(everything(stores).await, []);
}

/// A check sees a whole log, whatever is added while it reads.
pub async fn a_check_is_not_confused_by_events_that_are_added_meanwhile(stores: &Stores) {
    let log = stores.audit_log.clone();
    let writing = tokio::spawn(async move {
        for _ in 0..60 {
            log.append(an_audit_entry()).await.unwrap();
        }
    });
    while !writing.is_finished() {
        let verdict = stores.audit_log.verify().await.unwrap();
        assert!(matches!(verdict, AuditVerdict::Intact { .. }), "{verdict:?}");
    }
    writing.await.unwrap();
    assert_eq!(stores.audit_log.verify().await.unwrap(), AuditVerdict::Intact { events: 60 });
}

/// Who was removed did what they did.
pub async fn events_outlive_the_account_they_speak_of(stores: &Stores) {
    let user = stores.add_a_user().await;
    let event = append(stores, AuditEntry { actor: Some(user.id), ..an_audit_entry() }).await;
    stores.users.remove(user.id).await.unwrap();
    assert_eq!(everything(stores).await, [event]);
    assert_eq!(stores.audit_log.verify().await.unwrap(), AuditVerdict::Intact { events: 1 });
}

/// Makes a test of every story, of what `$make` gives.
#[macro_export]
macro_rules! audit_log_contract {
    ($make:path) => {
        $crate::stories! {
            $make, audit_log,
            each_event_is_numbered_and_chained_to_the_one_before,
            an_event_comes_back_as_it_was_added,
            what_is_finer_than_a_microsecond_does_not_break_the_chain,
            events_are_listed_newest_first_and_go_on_before_a_number,
            events_are_found_by_action_actor_and_subject,
            the_chain_has_no_gap_when_many_append_at_once,
            an_empty_log_is_intact,
            a_check_is_not_confused_by_events_that_are_added_meanwhile,
            events_outlive_the_account_they_speak_of,
        }
    };
}
