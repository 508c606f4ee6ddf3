//! The stories of [`ports::OneTimeCodeStore`].

use chrono::TimeDelta;
use domain::{CodePurpose, OneTimeCode, OneTimeCodeHash, PasswordHash, Role, User, UserId};
use ports::{NewUser, StoreError};

use super::{Stores, all_at_once, all_pages, error_of};
use crate::builders::{a_code_hash, a_new_user, a_one_time_code, a_session, a_time, a_token_hash, a_user_id};

async fn add(stores: &Stores, code: &OneTimeCode) -> OneTimeCodeHash {
    let hash = a_code_hash();
    stores.one_time_codes.add(code.clone(), hash.clone()).await.unwrap();
    hash
}

async fn an_invitation(stores: &Stores) -> OneTimeCodeHash {
    add(stores, &a_one_time_code(CodePurpose::Invitation)).await
}

async fn a_password_reset(stores: &Stores, user_id: UserId) -> OneTimeCodeHash {
    add(stores, &a_one_time_code(CodePurpose::PasswordReset(user_id))).await
}

async fn register(stores: &Stores, hash: &OneTimeCodeHash, user: &NewUser) -> Result<User, StoreError> {
    stores.one_time_codes.redeem_invitation(hash.clone(), user.clone(), a_time()).await
}

async fn reset(stores: &Stores, hash: &OneTimeCodeHash, password: &str) -> Result<UserId, StoreError> {
    stores.one_time_codes.redeem_password_reset(hash.clone(), PasswordHash::new(password), a_time()).await
}

async fn invitations(stores: &Stores) -> Vec<OneTimeCode> {
    all_pages(200, |page| stores.one_time_codes.list_invitations(a_time(), page)).await
}

async fn password_of(stores: &Stores, id: UserId) -> String {
    stores.users.password_hash(id).await.unwrap().expose().to_owned()
}

/// The account is there, and as one that was added in any other way.
pub async fn an_invitation_adds_an_account(stores: &Stores) {
    stores.add_a_user().await;
    let (hash, new) = (an_invitation(stores).await, a_new_user());
    let added = register(stores, &hash, &new).await.unwrap();
    assert_eq!((added.id, &added.username, added.role), (new.id, &new.username, Role::User));
    assert_eq!(stores.users.get(new.id).await.unwrap(), added);
}

/// The next one needs another.
pub async fn an_invitation_works_once(stores: &Stores) {
    let hash = an_invitation(stores).await;
    register(stores, &hash, &a_new_user()).await.unwrap();
    let late = a_new_user();
    assert_eq!(error_of(register(stores, &hash, &late).await), StoreError::NotFound);
    assert_eq!(error_of(stores.users.get(late.id).await), StoreError::NotFound);
}

/// The very first account is the admin's, also where it was invited.
pub async fn the_first_account_is_an_admin_also_by_invitation(stores: &Stores) {
    let hash = an_invitation(stores).await;
    assert_eq!(register(stores, &hash, &a_new_user()).await.unwrap().role, Role::Admin);
}

/// Whoever typed a taken name tries another one.
pub async fn a_taken_name_leaves_the_invitation_unspent(stores: &Stores) {
    let ana = stores.add_a_user().await;
    let hash = an_invitation(stores).await;
    let same_name = NewUser { username: ana.username, ..a_new_user() };
    assert_eq!(error_of(register(stores, &hash, &same_name).await), StoreError::Conflict { field: "username" });
    assert_eq!(invitations(stores).await.len(), 1);
    register(stores, &hash, &a_new_user()).await.unwrap();
}

/// The others make no account.
pub async fn of_many_who_use_an_invitation_at_once_exactly_one_gets_in(stores: &Stores) {
    stores.add_a_user().await;
    let hash = an_invitation(stores).await;
    let results = all_at_once(8, || {
        let (codes, hash) = (stores.one_time_codes.clone(), hash.clone());
        async move { codes.redeem_invitation(hash, a_new_user(), a_time()).await }
    })
    .await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    assert!(results.iter().filter_map(|result| result.as_ref().err()).all(|error| *error == StoreError::NotFound));
}

/// At its end, not after it.
pub async fn an_expired_code_is_not_found(stores: &Stores) {
    let user = stores.add_a_user().await;
    let invitation = OneTimeCode { expires_at: a_time(), ..a_one_time_code(CodePurpose::Invitation) };
    let hash = add(stores, &invitation).await;
    assert_eq!(error_of(register(stores, &hash, &a_new_user()).await), StoreError::NotFound);
    let password_reset = OneTimeCode { expires_at: a_time(), ..a_one_time_code(CodePurpose::PasswordReset(user.id)) };
    let hash = add(stores, &password_reset).await;
    assert_eq!(error_of(reset(stores, &hash, "new").await), StoreError::NotFound);
    assert_eq!(password_of(stores, user.id).await, "a hash");
    let last_moment = OneTimeCode { expires_at: a_time() + TimeDelta::microseconds(1), ..password_reset };
    let hash = add(stores, &last_moment).await;
    assert_eq!(reset(stores, &hash, "new").await.unwrap(), user.id);
}

/// What anybody can make up is worth nothing.
pub async fn an_unknown_code_is_not_found(stores: &Stores) {
    let user = stores.add_a_user().await;
    an_invitation(stores).await;
    a_password_reset(stores, user.id).await;
    for unknown in [a_code_hash(), OneTimeCodeHash::new("")] {
        assert_eq!(error_of(register(stores, &unknown, &a_new_user()).await), StoreError::NotFound);
        assert_eq!(error_of(reset(stores, &unknown, "new").await), StoreError::NotFound);
    }
}

/// Else whoever was invited could set another's password.
pub async fn a_code_works_for_its_own_purpose_alone(stores: &Stores) {
    let user = stores.add_a_user().await;
    let (invitation, password_reset) = (an_invitation(stores).await, a_password_reset(stores, user.id).await);
    assert_eq!(error_of(reset(stores, &invitation, "new").await), StoreError::NotFound);
    assert_eq!(error_of(register(stores, &password_reset, &a_new_user()).await), StoreError::NotFound);
    assert_eq!(password_of(stores, user.id).await, "a hash");
    register(stores, &invitation, &a_new_user()).await.unwrap();
    reset(stores, &password_reset, "new").await.unwrap();
}

/// Once, and nobody else's.
pub async fn a_password_is_reset_once_and_for_its_own_account(stores: &Stores) {
    let (user, other) = (stores.add_a_user().await, stores.add_a_user().await);
    let hash = a_password_reset(stores, user.id).await;
    assert_eq!(reset(stores, &hash, "new").await.unwrap(), user.id);
    assert_eq!(password_of(stores, user.id).await, "new");
    assert_eq!(password_of(stores, other.id).await, "a hash");
    assert_eq!(error_of(reset(stores, &hash, "newer").await), StoreError::NotFound);
    assert_eq!(password_of(stores, user.id).await, "new");
}

/// Whoever has the old password is out, and nobody else.
pub async fn a_reset_password_ends_every_session_of_its_account(stores: &Stores) {
    let (user, other) = (stores.add_a_user().await, stores.add_a_user().await);
    let (theirs, others) = (a_session(user.id), a_session(other.id));
    for session in [&theirs, &others] {
        stores.begin_session(session, a_token_hash()).await;
    }
    let hash = a_password_reset(stores, user.id).await;
    assert_eq!(error_of(reset(stores, &a_code_hash(), "new").await), StoreError::NotFound);
    assert_eq!(stores.sessions.get_with_user(theirs.id).await.unwrap().0.revoked_at, None);
    reset(stores, &hash, "new").await.unwrap();
    assert_eq!(stores.sessions.get_with_user(theirs.id).await.unwrap().0.revoked_at, Some(a_time()));
    assert_eq!(stores.sessions.get_with_user(others.id).await.unwrap().0.revoked_at, None);
}

/// Whose password is set is the one who was told so.
pub async fn of_many_who_reset_a_password_at_once_exactly_one_does(stores: &Stores) {
    let user = stores.add_a_user().await;
    let hash = a_password_reset(stores, user.id).await;
    let results = all_at_once(8, || {
        let (codes, hash) = (stores.one_time_codes.clone(), hash.clone());
        let password = a_user_id().to_string();
        async move { codes.redeem_password_reset(hash, PasswordHash::new(password.clone()), a_time()).await.map(|_| password) }
    })
    .await;
    let (set, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(set, [Ok(password_of(stores, user.id).await)]);
    assert!(refused.into_iter().all(|result| result == Err(StoreError::NotFound)));
}

/// A link that was lost stops working when another is made.
pub async fn a_second_code_for_the_same_password_replaces_the_first(stores: &Stores) {
    let (user, other) = (stores.add_a_user().await, stores.add_a_user().await);
    let first = a_password_reset(stores, user.id).await;
    let others = a_password_reset(stores, other.id).await;
    let second = a_password_reset(stores, user.id).await;
    assert_eq!(error_of(reset(stores, &first, "new").await), StoreError::NotFound);
    assert_eq!(reset(stores, &second, "new").await.unwrap(), user.id);
    assert_eq!(reset(stores, &others, "new").await.unwrap(), other.id);
}

/// When several are made at once, one of them is left.
pub async fn of_many_codes_for_one_password_made_at_once_one_works(stores: &Stores) {
    let user = stores.add_a_user().await;
    let hashes = all_at_once(8, || {
        let codes = stores.one_time_codes.clone();
        async move {
            let hash = a_code_hash();
            codes.add(a_one_time_code(CodePurpose::PasswordReset(user.id)), hash.clone()).await.unwrap();
            hash
        }
    })
    .await;
    let mut working = 0;
    for hash in &hashes {
        working += u32::from(reset(stores, hash, "new").await.is_ok());
    }
    assert_eq!(working, 1);
}

/// Nothing is lost or changed; what cannot be used is not shown.
pub async fn invitations_that_still_work_are_listed_newest_first(stores: &Stores) {
    let admin = stores.add_a_user().await;
    let base = a_one_time_code(CodePurpose::Invitation);
    let invitation = |microseconds| OneTimeCode {
        created_at: base.created_at + TimeDelta::microseconds(microseconds),
        created_by: Some(admin.id),
        ..a_one_time_code(CodePurpose::Invitation)
    };
    let (first, newest, second) = (invitation(0), invitation(1), invitation(0));
    let spent = an_invitation(stores).await;
    register(stores, &spent, &a_new_user()).await.unwrap();
    let expired = OneTimeCode { expires_at: a_time(), ..invitation(0) };
    for code in [&first, &newest, &expired, &second] {
        add(stores, code).await;
    }
    a_password_reset(stores, admin.id).await;
    let expected = [newest, second, first];
    for limit in [1, 2, 3, 200] {
        let listed = all_pages(limit, |page| stores.one_time_codes.list_invitations(a_time(), page)).await;
        assert_eq!(listed, expected, "pages of {limit}");
    }
}

/// Both that of whom it is for and that of who made it.
pub async fn a_code_of_an_account_that_is_not_there_is_not_found(stores: &Stores) {
    let for_nobody = a_one_time_code(CodePurpose::PasswordReset(a_user_id()));
    let by_nobody = OneTimeCode { created_by: Some(a_user_id()), ..a_one_time_code(CodePurpose::Invitation) };
    for code in [for_nobody, by_nobody] {
        assert_eq!(error_of(stores.one_time_codes.add(code, a_code_hash()).await), StoreError::NotFound);
    }
    assert_eq!(invitations(stores).await, []);
}

/// Whom an admin invited who is no more, nobody invited.
pub async fn a_removed_accounts_codes_are_gone(stores: &Stores) {
    stores.add_a_user().await;
    let (admin, user) = (stores.add_a_user().await, stores.add_a_user().await);
    let by_admin = OneTimeCode { created_by: Some(admin.id), ..a_one_time_code(CodePurpose::Invitation) };
    let by_admin = add(stores, &by_admin).await;
    let for_user = a_password_reset(stores, user.id).await;
    let of_nobody = an_invitation(stores).await;
    for id in [admin.id, user.id] {
        stores.users.remove(id).await.unwrap();
    }
    assert_eq!(error_of(register(stores, &by_admin, &a_new_user()).await), StoreError::NotFound);
    assert_eq!(error_of(reset(stores, &for_user, "new").await), StoreError::NotFound);
    register(stores, &of_nobody, &a_new_user()).await.unwrap();
}

/// Of whatever purpose.
pub async fn expired_codes_are_swept_and_the_others_stay(stores: &Stores) {
    let user = stores.add_a_user().await;
    let end = a_time() + TimeDelta::hours(1);
    an_invitation(stores).await;
    a_password_reset(stores, user.id).await;
    let longer = OneTimeCode { expires_at: end + TimeDelta::hours(1), ..a_one_time_code(CodePurpose::Invitation) };
    let hash = add(stores, &longer).await;
    assert_eq!(stores.one_time_codes.sweep(end).await.unwrap(), 0, "nothing ended before that");
    assert_eq!(stores.one_time_codes.sweep(end + TimeDelta::microseconds(1)).await.unwrap(), 2);
    register(stores, &hash, &a_new_user()).await.unwrap();
}

/// Makes a test of every story, of what `$make` gives.
#[macro_export]
macro_rules! one_time_code_store_contract {
    ($make:path) => {
        $crate::stories! {
            $make, one_time_code_store,
            an_invitation_adds_an_account,
            an_invitation_works_once,
            the_first_account_is_an_admin_also_by_invitation,
            a_taken_name_leaves_the_invitation_unspent,
            of_many_who_use_an_invitation_at_once_exactly_one_gets_in,
            an_expired_code_is_not_found,
            an_unknown_code_is_not_found,
            a_code_works_for_its_own_purpose_alone,
            a_password_is_reset_once_and_for_its_own_account,
            a_reset_password_ends_every_session_of_its_account,
            of_many_who_reset_a_password_at_once_exactly_one_does,
            a_second_code_for_the_same_password_replaces_the_first,
            of_many_codes_for_one_password_made_at_once_one_works,
            invitations_that_still_work_are_listed_newest_first,
            a_code_of_an_account_that_is_not_there_is_not_found,
            a_removed_accounts_codes_are_gone,
            expired_codes_are_swept_and_the_others_stay,
        }
    };
}
