//! Registering, changing and removing accounts.

use domain::{PageRequest, Role};
use services::{AccountChange, Credentials, ProfileChange, Registration, ServiceError};

use crate::support::{PASSWORD, Server};

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
    assert_eq!(server.sessions.list(&here).await.unwrap().len(), 1, "this session stays");
    assert_eq!(server.log_in("ana").await.unwrap_err(), ServiceError::InvalidCredentials);
    let credentials = Credentials { login: "ana".into(), password: "another horse".into() };
    assert!(server.sessions.log_in(credentials, services::ClientInfo::default()).await.is_ok());
}

#[tokio::test]
async fn who_guesses_the_present_password_in_a_borrowed_session_must_wait_like_who_signs_in() {
    let server = Server::start().await;
    let ana = server.newcomer("ana").await;
    let guess = |password: &str| ProfileChange {
        email: Some("thief@example.org".into()),
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
    assert_eq!(failures, 11);
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
