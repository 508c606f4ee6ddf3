//! The stories of [`ports::UserStore`].

use chrono::TimeDelta;
use domain::{Cursor, Email, PasswordHash, Role, User, Username};
use ports::{EndSessions, NewUser, RecordScope, RemovedRecords, StoreError, UserChange};

use super::{Stores, all_at_once, all_pages, error_of, page_after};
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

/// Nobody remembers how they wrote it.
pub async fn an_address_is_one_address_in_whatever_case(stores: &Stores) {
    let ana = stores.users.add(NewUser { email: Some(email("Ana@X.org")), ..named("ana") }).await.unwrap();
    let again = NewUser { email: Some(email("aNA@x.ORG")), ..named("eva") };
    assert_eq!(error_of(stores.users.add(again).await), StoreError::Conflict { field: "email" });
    for login in ["ana@x.org", "Ana@X.org", "ANA@X.ORG"] {
        assert_eq!(stores.users.find_by_login(login).await.unwrap().unwrap().0, ana, "{login}");
    }
}

/// Else whoever has the name would catch the sign-ins of whom the address belongs to.
pub async fn an_address_that_is_anothers_name_is_a_conflict_and_the_other_way_round(stores: &Stores) {
    let own = NewUser { email: Some(email("ana@x.org")), ..named("ana@x.org") };
    let ana = stores.users.add(own).await.unwrap();
    let eve = stores.users.add(NewUser { email: Some(email("eve@x.org")), ..named("Eva@x.org") }).await.unwrap();

    for (name, address, field) in [
        ("bob", Some("eva@x.org"), "email"),
        ("Ana@X.org", None, "username"),
        ("EVE@x.org", None, "username"),
        ("Eve@x.org", Some("eve@x.org"), "email"),
    ] {
        let new = NewUser { email: address.map(email), ..named(name) };
        assert_eq!(error_of(stores.users.add(new).await), StoreError::Conflict { field }, "{name} {address:?}");
    }
    let change = |address: &str| UserChange { email: Some(Some(email(address))), ..UserChange::default() };
    assert_eq!(error_of(stores.users.change(ana.id, change("eva@x.org")).await), StoreError::Conflict { field: "email" });
    assert_eq!(stores.users.get(ana.id).await.unwrap(), ana);
    assert_eq!(stores.users.change(eve.id, change("eva@x.org")).await.unwrap().after.email, Some(email("eva@x.org")));
}

/// Not even when they come at once.
pub async fn of_a_name_and_an_address_that_are_the_same_one_is_added(stores: &Stores) {
    stores.add_a_user().await;
    let number = std::sync::atomic::AtomicU32::new(0);
    let results = all_at_once(8, || {
        let users = stores.users.clone();
        let by_name = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed).is_multiple_of(2);
        let new = if by_name { named("ana@x.org") } else { NewUser { email: Some(email("ana@x.org")), ..a_new_user() } };
        async move { users.add(new).await }
    })
    .await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
}

/// Where registration is closed, the first may come all the same, and nobody with them.
pub async fn of_many_who_come_as_the_first_exactly_one_is(stores: &Stores) {
    let results = all_at_once(8, || {
        let users = stores.users.clone();
        async move { users.add_first(a_new_user()).await }
    })
    .await;
    let (added, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(added.into_iter().map(|user| user.unwrap().role).collect::<Vec<_>>(), [Role::Admin]);
    assert!(refused.into_iter().all(|refused| error_of(refused) == StoreError::Conflict { field: "first" }));
    assert_eq!(error_of(stores.users.add_first(a_new_user()).await), StoreError::Conflict { field: "first" });
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
    assert_eq!((&unchanged.before, &unchanged.after, unchanged.ended_sessions), (&expected, &expected, 0));

    let change = UserChange { email: Some(Some(email("new@x.org"))), ..UserChange::default() };
    let changed = stores.users.change(id, change.clone()).await.unwrap();
    assert_eq!(changed.before, expected);
    expected.email = Some(email("new@x.org"));
    assert_eq!(changed.after, expected);
    assert_eq!(stores.users.change(id, change).await.unwrap().after, expected, "one's own address is not taken");

    expected.role = Role::Admin;
    let change = UserChange { role: Some(Role::Admin), ..UserChange::default() };
    assert_eq!(stores.users.change(id, change).await.unwrap().after, expected);

    expected.disabled = true;
    let change = UserChange { disabled: Some(true), ..UserChange::default() };
    assert_eq!(stores.users.change(id, change).await.unwrap().after, expected);

    expected.email = None;
    let change = UserChange { email: Some(None), ..UserChange::default() };
    assert_eq!(stores.users.change(id, change).await.unwrap().after, expected);

    let change = UserChange { password_hash: Some(PasswordHash::new("new hash")), ..UserChange::default() };
    assert_eq!(stores.users.change(id, change).await.unwrap().after, expected);
    assert_eq!(stores.users.password_hash(id).await.unwrap().expose(), "new hash");
    assert_eq!(stores.users.get(id).await.unwrap(), expected);
}

/// And nothing else of the change happens.
pub async fn a_change_to_a_taken_address_is_a_conflict_and_changes_nothing(stores: &Stores) {
    stores.users.add(NewUser { email: Some(email("ana@x.org")), ..a_new_user() }).await.unwrap();
    let user = stores.add_a_user().await;
    let change = UserChange { email: Some(Some(email("ana@x.org"))), disabled: Some(true), ..UserChange::default() };
    assert_eq!(error_of(stores.users.change(user.id, change).await), StoreError::Conflict { field: "email" });
    assert_eq!(stores.users.get(user.id).await.unwrap(), user);
}

/// All but the one that is named, and only with a change that was made.
pub async fn a_change_ends_sessions_with_it_or_not_at_all(stores: &Stores) {
    stores.users.add(NewUser { email: Some(email("taken@x.org")), ..a_new_user() }).await.unwrap();
    let (user, stranger) = (stores.add_a_user().await, stores.add_a_user().await);
    let mut sessions = Vec::new();
    for owner in [&user, &user, &user, &stranger] {
        let session = a_session(owner.id);
        stores.begin_session(&session, a_token_hash()).await;
        sessions.push(session.id);
    }
    let ends = async || {
        let mut ends = Vec::new();
        for id in &sessions {
            ends.push(stores.sessions.get_with_user(*id).await.unwrap().0.revoked_at);
        }
        ends
    };
    let (first, second) = (a_time() + TimeDelta::minutes(1), a_time() + TimeDelta::minutes(2));
    let all_but_the_first = EndSessions { at: first, except: Some(sessions[0]) };
    let new_password = Some(PasswordHash::new("new hash"));
    let new_password = UserChange { password_hash: new_password, end_sessions: Some(all_but_the_first), ..UserChange::default() };

    let refused = UserChange { email: Some(Some(email("taken@x.org"))), ..new_password.clone() };
    assert_eq!(error_of(stores.users.change(user.id, refused).await), StoreError::Conflict { field: "email" });
    assert_eq!(stores.users.password_hash(user.id).await.unwrap().expose(), "a hash");
    let nothing_new = UserChange { role: Some(Role::User), end_sessions: Some(all_but_the_first), ..UserChange::default() };
    assert_eq!(stores.users.change(user.id, nothing_new).await.unwrap().ended_sessions, 0);
    assert_eq!(ends().await, [None; 4]);

    assert_eq!(stores.users.change(user.id, new_password).await.unwrap().ended_sessions, 2);
    assert_eq!(ends().await, [None, Some(first), Some(first), None]);
    let all = Some(EndSessions { at: second, except: None });
    let disable = UserChange { disabled: Some(true), end_sessions: all, ..UserChange::default() };
    assert_eq!(stores.users.change(user.id, disable).await.unwrap().ended_sessions, 1);
    assert_eq!(ends().await, [Some(second), Some(first), Some(first), None]);
}

/// An admin of whom nothing is left but a disabled account is none.
pub async fn the_last_admin_stays_one_while_others_remain(stores: &Stores) {
    let (first, second, user) = (stores.add_a_user().await, stores.add_a_user().await, stores.add_a_user().await);
    let promote = UserChange { role: Some(Role::Admin), ..UserChange::default() };
    stores.users.change(second.id, promote.clone()).await.unwrap();
    let disable = UserChange { disabled: Some(true), ..UserChange::default() };
    stores.users.change(second.id, disable.clone()).await.unwrap();

    let demote = UserChange { role: Some(Role::User), ..UserChange::default() };
    for change in [&demote, &disable] {
        let refused = error_of(stores.users.change(first.id, change.clone()).await);
        assert_eq!(refused, StoreError::Conflict { field: "last_admin" });
    }
    assert_eq!(error_of(stores.users.remove(first.id).await), StoreError::Conflict { field: "last_admin" });
    assert_eq!(stores.users.get(first.id).await.unwrap(), first);

    let enable = UserChange { disabled: Some(false), ..UserChange::default() };
    stores.users.change(second.id, enable).await.unwrap();
    stores.users.remove(first.id).await.unwrap();
    stores.users.remove(user.id).await.unwrap();
    let alone = error_of(stores.users.change(second.id, demote).await);
    assert_eq!(alone, StoreError::Conflict { field: "last_admin" }, "who is alone may leave, and not stay without power");
    stores.users.remove(second.id).await.unwrap();
}

/// Each would see the other.
pub async fn of_two_admins_who_leave_at_once_one_stays(stores: &Stores) {
    for round in 0..8 {
        let mut admins = Vec::new();
        for _ in 0..2 {
            let id = stores.add_a_user().await.id;
            stores.users.change(id, UserChange { role: Some(Role::Admin), ..UserChange::default() }).await.unwrap();
            admins.push(id);
        }
        for other in stores.users.list(page_after(None, 200)).await.unwrap().items {
            if !admins.contains(&other.id) && other.role == Role::Admin {
                let demote = UserChange { role: Some(Role::User), ..UserChange::default() };
                stores.users.change(other.id, demote).await.unwrap();
            }
        }
        let number = std::sync::atomic::AtomicUsize::new(0);
        let left = all_at_once(2, || {
            let which = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let (users, id) = (stores.users.clone(), admins[which]);
            async move {
                let change = match (round + which) % 3 {
                    0 => UserChange { role: Some(Role::User), ..UserChange::default() },
                    1 => UserChange { disabled: Some(true), ..UserChange::default() },
                    _ => return users.remove(id).await.map(drop),
                };
                users.change(id, change).await.map(drop)
            }
        })
        .await;
        let refused: Vec<_> = left.into_iter().filter_map(Result::err).collect();
        assert_eq!(refused, [StoreError::Conflict { field: "last_admin" }], "round {round}");
    }
}

/// The sessions, texts and defaults of others stay.
pub async fn a_removed_account_takes_everything_it_owns_with_it(stores: &Stores) {
    let (stays, gone) = (stores.add_a_user().await, stores.add_a_user().await);
    let model = a_model("default");
    stores.models.add(model.clone()).await.unwrap();
    let mut texts = Vec::new();
    let mut tokens = Vec::new();
    for user in [&gone, &stays] {
        let (session, token, text) = (a_session(user.id), a_token_hash(), a_text_generation(user.id));
        stores.begin_session(&session, token.clone()).await;
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
            an_address_is_one_address_in_whatever_case,
            an_address_that_is_anothers_name_is_a_conflict_and_the_other_way_round,
            of_a_name_and_an_address_that_are_the_same_one_is_added,
            of_many_who_come_as_the_first_exactly_one_is,
            a_login_that_nobody_has_finds_nobody,
            accounts_are_listed_newest_first_a_page_at_a_time,
            a_list_goes_on_where_it_was_although_accounts_come_and_go,
            a_cursor_from_the_end_of_time_is_harmless,
            a_change_changes_what_it_names_and_nothing_else,
            a_change_to_a_taken_address_is_a_conflict_and_changes_nothing,
            a_change_ends_sessions_with_it_or_not_at_all,
            the_last_admin_stays_one_while_others_remain,
            of_two_admins_who_leave_at_once_one_stays,
            a_removed_account_takes_everything_it_owns_with_it,
            whoever_comes_first_after_all_have_left_is_an_admin,
        }
    };
}
