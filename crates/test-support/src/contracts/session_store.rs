//! The stories of [`ports::SessionStore`].

use chrono::{DateTime, TimeDelta, Utc};
use domain::{PasswordHash, RefreshTokenHash, Session, SessionId, User, UserId};
use ports::{Rotation, SignInTerms, StoreError, UserChange};

use super::{Stores, all_at_once, all_pages, error_of};
use crate::builders::{a_session, a_time, a_token_hash, a_user_id, a_uuid, sign_in_terms};

fn later(minutes: i64) -> DateTime<Utc> {
    a_time() + TimeDelta::minutes(minutes)
}

/// A user's session and its current token.
async fn signed_in(stores: &Stores, user_id: UserId) -> (Session, RefreshTokenHash) {
    let (session, token) = (a_session(user_id), a_token_hash());
    stores.begin_session(&session, token.clone()).await;
    (session, token)
}

async fn a_signed_in_user(stores: &Stores) -> (User, Session, RefreshTokenHash) {
    let user = stores.add_a_user().await;
    let (session, token) = signed_in(stores, user.id).await;
    (user, session, token)
}

async fn kept(stores: &Stores, id: SessionId) -> Session {
    stores.sessions.get_with_user(id).await.unwrap().0
}

/// The user's sessions that are alive, gathered from pages of so many.
async fn alive(stores: &Stores, user_id: UserId, now: DateTime<Utc>, limit: i64) -> Vec<SessionId> {
    let sessions = all_pages(limit, |page| stores.sessions.list_alive(user_id, now, page)).await;
    sessions.into_iter().map(|session| session.id).collect()
}

async fn rotate(stores: &Stores, presented: &RefreshTokenHash, next: &RefreshTokenHash, now: DateTime<Utc>) -> Rotation {
    stores.sessions.rotate(presented.clone(), next.clone(), now, now + TimeDelta::days(30)).await.unwrap()
}

/// Nothing is lost or changed.
pub async fn a_session_comes_back_as_it_was_added_with_its_user(stores: &Stores) {
    let user = stores.add_a_user().await;
    let session = Session {
        last_used_at: a_time() + TimeDelta::microseconds(1),
        expires_at: a_time() + TimeDelta::microseconds(654_321),
        revoked_at: Some(a_time() + TimeDelta::microseconds(2)),
        client: Some("Ñandú/1.0 \u{10}0 \0 (🐦)".into()),
        address: None,
        ..a_session(user.id)
    };
    stores.begin_session(&session, a_token_hash()).await;
    assert_eq!(stores.sessions.get_with_user(session.id).await.unwrap(), (session, user));
}

/// The user is read anew each time: a role taken away is gone at once.
pub async fn a_sessions_user_is_as_they_are_now(stores: &Stores) {
    stores.add_a_user().await;
    let (user, session, _) = a_signed_in_user(stores).await;
    let change = UserChange { disabled: Some(true), ..UserChange::default() };
    let changed = stores.users.change(user.id, change).await.unwrap().after;
    assert_eq!(stores.sessions.get_with_user(session.id).await.unwrap().1, changed);
}

/// Nor is a session of somebody who is not there kept.
pub async fn a_session_without_its_user_is_not_found(stores: &Stores) {
    let orphan = a_session(a_user_id());
    assert_eq!(error_of(stores.sessions.add(orphan.clone(), a_token_hash(), sign_in_terms()).await), StoreError::NotFound);
    assert_eq!(error_of(stores.sessions.get_with_user(orphan.id).await), StoreError::NotFound);
    let (user, session, _) = a_signed_in_user(stores).await;
    stores.users.remove(user.id).await.unwrap();
    assert_eq!(error_of(stores.sessions.get_with_user(session.id).await), StoreError::NotFound);
}

/// The session is used now and lives on.
pub async fn a_rotation_spends_the_old_token_and_renews_the_session(stores: &Stores) {
    let (_, session, first) = a_signed_in_user(stores).await;
    let (second, third) = (a_token_hash(), a_token_hash());
    let renewed =
        |minutes| Session { last_used_at: later(minutes), expires_at: later(minutes) + TimeDelta::days(30), ..session.clone() };
    assert_eq!(rotate(stores, &first, &second, later(1)).await, Rotation::Rotated(renewed(1)));
    assert_eq!(rotate(stores, &second, &third, later(2)).await, Rotation::Rotated(renewed(2)));
    assert_eq!(kept(stores, session.id).await, renewed(2));
}

/// Whoever presents a spent token holds a copy; which of the two is the thief, nobody knows.
pub async fn a_spent_token_ends_the_session_and_the_current_token_with_it(stores: &Stores) {
    let (_, session, first) = a_signed_in_user(stores).await;
    let second = a_token_hash();
    rotate(stores, &first, &second, later(1)).await;
    let until_then = kept(stores, session.id).await;
    assert_eq!(rotate(stores, &first, &a_token_hash(), later(2)).await, Rotation::Reused(until_then));
    assert_eq!(kept(stores, session.id).await.revoked_at, Some(later(2)));
    assert_eq!(kept(stores, session.id).await.last_used_at, later(1), "a thief's attempt is no use");
    assert_eq!(rotate(stores, &second, &a_token_hash(), later(3)).await, Rotation::Unknown);
    assert_eq!(rotate(stores, &first, &a_token_hash(), later(3)).await, Rotation::Unknown);
}

/// Nobody else is thrown out.
pub async fn a_spent_token_ends_no_other_session(stores: &Stores) {
    let (user, _, first) = a_signed_in_user(stores).await;
    let (other, other_token) = signed_in(stores, user.id).await;
    rotate(stores, &first, &a_token_hash(), later(1)).await;
    rotate(stores, &first, &a_token_hash(), later(2)).await;
    assert_eq!(kept(stores, other.id).await.revoked_at, None);
    assert!(matches!(rotate(stores, &other_token, &a_token_hash(), later(3)).await, Rotation::Rotated(_)));
}

/// The one that comes second is taken for a thief, which is safe.
pub async fn of_many_who_present_one_token_at_once_exactly_one_is_served(stores: &Stores) {
    let (_, session, token) = a_signed_in_user(stores).await;
    let attempts: Vec<_> = (0..8)
        .map(|_| {
            let (sessions, token) = (stores.sessions.clone(), token.clone());
            tokio::spawn(async move { sessions.rotate(token, a_token_hash(), later(1), later(2)).await.unwrap() })
        })
        .collect();
    let mut outcomes = Vec::new();
    for attempt in attempts {
        outcomes.push(attempt.await.unwrap());
    }
    let count = |wanted: fn(&Rotation) -> bool| outcomes.iter().filter(|outcome| wanted(outcome)).count();
    assert_eq!(count(|outcome| matches!(outcome, Rotation::Rotated(_))), 1, "{outcomes:?}");
    assert_eq!(
        count(|outcome| matches!(outcome, Rotation::Reused(_))),
        1,
        "the second finds it spent, the others find no session"
    );
    assert_eq!(kept(stores, session.id).await.revoked_at, Some(later(1)));
}

/// Neither unknown tokens nor those of sessions that are over.
pub async fn a_token_without_a_living_session_is_unknown(stores: &Stores) {
    let (user, session, token) = a_signed_in_user(stores).await;
    assert_eq!(rotate(stores, &a_token_hash(), &a_token_hash(), later(1)).await, Rotation::Unknown);
    assert_eq!(rotate(stores, &token, &a_token_hash(), session.expires_at).await, Rotation::Unknown, "it ends at its end");
    assert!(matches!(
        rotate(stores, &token, &a_token_hash(), session.expires_at - TimeDelta::microseconds(1)).await,
        Rotation::Rotated(_)
    ));
    let (revoked, token) = signed_in(stores, user.id).await;
    stores.sessions.revoke(user.id, revoked.id, later(1)).await.unwrap();
    assert_eq!(rotate(stores, &token, &a_token_hash(), later(2)).await, Rotation::Unknown);
}

/// Logging out works with whatever token the client still has.
pub async fn a_session_is_ended_by_its_current_or_a_spent_token(stores: &Stores) {
    for present_spent in [false, true] {
        let (_, session, first) = a_signed_in_user(stores).await;
        let second = a_token_hash();
        rotate(stores, &first, &second, later(1)).await;
        let presented = if present_spent { first } else { second };
        let ended = stores.sessions.revoke_by_token(presented.clone(), later(2)).await.unwrap();
        assert_eq!(ended, Some(session.id));
        assert_eq!(kept(stores, session.id).await.revoked_at, Some(later(2)));
        let again = stores.sessions.revoke_by_token(presented, later(3)).await.unwrap();
        assert_eq!(again, Some(session.id));
        assert_eq!(kept(stores, session.id).await.revoked_at, Some(later(2)), "ending it again changes nothing");
    }
    assert_eq!(stores.sessions.revoke_by_token(a_token_hash(), later(2)).await.unwrap(), None);
}

/// Another's session looks like none.
pub async fn only_its_own_user_can_end_a_session(stores: &Stores) {
    let (user, session, _) = a_signed_in_user(stores).await;
    let stranger = stores.add_a_user().await;
    assert_eq!(error_of(stores.sessions.revoke(stranger.id, session.id, later(1)).await), StoreError::NotFound);
    assert_eq!(error_of(stores.sessions.revoke(user.id, SessionId::new(a_uuid()), later(1)).await), StoreError::NotFound);
    assert_eq!(kept(stores, session.id).await.revoked_at, None);
    stores.sessions.revoke(user.id, session.id, later(1)).await.unwrap();
    stores.sessions.revoke(user.id, session.id, later(2)).await.unwrap();
    assert_eq!(kept(stores, session.id).await.revoked_at, Some(later(1)), "ending it again changes nothing");
}

/// What is listed is what could still be used.
pub async fn the_sessions_alive_are_listed_the_last_used_first(stores: &Stores) {
    let (user, first, first_token) = a_signed_in_user(stores).await;
    let (second, _) = signed_in(stores, user.id).await;
    let (third, third_token) = signed_in(stores, user.id).await;
    let (revoked, _) = signed_in(stores, user.id).await;
    stores.sessions.revoke(user.id, revoked.id, later(1)).await.unwrap();
    a_signed_in_user(stores).await;
    rotate(stores, &third_token, &a_token_hash(), later(1)).await;
    rotate(stores, &first_token, &a_token_hash(), later(2)).await;

    for limit in [1, 2, 3, 200] {
        assert_eq!(alive(stores, user.id, later(3), limit).await, [first.id, third.id, second.id], "pages of {limit}");
    }
    assert_eq!(alive(stores, user.id, second.expires_at, 200).await, [first.id, third.id]);
}

/// As many devices of one family are.
pub async fn sessions_used_in_the_same_instant_are_each_listed_once(stores: &Stores) {
    let user = stores.add_a_user().await;
    let mut expected = Vec::new();
    for _ in 0..7 {
        expected.push(signed_in(stores, user.id).await.0.id);
    }
    expected.sort_unstable_by(|a, b| b.cmp(a));
    for limit in [1, 3, 7] {
        assert_eq!(alive(stores, user.id, later(0), limit).await, expected, "pages of {limit}");
    }
}

/// Others' sessions, and those that have ended, take no room.
pub async fn a_session_too_many_ends_the_one_that_was_least_recently_used(stores: &Stores) {
    let (user, first, first_token) = a_signed_in_user(stores).await;
    let (_, strangers, _) = a_signed_in_user(stores).await;
    let (second, _) = signed_in(stores, user.id).await;
    let (ended, _) = signed_in(stores, user.id).await;
    stores.sessions.revoke(user.id, ended.id, later(1)).await.unwrap();
    rotate(stores, &first_token, &a_token_hash(), later(1)).await;
    let begin = async |minutes, max_sessions| {
        let now = later(minutes);
        let session = Session { created_at: now, last_used_at: now, ..a_session(user.id) };
        let terms = SignInTerms { max_sessions, ..sign_in_terms() };
        stores.sessions.add(session.clone(), a_token_hash(), terms).await.unwrap();
        session.id
    };

    let third = begin(2, 3).await;
    assert_eq!(alive(stores, user.id, later(2), 200).await, [third, first.id, second.id], "three may live");
    let fourth = begin(3, 3).await;
    assert_eq!(alive(stores, user.id, later(3), 200).await, [fourth, third, first.id]);
    assert_eq!(kept(stores, second.id).await.revoked_at, Some(later(3)));
    let fifth = begin(4, 1).await;
    assert_eq!(alive(stores, user.id, later(4), 200).await, [fifth], "as many end as are too many");
    assert_eq!(kept(stores, strangers.id).await.revoked_at, None);
}

/// Each counts with the others.
pub async fn of_many_who_sign_in_at_once_no_more_stay_than_may(stores: &Stores) {
    let user = stores.add_a_user().await;
    let begun = all_at_once(12, || {
        let sessions = stores.sessions.clone();
        let terms = SignInTerms { max_sessions: 3, ..sign_in_terms() };
        async move { sessions.add(a_session(user.id), a_token_hash(), terms).await }
    })
    .await;
    assert!(begun.iter().all(Result::is_ok), "{begun:?}");
    assert_eq!(alive(stores, user.id, later(0), 200).await.len(), 3);
}

/// Their password was compared a moment before.
pub async fn no_session_begins_for_who_has_another_password_by_now_or_is_disabled(stores: &Stores) {
    stores.add_a_user().await;
    let user = stores.add_a_user().await;
    let old = SignInTerms { proven: PasswordHash::new("another hash"), ..sign_in_terms() };
    let refused = stores.sessions.add(a_session(user.id), a_token_hash(), old).await;
    assert_eq!(error_of(refused), StoreError::NotFound);
    stores.users.change(user.id, UserChange { disabled: Some(true), ..UserChange::default() }).await.unwrap();
    let refused = stores.sessions.add(a_session(user.id), a_token_hash(), sign_in_terms()).await;
    assert_eq!(error_of(refused), StoreError::NotFound);
    assert_eq!(alive(stores, user.id, later(0), 200).await, []);
}

/// With their tokens, current and spent.
pub async fn sessions_that_ended_are_swept_and_the_others_stay(stores: &Stores) {
    let (user, expired, expired_token) = a_signed_in_user(stores).await;
    let (revoked, revoked_token) = signed_in(stores, user.id).await;
    stores.sessions.revoke(user.id, revoked.id, later(1)).await.unwrap();
    let (alive, alive_token) = signed_in(stores, user.id).await;
    rotate(stores, &alive_token, &a_token_hash(), later(5)).await;

    assert_eq!(stores.sessions.sweep(later(1), later(0)).await.unwrap(), 0, "nothing ended before that");
    assert_eq!(stores.sessions.sweep(later(2), later(0)).await.unwrap(), 1);
    assert_eq!(error_of(stores.sessions.get_with_user(revoked.id).await), StoreError::NotFound);
    assert_eq!(stores.sessions.revoke_by_token(revoked_token, later(2)).await.unwrap(), None);

    assert_eq!(stores.sessions.sweep(expired.expires_at + TimeDelta::seconds(1), later(0)).await.unwrap(), 1);
    assert_eq!(stores.sessions.revoke_by_token(expired_token, later(2)).await.unwrap(), None);
    assert_eq!(kept(stores, alive.id).await.revoked_at, None);
}

/// Whoever refreshes every few minutes leaves many behind.
pub async fn tokens_that_were_spent_long_ago_are_swept_from_sessions_that_live(stores: &Stores) {
    let (_, session, first) = a_signed_in_user(stores).await;
    let (second, third) = (a_token_hash(), a_token_hash());
    rotate(stores, &first, &second, later(1)).await;
    rotate(stores, &second, &third, later(2)).await;
    assert_eq!(stores.sessions.sweep(later(0), later(2)).await.unwrap(), 0, "no session ended");
    assert_eq!(stores.sessions.revoke_by_token(first.clone(), later(3)).await.unwrap(), None, "it is forgotten");
    assert_eq!(rotate(stores, &first, &a_token_hash(), later(3)).await, Rotation::Unknown);
    assert_eq!(kept(stores, session.id).await.revoked_at, None);
    let fourth = a_token_hash();
    assert!(matches!(rotate(stores, &third, &fourth, later(3)).await, Rotation::Rotated(_)), "the current one stays");
    assert!(
        matches!(rotate(stores, &second, &a_token_hash(), later(4)).await, Rotation::Reused(_)),
        "it is still known as spent"
    );
}

/// Makes a test of every story, of what `$make` gives.
#[macro_export]
macro_rules! session_store_contract {
    ($make:path) => {
        $crate::stories! {
            $make, session_store,
            a_session_comes_back_as_it_was_added_with_its_user,
            a_sessions_user_is_as_they_are_now,
            a_session_without_its_user_is_not_found,
            a_rotation_spends_the_old_token_and_renews_the_session,
            a_spent_token_ends_the_session_and_the_current_token_with_it,
            a_spent_token_ends_no_other_session,
            of_many_who_present_one_token_at_once_exactly_one_is_served,
            a_token_without_a_living_session_is_unknown,
            a_session_is_ended_by_its_current_or_a_spent_token,
            only_its_own_user_can_end_a_session,
            the_sessions_alive_are_listed_the_last_used_first,
            sessions_used_in_the_same_instant_are_each_listed_once,
            a_session_too_many_ends_the_one_that_was_least_recently_used,
            of_many_who_sign_in_at_once_no_more_stay_than_may,
            no_session_begins_for_who_has_another_password_by_now_or_is_disabled,
            sessions_that_ended_are_swept_and_the_others_stay,
            tokens_that_were_spent_long_ago_are_swept_from_sessions_that_live,
        }
    };
}
