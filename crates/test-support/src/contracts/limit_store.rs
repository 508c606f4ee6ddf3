//! The stories of [`ports::LimitStore`].

use domain::{ApiKeyId, Role, UserId};
use ports::{LimitOverride, LimitSubject, StoreError};

use super::{Stores, all_at_once, error_of};
use crate::builders::{a_user_id, a_uuid, an_api_key, an_api_key_hash};

const NONE: LimitOverride = LimitOverride { requests_per_minute: None, tokens_per_day: None };

fn requests(requests_per_minute: u32) -> LimitOverride {
    LimitOverride { requests_per_minute: Some(requests_per_minute), ..NONE }
}

async fn a_user_and_a_key(stores: &Stores) -> (UserId, ApiKeyId) {
    let user = stores.add_a_user().await;
    let key = an_api_key(user.id);
    stores.api_keys.add(key.clone(), an_api_key_hash(), 10).await.unwrap();
    (user.id, key.id)
}

async fn set(stores: &Stores, subject: LimitSubject, limit: LimitOverride) {
    stores.limits.set(subject, limit).await.unwrap();
}

async fn get(stores: &Stores, subject: LimitSubject) -> LimitOverride {
    stores.limits.get(vec![subject]).await.unwrap()[0]
}

/// So that the settings hold for everybody.
pub async fn without_an_exception_there_is_an_empty_one(stores: &Stores) {
    let (user, key) = a_user_and_a_key(stores).await;
    let subjects = vec![
        LimitSubject::User(user),
        LimitSubject::Role(Role::Admin),
        LimitSubject::Role(Role::User),
        LimitSubject::ApiKey(key),
        LimitSubject::User(a_user_id()),
    ];
    assert_eq!(stores.limits.get(subjects).await.unwrap(), [NONE; 5]);
    assert_eq!(stores.limits.get(Vec::new()).await.unwrap(), []);
}

/// Each its own, and in the order in which they are asked for.
pub async fn exceptions_come_back_as_they_were_set_in_the_order_asked_for(stores: &Stores) {
    let (user, key) = a_user_and_a_key(stores).await;
    let all = [
        (LimitSubject::User(user), LimitOverride { requests_per_minute: Some(u32::MAX), tokens_per_day: Some(0) }),
        (LimitSubject::Role(Role::Admin), requests(7)),
        (LimitSubject::Role(Role::User), LimitOverride { tokens_per_day: Some(5_000_000_000), ..NONE }),
        (LimitSubject::ApiKey(key), LimitOverride { requests_per_minute: Some(1), tokens_per_day: Some(2) }),
    ];
    for (subject, limit) in all {
        set(stores, subject, limit).await;
    }
    let (subjects, limits): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    assert_eq!(stores.limits.get(subjects.clone()).await.unwrap(), limits);
    let asked = vec![subjects[3], LimitSubject::User(a_user_id()), subjects[0], subjects[3]];
    assert_eq!(stores.limits.get(asked).await.unwrap(), [limits[3], NONE, limits[0], limits[3]]);
}

/// What it does not name is no longer excepted.
pub async fn an_exception_takes_the_place_of_the_one_before(stores: &Stores) {
    let (user, _) = a_user_and_a_key(stores).await;
    let subject = LimitSubject::User(user);
    set(stores, subject, LimitOverride { requests_per_minute: Some(1), tokens_per_day: Some(2) }).await;
    set(stores, subject, LimitOverride { tokens_per_day: Some(3), ..NONE }).await;
    assert_eq!(get(stores, subject).await, LimitOverride { tokens_per_day: Some(3), ..NONE });
}

/// Of this subject alone.
pub async fn an_empty_exception_removes_it(stores: &Stores) {
    let (user, key) = a_user_and_a_key(stores).await;
    for subject in [LimitSubject::User(user), LimitSubject::Role(Role::User), LimitSubject::ApiKey(key)] {
        set(stores, LimitSubject::Role(Role::Admin), requests(9)).await;
        set(stores, subject, requests(1)).await;
        set(stores, subject, NONE).await;
        set(stores, subject, NONE).await;
        assert_eq!(get(stores, subject).await, NONE);
        assert_eq!(get(stores, LimitSubject::Role(Role::Admin)).await, requests(9));
    }
}

/// More than that nobody could spend.
pub async fn the_largest_number_of_tokens_is_bounded(stores: &Stores) {
    let subject = LimitSubject::Role(Role::User);
    set(stores, subject, LimitOverride { tokens_per_day: Some(u64::MAX), ..NONE }).await;
    assert_eq!(get(stores, subject).await.tokens_per_day, Some(u64::try_from(i64::MAX).unwrap()));
}

/// Also an exception that would be empty: an admin who mistypes is told.
pub async fn an_exception_for_somebody_who_is_not_there_is_not_found(stores: &Stores) {
    a_user_and_a_key(stores).await;
    for subject in [LimitSubject::User(a_user_id()), LimitSubject::ApiKey(ApiKeyId::new(a_uuid()))] {
        for limit in [requests(1), NONE] {
            assert_eq!(error_of(stores.limits.set(subject, limit).await), StoreError::NotFound);
        }
    }
}

/// One of them is kept, and none fails.
pub async fn admins_who_set_an_exception_at_once_do_not_collide(stores: &Stores) {
    let (user, _) = a_user_and_a_key(stores).await;
    let subject = LimitSubject::User(user);
    all_at_once(8, || {
        let limits = stores.limits.clone();
        async move { limits.set(subject, requests(5)).await.unwrap() }
    })
    .await;
    assert_eq!(get(stores, subject).await, requests(5));
}

/// With the user or the key they are for.
pub async fn exceptions_go_with_whom_they_are_for(stores: &Stores) {
    stores.add_a_user().await;
    let (user, key) = a_user_and_a_key(stores).await;
    let (other, others_key) = a_user_and_a_key(stores).await;
    let subjects =
        vec![LimitSubject::User(user), LimitSubject::ApiKey(key), LimitSubject::User(other), LimitSubject::ApiKey(others_key)];
    for subject in &subjects {
        set(stores, *subject, requests(1)).await;
    }
    stores.users.remove(user).await.unwrap();
    stores.api_keys.remove(other, others_key).await.unwrap();
    assert_eq!(stores.limits.get(subjects).await.unwrap(), [NONE, NONE, requests(1), NONE]);
}

/// Makes a test of every story, of what `$make` gives.
#[macro_export]
macro_rules! limit_store_contract {
    ($make:path) => {
        $crate::stories! {
            $make, limit_store,
            without_an_exception_there_is_an_empty_one,
            exceptions_come_back_as_they_were_set_in_the_order_asked_for,
            an_exception_takes_the_place_of_the_one_before,
            an_empty_exception_removes_it,
            the_largest_number_of_tokens_is_bounded,
            an_exception_for_somebody_who_is_not_there_is_not_found,
            admins_who_set_an_exception_at_once_do_not_collide,
            exceptions_go_with_whom_they_are_for,
        }
    };
}
