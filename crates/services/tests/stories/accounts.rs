//! Registering, changing and removing accounts.

use std::sync::Arc;

use async_trait::async_trait;
use domain::{AuditAction, AuditEntry, AuditEvent, PageRequest, Role};
use futures_util::FutureExt;
use ports::{AuditFilter, AuditLog, AuditVerdict, StoreError};
use services::{AccountChange, Credentials, ProfileChange, Registration, ServiceError};
use test_support::FakeDatabase;

use crate::support::{PASSWORD, Server, Settings};

fn registration(username: &str, email: Option<&str>) -> Registration {
    let (username, email) = (username.to_owned(), email.map(str::to_owned));
    Registration { username, email, password: PASSWORD.into(), ..Registration::default() }
}

fn new_email(email: Option<&str>) -> ProfileChange {
    let email = Some(email.map(str::to_owned));
    ProfileChange { email, current_password: Some(PASSWORD.into()), ..ProfileChange::default() }
}

#[tokio::test]
async fn the_first_to_register_is_admin_and_every_other_a_user() {
    let server = Server::start().await;
    assert_eq!(server.register("ana").await.unwrap().role, Role::Admin);
    assert_eq!(server.register("bob").await.unwrap().role, Role::User);
}

#[tokio::test]
async fn a_taken_name_is_refused_and_says_which() {
    let server = Server::start().await;
    server.register("ana").await.unwrap();
    let error = server.register("ana").await.unwrap_err();
    assert_eq!(error, ServiceError::UsernameTaken { username: "ana".into() });
}

#[tokio::test]
async fn a_taken_address_is_refused() {
    let server = Server::start().await;
    let with_email = |name: &str| Registration {
        username: name.into(),
        password: PASSWORD.into(),
        email: Some("ana@example.org".into()),
        ..Registration::default()
    };
    server.accounts.register(with_email("ana")).await.unwrap();
    assert_eq!(server.accounts.register(with_email("bob")).await.unwrap_err(), ServiceError::EmailTaken);
}

#[tokio::test]
async fn a_name_that_looks_like_an_address_must_be_the_accounts_own() {
    let server = Server::start().await;
    let registration = |username: &str, email: Option<&str>| Registration {
        username: username.into(),
        password: PASSWORD.into(),
        email: email.map(str::to_owned),
        ..Registration::default()
    };
    let another = registration("ana@example.org", Some("mallory@example.org"));
    assert!(matches!(server.accounts.register(another).await, Err(ServiceError::Refused(_))));
    assert!(matches!(server.accounts.register(registration("ana@", None)).await, Err(ServiceError::Refused(_))));
    let ana = server.accounts.register(registration("ana@example.org", None)).await.unwrap();
    assert_eq!(ana.email.unwrap().as_str(), "ana@example.org", "the name is the address");
    let taken = registration("other", Some("ana@example.org"));
    assert_eq!(server.accounts.register(taken).await.unwrap_err(), ServiceError::EmailTaken);
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_before_anything_is_kept() {
    let server = Server::start().await;
    for (username, password, email) in
        [("", PASSWORD, None), ("ana", "short", None), ("ana", PASSWORD, Some("no address")), ("ana", &"é".repeat(37), None)]
    {
        let registration = Registration {
            username: username.into(),
            password: password.into(),
            email: email.map(str::to_owned),
            ..Registration::default()
        };
        assert!(matches!(server.accounts.register(registration).await, Err(ServiceError::Refused(_))));
    }
    assert_eq!(server.register("ana").await.unwrap().role, Role::Admin, "nobody was kept before");
}

#[tokio::test]
async fn a_new_password_needs_the_present_one_and_ends_the_other_sessions() {
    let server = Server::start().await;
    let here = server.newcomer("ana").await;
    let elsewhere = server.log_in("ana").await.unwrap();
    let change = |current: Option<&str>| ProfileChange {
        new_password: Some("another horse".into()),
        current_password: current.map(str::to_owned),
        ..ProfileChange::default()
    };
    for wrong in [None, Some("wrong horse")] {
        let error = server.accounts.update_profile(&here, change(wrong)).await.unwrap_err();
        assert!(matches!(error, ServiceError::Refused(refusal) if refusal.field_name() == "current_password"));
    }
    assert!(server.authenticate(&elsewhere.access_token).await.is_ok(), "nothing has changed so far");

    server.accounts.update_profile(&here, change(Some(PASSWORD))).await.unwrap();

    assert_eq!(server.authenticate(&elsewhere.access_token).await, Err(ServiceError::InvalidToken));
    assert_eq!(server.sessions.list(&here, PageRequest::default()).await.unwrap().items.len(), 1, "this session stays");
    assert_eq!(server.log_in("ana").await.unwrap_err(), ServiceError::InvalidCredentials);
    let credentials = Credentials { login: "ana".into(), password: "another horse".into() };
    assert!(server.sessions.log_in(credentials, services::ClientInfo::default()).await.is_ok());
}

#[tokio::test]
async fn who_guesses_the_present_password_in_a_borrowed_session_must_wait_like_who_signs_in() {
    let server = Server::start().await;
    let ana = server.newcomer("ana").await;
    let guess = |password: &str| ProfileChange {
        email: Some(Some("thief@example.org".into())),
        current_password: Some(password.to_owned()),
        ..ProfileChange::default()
    };
    for _ in 0..11 {
        let refused = server.accounts.update_profile(&ana, guess("wrong horse")).await.unwrap_err();
        assert!(matches!(refused, ServiceError::Refused(_)), "{refused}");
    }
    let throttled = ServiceError::SignInThrottled { retry_after_seconds: 2 };
    assert_eq!(server.accounts.update_profile(&ana, guess(PASSWORD)).await.unwrap_err(), throttled);
    assert_eq!(server.log_in("ana").await.unwrap_err(), throttled, "the account's guesses are counted together");
    server.clock.advance(chrono::TimeDelta::seconds(2));
    assert!(server.accounts.update_profile(&ana, guess(PASSWORD)).await.is_ok());
    let failures = server.audited(&ana).await.iter().filter(|action| **action == domain::AuditAction::SignInFailed).count();
    assert_eq!(failures, 12, "and one for all who were turned away in the one wait");
}

#[tokio::test]
async fn a_removed_account_can_do_nothing_more_and_its_texts_are_gone() {
    let server = Server::start().await;
    let admin = server.newcomer("admin").await;
    let ana = server.newcomer("ana").await;
    let signed_in = server.log_in("ana").await.unwrap();
    let text = server.texts.generate(&ana, crate::support::prompt("Once upon")).await.unwrap();

    server.accounts.delete_own(&ana).await.unwrap();

    assert_eq!(server.authenticate(&signed_in.access_token).await, Err(ServiceError::InvalidToken));
    assert_eq!(server.sessions.refresh(signed_in.refresh_token.expose(), None).await.unwrap_err(), ServiceError::InvalidToken);
    assert_eq!(server.log_in("ana").await.unwrap_err(), ServiceError::InvalidCredentials);
    assert_eq!(server.texts.get(&admin, text.id).await, Err(ServiceError::TextGenerationNotFound));
}

#[tokio::test]
async fn only_an_admin_sees_and_changes_other_accounts() {
    let server = Server::start().await;
    let admin = server.newcomer("admin").await;
    let ana = server.newcomer("ana").await;
    let everything = PageRequest::default();
    assert_eq!(server.accounts.list(&ana, everything).await, Err(ServiceError::Forbidden));
    assert_eq!(server.accounts.change(&ana, admin.user.id, AccountChange::default()).await, Err(ServiceError::Forbidden));
    assert_eq!(server.accounts.remove(&ana, admin.user.id).await, Err(ServiceError::Forbidden));
    assert_eq!(server.accounts.list(&admin, everything).await.unwrap().items.len(), 2);
}

#[tokio::test]
async fn a_disabled_account_is_out_at_once_and_may_come_back() {
    let server = Server::start().await;
    let admin = server.newcomer("admin").await;
    let ana = server.newcomer("ana").await;
    let signed_in = server.log_in("ana").await.unwrap();
    let disable = |disabled| AccountChange { disabled: Some(disabled), role: None };

    server.accounts.change(&admin, ana.user.id, disable(true)).await.unwrap();

    assert_eq!(server.authenticate(&signed_in.access_token).await, Err(ServiceError::InvalidToken));
    assert_eq!(server.log_in("ana").await.unwrap_err(), ServiceError::AccountInactive);
    server.accounts.change(&admin, ana.user.id, disable(false)).await.unwrap();
    assert!(server.log_in("ana").await.is_ok());
}

#[tokio::test]
async fn a_new_role_ends_the_sessions_that_had_the_old_one() {
    let server = Server::start().await;
    let admin = server.newcomer("admin").await;
    let ana = server.newcomer("ana").await;
    let signed_in = server.log_in("ana").await.unwrap();
    let promote = AccountChange { role: Some(Role::Admin), disabled: None };
    assert_eq!(server.accounts.change(&admin, ana.user.id, promote).await.unwrap().role, Role::Admin);
    assert_eq!(server.authenticate(&signed_in.access_token).await, Err(ServiceError::InvalidToken));
}

#[tokio::test]
async fn an_admin_cannot_leave_the_server_without_one() {
    let server = Server::start().await;
    let admin = server.newcomer("admin").await;
    for change in [AccountChange { role: Some(Role::User), disabled: None }, AccountChange { role: None, disabled: Some(true) }] {
        assert_eq!(server.accounts.change(&admin, admin.user.id, change).await, Err(ServiceError::LastAdmin));
    }
    assert_eq!(server.accounts.remove(&admin, admin.user.id).await, Err(ServiceError::LastAdmin));
}

#[tokio::test]
async fn nobody_catches_the_sign_ins_of_whom_an_address_belongs_to() {
    let server = Server::start().await;
    server.register("admin").await.unwrap();
    let eve = server.newcomer("victim@x.org").await;

    let moved_on = server.accounts.update_profile(&eve, new_email(Some("eve@x.org"))).await.unwrap_err();
    assert!(matches!(moved_on, ServiceError::Refused(refusal) if refusal.field_name() == "email"));
    let freed = server.accounts.update_profile(&eve, new_email(None)).await.unwrap_err();
    assert!(matches!(freed, ServiceError::Refused(refusal) if refusal.field_name() == "email"));
    let victim = server.accounts.register(registration("victim", Some("victim@x.org"))).await;
    assert_eq!(victim.unwrap_err(), ServiceError::EmailTaken, "told at once, and not signed in to another's account");
}

#[tokio::test]
async fn an_account_of_the_command_line_that_is_called_like_an_address_has_that_address() {
    let server = Server::start().await;
    let ana = server.accounts.create("Ana@x.org".into(), PASSWORD.into()).await.unwrap();
    assert_eq!(ana.email.unwrap().as_str(), "ana@x.org");
    let other = server.accounts.register(registration("other", Some("ana@x.org"))).await;
    assert_eq!(other.unwrap_err(), ServiceError::EmailTaken);
}

#[tokio::test]
async fn an_address_signs_in_and_is_taken_in_whatever_case() {
    let server = Server::start().await;
    let ana = server.accounts.register(registration("ana", Some("Ana@X.org"))).await.unwrap();
    for login in ["ana@x.org", "ANA@x.ORG"] {
        assert_eq!(server.log_in(login).await.unwrap().user.id, ana.id, "{login}");
    }
    let again = server.accounts.register(registration("other", Some("ana@x.org"))).await;
    assert_eq!(again.unwrap_err(), ServiceError::EmailTaken);
}

#[tokio::test]
async fn an_address_that_changes_or_goes_is_audited() {
    let server = Server::start().await;
    let ana = server.newcomer("ana").await;
    let changed = server.accounts.update_profile(&ana, new_email(Some("ana@x.org"))).await.unwrap();
    assert_eq!(changed.email.unwrap().as_str(), "ana@x.org");
    server.accounts.update_profile(&ana, new_email(Some("ANA@x.org"))).await.unwrap();
    assert_eq!(server.accounts.update_profile(&ana, new_email(None)).await.unwrap().email, None);
    let audited = server.audited(&ana).await.into_iter().filter(|action| *action == AuditAction::EmailChanged).count();
    assert_eq!(audited, 2, "the same in another case is no change");
}

#[tokio::test]
async fn the_last_admin_leaves_as_the_last_of_all() {
    let server = Server::start().await;
    let (admin, ana) = (server.newcomer("admin").await, server.newcomer("ana").await);
    assert_eq!(server.accounts.delete_own(&admin).await, Err(ServiceError::LastAdmin));
    let demote = AccountChange { role: Some(Role::User), disabled: None };
    assert_eq!(
        server.accounts.change_by_name("admin", demote).await,
        Err(ServiceError::LastAdmin),
        "nor by a slip of the keyboard"
    );
    assert!(server.log_in("admin").await.is_ok(), "nothing has changed");
    server.accounts.delete_own(&ana).await.unwrap();
    server.accounts.delete_own(&admin).await.unwrap();
    assert_eq!(server.register("bob").await.unwrap().role, Role::Admin);
}

/// A log that makes whoever writes to it wait a moment, as a database does.
struct SlowLog(Arc<FakeDatabase>);

#[async_trait]
impl AuditLog for SlowLog {
    async fn append(&self, entry: AuditEntry) -> Result<AuditEvent, StoreError> {
        tokio::task::yield_now().await;
        self.0.append(entry).await
    }

    async fn list(&self, filter: AuditFilter, before: Option<i64>, limit: u32) -> Result<Vec<AuditEvent>, StoreError> {
        AuditLog::list(&*self.0, filter, before, limit).await
    }

    async fn verify(&self) -> Result<AuditVerdict, StoreError> {
        self.0.verify().await
    }
}

#[tokio::test]
async fn who_goes_away_in_the_middle_leaves_no_deed_without_its_event() {
    let database = Arc::new(FakeDatabase::default());
    let log: Arc<dyn AuditLog> = Arc::new(SlowLog(database.clone()));
    let server = Server::with_settings(Settings { database, audit_log: Some(log), ..Settings::default() }).await;
    let (admin, ana) = (server.newcomer("admin").await, server.newcomer("ana").await);
    let disable = AccountChange { disabled: Some(true), role: None };
    let new_password = ProfileChange {
        new_password: Some("another horse".into()),
        current_password: Some(PASSWORD.into()),
        ..ProfileChange::default()
    };

    assert!(server.accounts.update_profile(&ana, new_password).now_or_never().is_none(), "it is on its way");
    server.background.finish().await;
    assert!(server.accounts.change(&admin, ana.user.id, disable).now_or_never().is_none());
    server.background.finish().await;

    assert_eq!(server.sessions.still_holds(&ana).await, Err(ServiceError::InvalidToken));
    let audited = server.audited(&admin).await;
    assert_eq!(audited[audited.len() - 2..], [AuditAction::PasswordChanged, AuditAction::AccountDisabled]);
}

#[tokio::test]
async fn what_failed_changed_nothing_and_ends_the_sessions_when_it_is_tried_again() {
    let database = Arc::new(FakeDatabase::default());
    let server = Server::with_settings(Settings { database: database.clone(), ..Settings::default() }).await;
    let (admin, ana) = (server.newcomer("admin").await, server.newcomer("ana").await);
    let promote = AccountChange { role: Some(Role::Admin), disabled: None };

    database.set_down(true);
    assert!(matches!(server.accounts.change(&admin, ana.user.id, promote).await, Err(ServiceError::Store(_))));
    database.set_down(false);
    assert_eq!(server.sessions.still_holds(&ana).await, Ok(()));

    server.accounts.change(&admin, ana.user.id, promote).await.unwrap();
    assert_eq!(server.sessions.still_holds(&ana).await, Err(ServiceError::InvalidToken));
    assert_eq!(server.audited(&admin).await.last(), Some(&AuditAction::RoleChanged));
}
