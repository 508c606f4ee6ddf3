//! The stories of [`ports::ApiKeyStore`].

use chrono::TimeDelta;
use domain::{ApiKey, ApiKeyHash, ApiKeyId, ApiKeyName, Scope, User};
use ports::{StoreError, UserChange};

use super::{Stores, all_at_once, error_of};
use crate::builders::{a_time, a_user_id, a_uuid, an_api_key, an_api_key_hash};

/// More than any story here adds.
const MANY: u32 = 100;

async fn add(stores: &Stores, key: &ApiKey) -> ApiKeyHash {
    let hash = an_api_key_hash();
    stores.api_keys.add(key.clone(), hash.clone(), MANY).await.unwrap();
    hash
}

async fn a_user_with_a_key(stores: &Stores) -> (User, ApiKey) {
    let user = stores.add_a_user().await;
    let key = an_api_key(user.id);
    add(stores, &key).await;
    (user, key)
}

/// Nothing is lost or changed, and who calls with it is known at once.
pub async fn a_key_is_found_by_how_it_begins_with_its_hash_and_its_user(stores: &Stores) {
    let user = stores.add_a_user().await;
    let key = ApiKey {
        name: ApiKeyName::new("Ñandú's script 🐦").unwrap(),
        scopes: vec![Scope::Text, Scope::Speech, Scope::Admin],
        expires_at: Some(a_time() + TimeDelta::microseconds(123_456)),
        last_used_at: Some(a_time() + TimeDelta::microseconds(1)),
        ..an_api_key(user.id)
    };
    let hash = add(stores, &key).await;
    a_user_with_a_key(stores).await;
    assert_eq!(stores.api_keys.find_by_prefix(&key.prefix).await.unwrap(), [(key, hash, user)]);
}

/// Which of them is the caller's, the hash tells.
pub async fn keys_that_begin_alike_are_all_found(stores: &Stores) {
    let (_, first) = a_user_with_a_key(stores).await;
    let second = ApiKey { prefix: first.prefix.clone(), ..an_api_key(stores.add_a_user().await.id) };
    add(stores, &second).await;
    let found = stores.api_keys.find_by_prefix(&first.prefix).await.unwrap();
    let mut ids: Vec<_> = found.into_iter().map(|(key, ..)| key.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, [first.id, second.id]);
}

/// Whatever a caller makes up.
pub async fn a_beginning_that_no_key_has_finds_none(stores: &Stores) {
    let (_, key) = a_user_with_a_key(stores).await;
    for prefix in ["", "%", "tt_", "\0", "tt_\0", &key.prefix.to_uppercase()] {
        assert_eq!(stores.api_keys.find_by_prefix(prefix).await.unwrap(), [], "{prefix:?}");
    }
}

/// The user is read anew each time: a disabled account's keys stop working at once.
pub async fn a_keys_user_is_as_they_are_now(stores: &Stores) {
    stores.add_a_user().await;
    let (user, key) = a_user_with_a_key(stores).await;
    let change = UserChange { disabled: Some(true), ..UserChange::default() };
    let changed = stores.users.change(user.id, change).await.unwrap().after;
    assert_eq!(stores.api_keys.find_by_prefix(&key.prefix).await.unwrap()[0].2, changed);
}

/// Nor are anybody else's among them.
pub async fn a_users_keys_are_listed_newest_first(stores: &Stores) {
    let (user, first) = a_user_with_a_key(stores).await;
    a_user_with_a_key(stores).await;
    let newest = ApiKey { created_at: a_time() + TimeDelta::microseconds(1), ..an_api_key(user.id) };
    add(stores, &newest).await;
    let second = an_api_key(user.id);
    add(stores, &second).await;
    assert_eq!(stores.api_keys.list(user.id).await.unwrap(), [newest, second, first]);
    assert_eq!(stores.api_keys.list(a_user_id()).await.unwrap(), []);
}

/// It would work for nobody.
pub async fn a_key_without_its_user_is_not_found(stores: &Stores) {
    let orphan = an_api_key(a_user_id());
    let refused = stores.api_keys.add(orphan.clone(), an_api_key_hash(), MANY).await;
    assert_eq!(error_of(refused), StoreError::NotFound);
    assert_eq!(stores.api_keys.find_by_prefix(&orphan.prefix).await.unwrap(), []);
}

/// Another user may still add theirs.
pub async fn a_key_too_many_is_a_conflict(stores: &Stores) {
    let (user, key) = a_user_with_a_key(stores).await;
    let other = stores.add_a_user().await;
    let add = |user_id, max| stores.api_keys.add(an_api_key(user_id), an_api_key_hash(), max);
    assert_eq!(error_of(add(user.id, 1).await), StoreError::Conflict { field: "keys" });
    assert_eq!(stores.api_keys.list(user.id).await.unwrap(), std::slice::from_ref(&key));
    add(other.id, 1).await.unwrap();
    add(user.id, 2).await.unwrap();
    stores.api_keys.remove(user.id, key.id).await.unwrap();
    add(user.id, 2).await.unwrap();
}

/// The limit holds when they race.
pub async fn of_many_keys_added_at_once_no_more_than_allowed_are_kept(stores: &Stores) {
    let user = stores.add_a_user().await;
    let added = all_at_once(12, || {
        let keys = stores.api_keys.clone();
        async move { keys.add(an_api_key(user.id), an_api_key_hash(), 5).await }
    })
    .await;
    assert_eq!(added.iter().filter(|result| result.is_ok()).count(), 5);
    assert!(added.iter().filter_map(|result| result.as_ref().err()).all(|e| *e == StoreError::Conflict { field: "keys" }));
    assert_eq!(stores.api_keys.list(user.id).await.unwrap().len(), 5);
}

/// Of this key alone.
pub async fn a_use_is_noted(stores: &Stores) {
    let (user, key) = a_user_with_a_key(stores).await;
    let (other, unused) = a_user_with_a_key(stores).await;
    let now = a_time() + TimeDelta::microseconds(7);
    stores.api_keys.touch(key.id, now).await.unwrap();
    assert_eq!(stores.api_keys.list(user.id).await.unwrap(), [ApiKey { last_used_at: Some(now), ..key }]);
    assert_eq!(stores.api_keys.list(other.id).await.unwrap(), [unused]);
    stores.api_keys.touch(ApiKeyId::new(a_uuid()), now).await.unwrap();
}

/// Another's key looks like none.
pub async fn only_its_own_user_can_remove_a_key(stores: &Stores) {
    let (user, key) = a_user_with_a_key(stores).await;
    let stranger = stores.add_a_user().await;
    assert_eq!(error_of(stores.api_keys.remove(stranger.id, key.id).await), StoreError::NotFound);
    assert_eq!(stores.api_keys.find_by_prefix(&key.prefix).await.unwrap().len(), 1);
    stores.api_keys.remove(user.id, key.id).await.unwrap();
    assert_eq!(stores.api_keys.find_by_prefix(&key.prefix).await.unwrap(), []);
    assert_eq!(error_of(stores.api_keys.remove(user.id, key.id).await), StoreError::NotFound);
}

/// Nobody calls in the name of an account that is gone.
pub async fn a_removed_accounts_keys_are_gone(stores: &Stores) {
    stores.add_a_user().await;
    let (user, key) = a_user_with_a_key(stores).await;
    let (other, others) = a_user_with_a_key(stores).await;
    stores.users.remove(user.id).await.unwrap();
    assert_eq!(stores.api_keys.find_by_prefix(&key.prefix).await.unwrap(), []);
    assert_eq!(stores.api_keys.list(other.id).await.unwrap(), [others]);
}

/// Makes a test of every story, of what `$make` gives.
#[macro_export]
macro_rules! api_key_store_contract {
    ($make:path) => {
        $crate::stories! {
            $make, api_key_store,
            a_key_is_found_by_how_it_begins_with_its_hash_and_its_user,
            keys_that_begin_alike_are_all_found,
            a_beginning_that_no_key_has_finds_none,
            a_keys_user_is_as_they_are_now,
            a_users_keys_are_listed_newest_first,
            a_key_without_its_user_is_not_found,
            a_key_too_many_is_a_conflict,
            of_many_keys_added_at_once_no_more_than_allowed_are_kept,
            a_use_is_noted,
            only_its_own_user_can_remove_a_key,
            a_removed_accounts_keys_are_gone,
        }
    };
}
