//! The stories of [`ports::UserStore`].

use chrono::TimeDelta;
use domain::{Cursor, Email, PasswordHash, Role, User, Username};
use ports::{NewUser, RecordScope, RemovedRecords, StoreError, UserChange};

use super::{Stores, all_pages, error_of, page_after};
use crate::builders::{
    a_conversation, a_model, a_new_user, a_session, a_speech_record, a_text_generation, a_time, a_token_hash, a_user_id,
};

fn email(address: &str) -> Email {
    Email::new(address).unwrap()
}

fn named(name: &str) -> NewUser {
    NewUser { username: Username::new(name).unwrap(), ..a_new_user() }
}

/// Accounts of which several share an instant, so that their order depends on the identifier too.
async fn several_users(stores: &Stores) -> Vec<User> {
    let mut users = Vec::new();
    for n in 0..7 {
        let created_at = a_time() + TimeDelta::microseconds(n / 3);
        users.push(stores.users.add(NewUser { created_at, ..a_new_user() }).await.unwrap());
    }
    users
}

/// One rule for the very first account.
pub async fn the_first_account_is_an_admin_and_every_other_a_user(stores: &Stores) {
    assert_eq!(stores.add_a_user().await.role, Role::Admin);
    assert_eq!(stores.add_a_user().await.role, Role::User);
    assert_eq!(stores.add_a_user().await.role, Role::User);
}

/// The same when they race.
pub async fn of_many_accounts_added_at_once_exactly_one_is_an_admin(stores: &Stores) {
    let adding: Vec<_> = (0..16)
        .map(|_| {
            let users = stores.users.clone();
            tokio::spawn(async move { users.add(a_new_user()).await.unwrap().role })
        })
        .collect();
    let mut admins = 0;
    for added in adding {
        admins += u32::from(added.await.unwrap() == Role::Admin);
    }
    assert_eq!(admins, 1);
}

/// Nothing is lost or changed, not even a microsecond.
pub async fn an_account_comes_back_as_it_was_added(stores: &Stores) {
    let new = NewUser {
        username: Username::new("Ñandú 🐦 O'Brien; --").unwrap(),
        email: Some(email("ñandú+tag@españa.es")),
        created_at: a_time() + TimeDelta::microseconds(123_456),
        ..a_new_user()
    };
    let added = stores.users.add(new.clone()).await.unwrap();
    let expected = User {
        id: new.id,
        username: new.username,
        email: new.email,
        role: Role::Admin,
        disabled: false,
        created_at: new.created_at,
    };
    assert_eq!(added, expected);
    assert_eq!(stores.users.get(new.id).await.unwrap(), expected);
}

/// It is an error, not an absence.
pub async fn an_account_that_is_not_there_is_not_found(stores: &Stores) {
    stores.add_a_user().await;
    assert_eq!(error_of(stores.users.get(a_user_id()).await), StoreError::NotFound);
    assert_eq!(error_of(stores.users.password_hash(a_user_id()).await), StoreError::NotFound);
    assert_eq!(error_of(stores.users.remove(a_user_id()).await), StoreError::NotFound);
    let change = UserChange { disabled: Some(true), ..UserChange::default() };
    assert_eq!(error_of(stores.users.change(a_user_id(), change).await), StoreError::NotFound);
    assert_eq!(error_of(stores.users.change(a_user_id(), UserChange::default()).await), StoreError::NotFound);
}

/// And nothing of the second account stays behind.
pub async fn a_taken_name_is_a_conflict_and_nothing_is_added(stores: &Stores) {
    stores.users.add(named("ana")).await.unwrap();
    let second = named("ana");
    assert_eq!(error_of(stores.users.add(second.clone()).await), StoreError::Conflict { field: "username" });
    assert_eq!(error_of(stores.users.get(second.id).await), StoreError::NotFound);
}

/// Of an address likewise; of both, the name is told.
pub async fn a_taken_address_is_a_conflict_and_a_taken_name_is_told_first(stores: &Stores) {
    stores.users.add(NewUser { email: Some(email("ana@x.org")), ..named("ana") }).await.unwrap();
    let same_address = NewUser { email: Some(email("ana@x.org")), ..named("eva") };
    assert_eq!(error_of(stores.users.add(same_address).await), StoreError::Conflict { field: "email" });
    let same_both = NewUser { email: Some(email("ana@x.org")), ..named("ana") };
    assert_eq!(error_of(stores.users.add(same_both).await), StoreError::Conflict { field: "username" });
}

/// When two race for a name, one gets it.
pub async fn of_two_who_ask_for_a_name_at_once_one_gets_it(stores: &Stores) {
    stores.add_a_user().await;
    let adding: Vec<_> = (0..8)
        .map(|_| {
            let users = stores.users.clone();
            tokio::spawn(async move { users.add(named("ana")).await })
        })
        .collect();
    let mut added = 0;
    for attempt in adding {
        match attempt.await.unwrap() {
            Ok(_) => added += 1,
            Err(error) => assert_eq!(error, StoreError::Conflict { field: "username" }),
        }
    }
    assert_eq!(added, 1);
}

/// An absent address is no address.
pub async fn any_number_of_accounts_may_have_no_address(stores: &Stores) {
    for _ in 0..3 {
        assert_eq!(stores.add_a_user().await.email, None);
    }
}

/// Neither case nor Unicode's several ways to write a letter are made the same.
pub async fn names_are_compared_exactly(stores: &Stores) {
    for name in ["ana", "Ana", "caf\u{e9}", "cafe\u{301}", "a%", "a_"] {
        let added = stores.users.add(named(name)).await.unwrap();
        let (found, _) = stores.users.find_by_login(name).await.unwrap().unwrap();
        assert_eq!(found, added);
    }
    assert!(stores.users.find_by_login("ANA").await.unwrap().is_none());
    assert!(stores.users.find_by_login("a").await.unwrap().is_none());
}

/// With the password's hash.
pub async fn an_account_is_found_by_its_name_or_its_address(stores: &Stores) {
    let new = NewUser { email: Some(email("ana@x.org")), password_hash: PasswordHash::new("ana's hash"), ..named("ana") };
    let ana = stores.users.add(new).await.unwrap();
    for login in ["ana", "ana@x.org"] {
        let (user, hash) = stores.users.find_by_login(login).await.unwrap().unwrap();
        assert_eq!((user, hash.expose()), (ana.clone(), "ana's hash"), "{login}");
    }
    assert_eq!(stores.users.password_hash(ana.id).await.unwrap().expose(), "ana's hash");
}

/// Someone who takes another's address for a name signs in as themselves and shuts nobody in.
pub async fn a_name_wins_over_anothers_address(stores: &Stores) {
    stores.users.add(NewUser { email: Some(email("ana@x.org")), ..named("ana") }).await.unwrap();
    let impostor = stores.users.add(named("ana@x.org")).await.unwrap();
    let (found, _) = stores.users.find_by_login("ana@x.org").await.unwrap().unwrap();
    assert_eq!(found.id, impostor.id);
}

/// Whatever a client may send as a login.
pub async fn a_login_that_nobody_has_finds_nobody(stores: &Stores) {
    stores.users.add(named("ana")).await.unwrap();
    for login in ["", "anna", "ana\0", "' OR 1=1 --", "ana@x.org"] {
        assert!(stores.users.find_by_login(login).await.unwrap().is_none(), "{login:?}");
    }
}

/// Page by page, each account once.
pub async fn accounts_are_listed_newest_first_a_page_at_a_time(stores: &Stores) {
    let mut expected = several_users(stores).await;
    expected.reverse();
    for limit in [1, 2, 3, 7, 200] {
        assert_eq!(all_pages(limit, |page| stores.users.list(page)).await, expected, "pages of {limit}");
    }
}

/// A page goes on after its cursor, even where that account is gone by now.
pub async fn a_list_goes_on_where_it_was_although_accounts_come_and_go(stores: &Stores) {
    let users = several_users(stores).await;
    let first = stores.users.list(page_after(None, 3)).await.unwrap();
    assert_eq!(first.items, [users[6].clone(), users[5].clone(), users[4].clone()]);
    stores.users.remove(users[4].id).await.unwrap();
    stores.users.add(NewUser { created_at: a_time() + TimeDelta::days(1), ..a_new_user() }).await.unwrap();
    let second = stores.users.list(page_after(first.next, 3)).await.unwrap();
    assert_eq!(second.items, [users[3].clone(), users[2].clone(), users[1].clone()]);
}

/// Cursors come from outside: a foolish one gives an empty page or a full one, never an error.
pub async fn a_cursor_from_the_end_of_time_is_harmless(stores: &Stores) {
    stores.add_a_user().await;
    let at = |created_at| Some(Cursor { created_at, id: uuid::Uuid::nil() });
    let end = page_after(at(chrono::DateTime::<chrono::Utc>::MAX_UTC), 5);
    assert_eq!(stores.users.list(end).await.unwrap().items.len(), 1);
    let beginning = page_after(at(chrono::DateTime::<chrono::Utc>::MIN_UTC), 5);
    assert_eq!(stores.users.list(beginning).await.unwrap().items.len(), 0);
}

/// Field by field.
pub async fn a_change_changes_what_it_names_and_nothing_else(stores: &Stores) {
    stores.add_a_user().await;
    let mut expected = stores.add_a_user().await;
    let id = expected.id;
    let unchanged = stores.users.change(id, UserChange::default()).await.unwrap();
    assert_eq!(unchanged, expected);

    expected.email = Some(email("new@x.org"));
    let change = UserChange { email: Some(email("new@x.org")), ..UserChange::default() };
    assert_eq!(stores.users.change(id, change.clone()).await.unwrap(), expected);
    assert_eq!(stores.users.change(id, change).await.unwrap(), expected, "one's own address is not taken");

    expected.role = Role::Admin;
    let change = UserChange { role: Some(Role::Admin), ..UserChange::default() };
    assert_eq!(stores.users.change(id, change).await.unwrap(), expected);

    expected.disabled = true;
    let change = UserChange { disabled: Some(true), ..UserChange::default() };
    assert_eq!(stores.users.change(id, change).await.unwrap(), expected);

    let change = UserChange { password_hash: Some(PasswordHash::new("new hash")), ..UserChange::default() };
    assert_eq!(stores.users.change(id, change).await.unwrap(), expected);
    assert_eq!(stores.users.password_hash(id).await.unwrap().expose(), "new hash");
    assert_eq!(stores.users.get(id).await.unwrap(), expected);
}

/// And nothing else of the change happens.
pub async fn a_change_to_a_taken_address_is_a_conflict_and_changes_nothing(stores: &Stores) {
    stores.users.add(NewUser { email: Some(email("ana@x.org")), ..a_new_user() }).await.unwrap();
    let user = stores.add_a_user().await;
    let change = UserChange { email: Some(email("ana@x.org")), disabled: Some(true), ..UserChange::default() };
    assert_eq!(error_of(stores.users.change(user.id, change).await), StoreError::Conflict { field: "email" });
    assert_eq!(stores.users.get(user.id).await.unwrap(), user);
}

/// The sessions, texts and defaults of others stay.
pub async fn a_removed_account_takes_everything_it_owns_with_it(stores: &Stores) {
    let (gone, stays) = (stores.add_a_user().await, stores.add_a_user().await);
    let model = a_model("default");
    stores.models.add(model.clone()).await.unwrap();
    let mut texts = Vec::new();
    let mut tokens = Vec::new();
    for user in [&gone, &stays] {
        let (session, token, text) = (a_session(user.id), a_token_hash(), a_text_generation(user.id));
        stores.sessions.add(session.clone(), token.clone()).await.unwrap();
        stores.texts.add(text.clone()).await.unwrap();
        stores.conversations.default_of(a_conversation(user.id)).await.unwrap();
        stores.media.add(a_speech_record(Some(user.id))).await.unwrap();
        stores.models.set_defaults(user.id, &model.name, model.defaults).await.unwrap();
        texts.push(text.id);
        tokens.push((session.id, token));
    }

    let removed = stores.users.remove(gone.id).await.unwrap();

    assert_eq!(
        removed,
        RemovedRecords { sessions: 1, api_keys: 0, text_generations: 1, conversations: 1, images: 0, speeches: 1 }
    );
    assert_eq!(error_of(stores.users.get(gone.id).await), StoreError::NotFound);
    assert_eq!(error_of(stores.sessions.get_with_user(tokens[0].0).await), StoreError::NotFound);
    assert_eq!(stores.sessions.revoke_by_token(tokens[0].1.clone(), a_time()).await.unwrap(), None);
    assert_eq!(error_of(stores.texts.get(RecordScope::Everyone, texts[0]).await), StoreError::NotFound);
    assert_eq!(stores.sessions.get_with_user(tokens[1].0).await.unwrap().1, stays);
    assert!(stores.texts.get(RecordScope::Of(stays.id), texts[1]).await.is_ok());
}

/// A server whose last account is gone is like a new one: somebody must be able to manage it.
pub async fn whoever_comes_first_after_all_have_left_is_an_admin(stores: &Stores) {
    let only = stores.add_a_user().await;
    stores.users.remove(only.id).await.unwrap();
    assert_eq!(stores.add_a_user().await.role, Role::Admin);
}

/// Makes a test of every story, of what `$make` gives.
#[macro_export]
macro_rules! user_store_contract {
    ($make:path) => {
        $crate::stories! {
            $make, user_store,
            the_first_account_is_an_admin_and_every_other_a_user,
            of_many_accounts_added_at_once_exactly_one_is_an_admin,
            an_account_comes_back_as_it_was_added,
            an_account_that_is_not_there_is_not_found,
            a_taken_name_is_a_conflict_and_nothing_is_added,
            a_taken_address_is_a_conflict_and_a_taken_name_is_told_first,
            of_two_who_ask_for_a_name_at_once_one_gets_it,
            any_number_of_accounts_may_have_no_address,
            names_are_compared_exactly,
            an_account_is_found_by_its_name_or_its_address,
            a_name_wins_over_anothers_address,
            a_login_that_nobody_has_finds_nobody,
            accounts_are_listed_newest_first_a_page_at_a_time,
            a_list_goes_on_where_it_was_although_accounts_come_and_go,
            a_cursor_from_the_end_of_time_is_harmless,
            a_change_changes_what_it_names_and_nothing_else,
            a_change_to_a_taken_address_is_a_conflict_and_changes_nothing,
            a_removed_account_takes_everything_it_owns_with_it,
            whoever_comes_first_after_all_have_left_is_an_admin,
        }
    };
}
