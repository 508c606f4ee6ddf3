//! Signing in, staying signed in, and being signed out.

use chrono::TimeDelta;
use domain::PageRequest;
use services::{ClientInfo, Credentials, ServiceError};

use crate::support::{PASSWORD, Server, Settings};

#[tokio::test]
async fn an_unknown_name_and_a_wrong_password_get_the_same_answer() {
    let server = Server::start().await;
    server.register("ana").await.unwrap();
    for (login, password) in [("ana", "wrong horse"), ("nobody", PASSWORD)] {
        let credentials = Credentials { login: login.into(), password: password.into() };
        let error = server.sessions.log_in(credentials, ClientInfo::default()).await.unwrap_err();
        assert_eq!(error, ServiceError::InvalidCredentials);
    }
}

#[tokio::test]
async fn an_access_token_works_for_its_time_and_no_longer() {
    let server = Server::start().await;
    server.register("ana").await.unwrap();
    let signed_in = server.log_in("ana").await.unwrap();
    assert_eq!(signed_in.expires_in_seconds, 900);
    server.clock.advance(TimeDelta::seconds(899));
    assert_eq!(server.authenticate(&signed_in.access_token).await.unwrap().user.username.as_str(), "ana");
    server.clock.advance(TimeDelta::seconds(1));
    assert_eq!(server.authenticate(&signed_in.access_token).await, Err(ServiceError::InvalidToken));
}

#[tokio::test]
async fn a_refresh_token_works_once_and_using_it_again_ends_the_session() {
    let server = Server::start().await;
    server.register("ana").await.unwrap();
    let first = server.log_in("ana").await.unwrap();
    let second = server.sessions.refresh(first.refresh_token.expose(), None).await.unwrap();
    assert!(server.authenticate(&second.access_token).await.is_ok());

    assert_eq!(server.sessions.refresh(first.refresh_token.expose(), None).await.unwrap_err(), ServiceError::InvalidToken);

    assert_eq!(server.authenticate(&second.access_token).await, Err(ServiceError::InvalidToken));
    assert_eq!(server.sessions.refresh(second.refresh_token.expose(), None).await.unwrap_err(), ServiceError::InvalidToken);
}

#[tokio::test]
async fn the_audit_log_tells_whose_session_ended_and_from_where() {
    let server = Server::start().await;
    let admin = server.newcomer("admin").await;
    let ana = server.register("ana").await.unwrap();
    let (first, other) = (server.log_in("ana").await.unwrap(), server.log_in("ana").await.unwrap());
    server.sessions.refresh(first.refresh_token.expose(), Some("192.0.2.7")).await.unwrap();
    server.sessions.refresh(first.refresh_token.expose(), Some("198.51.100.66")).await.unwrap_err();
    server.sessions.log_out(other.refresh_token.expose(), Some("192.0.2.8")).await.unwrap();

    let limit = domain::PageLimit::default();
    let events = server.audit.list(&admin, ports::AuditFilter::default(), None, limit).await.unwrap();
    let [signed_out, reused, ..] = events.as_slice() else { panic!("{events:?}") };
    let (signed_out, reused) = (&signed_out.entry, &reused.entry);
    assert_eq!((reused.action, reused.address.as_deref()), (domain::AuditAction::RefreshTokenReused, Some("198.51.100.66")));
    assert!(reused.subject.starts_with("session:") && reused.detail == format!("user:{}", ana.id), "{reused:?}");
    assert_eq!((signed_out.action, signed_out.address.as_deref()), (domain::AuditAction::SignedOut, Some("192.0.2.8")));
    assert!(signed_out.subject.starts_with("session:") && signed_out.subject != reused.subject, "{signed_out:?}");
}

#[tokio::test]
async fn a_session_that_is_used_lasts_and_one_that_is_not_ends() {
    let server = Server::start().await;
    server.register("ana").await.unwrap();
    let mut signed_in = server.log_in("ana").await.unwrap();
    for _ in 0..3 {
        server.clock.advance(TimeDelta::days(29));
        signed_in = server.sessions.refresh(signed_in.refresh_token.expose(), None).await.unwrap();
    }
    server.clock.advance(TimeDelta::days(30));
    assert_eq!(server.sessions.refresh(signed_in.refresh_token.expose(), None).await.unwrap_err(), ServiceError::InvalidToken);
}

#[tokio::test]
async fn signing_out_ends_the_access_tokens_too_and_an_unknown_token_is_no_error() {
    let server = Server::start().await;
    server.register("ana").await.unwrap();
    let signed_in = server.log_in("ana").await.unwrap();
    server.sessions.log_out("not a token", None).await.unwrap();
    assert!(server.authenticate(&signed_in.access_token).await.is_ok());
    server.sessions.log_out(signed_in.refresh_token.expose(), None).await.unwrap();
    assert_eq!(server.authenticate(&signed_in.access_token).await, Err(ServiceError::InvalidToken));
    server.sessions.log_out(signed_in.refresh_token.expose(), None).await.unwrap();
}

#[tokio::test]
async fn a_user_sees_and_ends_their_own_sessions_and_nobody_elses() {
    let server = Server::start().await;
    let ana = server.newcomer("ana").await;
    let bob = server.newcomer("bob").await;
    let credentials = Credentials { login: "ana".into(), password: PASSWORD.into() };
    let client = ClientInfo { user_agent: Some("x".repeat(1000)), address: Some("192.0.2.7".into()) };
    let phone = server.sessions.log_in(credentials, client).await.unwrap();
    let phone = server.authenticate(&phone.access_token).await.unwrap();

    let sessions = server.sessions.list(&ana, PageRequest::default()).await.unwrap().items;
    assert_eq!(sessions.len(), 2);
    let shown = sessions.iter().find(|session| session.id == phone.require_session().unwrap()).unwrap();
    assert_eq!(shown.client.as_ref().unwrap().len(), 200, "a client's name for itself is cut");

    assert_eq!(server.sessions.end(&bob, phone.require_session().unwrap()).await, Err(ServiceError::SessionNotFound));
    server.sessions.end(&ana, phone.require_session().unwrap()).await.unwrap();
    assert_eq!(server.sessions.list(&ana, PageRequest::default()).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn with_one_device_too_many_the_one_that_was_not_used_for_longest_is_signed_out() {
    let server = Server::with_settings(Settings { max_sessions_per_user: 2, ..Settings::default() }).await;
    server.register("ana").await.unwrap();
    let mut devices = Vec::new();
    for _ in 0..2 {
        devices.push(server.log_in("ana").await.unwrap());
        server.clock.advance(TimeDelta::seconds(1));
    }
    let first = server.sessions.refresh(devices[0].refresh_token.expose(), None).await.unwrap();
    server.clock.advance(TimeDelta::seconds(1));
    let third = server.log_in("ana").await.unwrap();
    assert!(server.authenticate(&first.access_token).await.is_ok());
    assert!(server.authenticate(&third.access_token).await.is_ok());
    assert_eq!(server.authenticate(&devices[1].access_token).await, Err(ServiceError::InvalidToken));
}
