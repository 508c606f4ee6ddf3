//! Invitations, and codes to set a new password.

use chrono::TimeDelta;
use domain::{AuditAction, PageRequest, RegistrationPolicy, Role};
use services::{Registration, ServiceError};

use crate::support::{PASSWORD, Server, Settings};

fn with_invitation(username: &str, code: &str) -> Registration {
    Registration {
        username: username.into(),
        password: PASSWORD.into(),
        invitation: Some(code.into()),
        ..Registration::default()
    }
}

async fn by_invitation() -> Server {
    Server::with_settings(Settings { registration: RegistrationPolicy::Invite, ..Settings::default() }).await
}

#[tokio::test]
async fn the_first_registers_without_an_invitation_and_everybody_else_spends_one() {
    let server = by_invitation().await;
    let admin = server.newcomer("admin").await;
    assert_eq!(server.register("ana").await, Err(ServiceError::RegistrationClosed));
    let issued = server.accounts.invite(&admin).await.unwrap();
    assert_eq!(server.accounts.register(with_invitation("ana", "guess")).await, Err(ServiceError::InvalidCode));
    let ana = server.accounts.register(with_invitation("ana", &issued.code)).await.unwrap();
    assert_eq!(ana.role, Role::User);
    assert_eq!(server.accounts.register(with_invitation("bob", &issued.code)).await, Err(ServiceError::InvalidCode));
}

#[tokio::test]
async fn an_invitation_lasts_a_week_and_a_taken_name_does_not_spend_it() {
    let server = by_invitation().await;
    let admin = server.newcomer("admin").await;
    let issued = server.accounts.invite(&admin).await.unwrap();
    let taken = server.accounts.register(with_invitation("admin", &issued.code)).await;
    assert_eq!(taken, Err(ServiceError::UsernameTaken { username: "admin".into() }));
    assert_eq!(server.accounts.invitations(&admin, PageRequest::default()).await.unwrap().items.len(), 1);
    server.clock.advance(TimeDelta::days(7));
    assert_eq!(server.accounts.register(with_invitation("ana", &issued.code)).await, Err(ServiceError::InvalidCode));
    assert_eq!(server.accounts.invitations(&admin, PageRequest::default()).await.unwrap().items, []);
}

#[tokio::test]
async fn a_closed_server_takes_nobody_but_the_first_and_whom_the_command_line_adds() {
    let server = Server::with_settings(Settings { registration: RegistrationPolicy::Closed, ..Settings::default() }).await;
    let admin = server.newcomer("admin").await;
    let issued = server.accounts.invite(&admin).await.unwrap();
    let refused = server.accounts.register(with_invitation("ana", &issued.code)).await;
    assert_eq!(refused, Err(ServiceError::RegistrationClosed));
    server.accounts.create("ana".into(), PASSWORD.into()).await.unwrap();
    assert!(server.log_in("ana").await.is_ok());
}

#[tokio::test]
async fn only_an_admin_invites_and_resets() {
    let server = Server::start().await;
    let (admin, ana) = (server.newcomer("admin").await, server.newcomer("ana").await);
    assert!(matches!(server.accounts.invite(&ana).await, Err(ServiceError::Forbidden)));
    let reset = server.accounts.issue_password_reset(&ana, admin.user.id).await;
    assert!(matches!(reset, Err(ServiceError::Forbidden)));
}

#[tokio::test]
async fn a_code_sets_a_new_password_once_and_ends_every_session() {
    let server = Server::start().await;
    let (admin, ana) = (server.newcomer("admin").await, server.newcomer("ana").await);
    let signed_in = server.log_in("ana").await.unwrap();
    let issued = server.accounts.issue_password_reset(&admin, ana.user.id).await.unwrap();
    assert!(server.log_in("ana").await.is_ok(), "the old password works until then");

    server.accounts.reset_password(&issued.code, "another horse".into(), None).await.unwrap();

    assert_eq!(server.authenticate(&signed_in.access_token).await, Err(ServiceError::InvalidToken));
    assert_eq!(server.log_in("ana").await.unwrap_err(), ServiceError::InvalidCredentials);
    assert!(server.log_in_with("ana", "another horse").await.is_ok());
    let again = server.accounts.reset_password(&issued.code, "third horse".into(), None).await;
    assert_eq!(again, Err(ServiceError::InvalidCode));
    let audited = server.audited(&admin).await;
    assert!(audited.contains(&AuditAction::PasswordResetIssued) && audited.contains(&AuditAction::PasswordReset));
}

#[tokio::test]
async fn of_two_who_come_first_at_once_to_a_closed_server_one_gets_in() {
    for registration in [RegistrationPolicy::Closed, RegistrationPolicy::Invite] {
        let server = Server::with_settings(Settings { registration, ..Settings::default() }).await;
        let (one, other) = tokio::join!(server.register("ana"), server.register("eve"));
        let refused: Vec<_> = [one, other].into_iter().filter_map(Result::err).collect();
        assert_eq!(refused, [ServiceError::RegistrationClosed], "{registration:?}");
    }
}
