//! Keys by which programs call.

use chrono::TimeDelta;
use domain::{AuditAction, Scope};
use services::{AccountChange, ApiKeyRequest, Credential, ProfileChange, ServiceError};

use crate::support::{Server, prompt};

fn key(name: &str, scopes: Option<&[&str]>) -> ApiKeyRequest {
    let scopes = scopes.map(|scopes| scopes.iter().map(|scope| (*scope).to_owned()).collect());
    ApiKeyRequest { name: name.into(), scopes, expires_at: None }
}

#[tokio::test]
async fn a_program_calls_with_a_key_until_it_is_removed() {
    let server = Server::start().await;
    let ana = server.newcomer("ana").await;
    let issued = server.api_keys.create(&ana, key("nightly", None)).await.unwrap();
    let program = server.authenticate(&issued.secret.key).await.unwrap();
    assert_eq!(program.user, ana.user);
    assert!(matches!(&program.credential, Credential::ApiKey { id, .. } if *id == issued.record.id));
    assert!(server.texts.generate(&program, prompt("Once upon")).await.is_ok());
    assert_eq!(server.authenticate(&format!("{}x", issued.secret.key)).await, Err(ServiceError::InvalidToken));

    server.api_keys.remove(&ana, issued.record.id).await.unwrap();

    assert_eq!(server.authenticate(&issued.secret.key).await, Err(ServiceError::InvalidToken));
    assert_eq!(server.sessions.still_holds(&program).await, Err(ServiceError::InvalidToken), "its streams are cut");
    assert_eq!(server.api_keys.remove(&ana, issued.record.id).await, Err(ServiceError::ApiKeyNotFound));
}

#[tokio::test]
async fn a_key_can_do_what_its_scopes_name_and_never_manages_the_account() {
    let server = Server::start().await;
    let admin = server.newcomer("admin").await;
    let issued = server.api_keys.create(&admin, key("pictures", Some(&["images"]))).await.unwrap();
    let program = server.authenticate(&issued.secret.key).await.unwrap();
    assert_eq!(program.require_scope(Scope::Images), Ok(()));
    assert_eq!(program.require_scope(Scope::Text), Err(ServiceError::Forbidden));
    assert_eq!(program.require_admin(), Err(ServiceError::Forbidden), "an admin's key is no admin without the scope");
    let another = server.api_keys.create(&program, key("another", None)).await;
    assert!(matches!(another, Err(ServiceError::Forbidden)), "a key makes no keys");
    assert_eq!(server.accounts.delete_own(&program).await, Err(ServiceError::Forbidden));
    let change = ProfileChange { current_password: Some(crate::support::PASSWORD.into()), ..ProfileChange::default() };
    assert_eq!(server.accounts.update_profile(&program, change).await, Err(ServiceError::Forbidden));
}

#[tokio::test]
async fn an_admins_key_never_becomes_the_admin() {
    let server = Server::start().await;
    let (admin, ana) = (server.newcomer("admin").await, server.newcomer("ana").await);
    let issued = server.api_keys.create(&admin, key("automation", Some(&["admin"]))).await.unwrap();
    let program = server.authenticate(&issued.secret.key).await.unwrap();
    for id in [admin.user.id, ana.user.id] {
        let reset = server.accounts.issue_password_reset(&program, id).await;
        assert!(matches!(reset, Err(ServiceError::Forbidden)), "a password of its own would outlive the key");
    }
    let change = AccountChange { disabled: Some(false), role: None };
    assert_eq!(server.accounts.change(&program, admin.user.id, change).await, Err(ServiceError::Forbidden));
    assert!(server.accounts.change(&program, ana.user.id, change).await.is_ok(), "others it manages");
}

#[tokio::test]
async fn only_an_admin_makes_a_key_for_admins() {
    let server = Server::start().await;
    let (admin, ana) = (server.newcomer("admin").await, server.newcomer("ana").await);
    let refused = server.api_keys.create(&ana, key("power", Some(&["admin"]))).await;
    assert!(matches!(refused, Err(ServiceError::Forbidden)));
    let issued = server.api_keys.create(&admin, key("power", Some(&["text", "admin", "text"]))).await.unwrap();
    assert_eq!(issued.record.scopes, [Scope::Text, Scope::Admin]);
    let program = server.authenticate(&issued.secret.key).await.unwrap();
    assert_eq!(program.require_admin(), Ok(()));
}

#[tokio::test]
async fn a_key_that_is_to_end_ends() {
    let server = Server::start().await;
    let ana = server.newcomer("ana").await;
    let now = ana.user.created_at;
    let past = ApiKeyRequest { expires_at: Some(now), ..key("past", None) };
    assert!(matches!(server.api_keys.create(&ana, past).await, Err(ServiceError::Refused(_))));
    let hour = ApiKeyRequest { expires_at: Some(now + TimeDelta::hours(1)), ..key("hour", None) };
    let issued = server.api_keys.create(&ana, hour).await.unwrap();
    assert!(server.authenticate(&issued.secret.key).await.is_ok());
    server.clock.advance(TimeDelta::hours(1));
    assert_eq!(server.authenticate(&issued.secret.key).await, Err(ServiceError::InvalidToken));
}

#[tokio::test]
async fn a_keys_use_is_noted_to_the_minute_and_its_making_and_end_are_audited() {
    let server = Server::start().await;
    let admin = server.newcomer("admin").await;
    let issued = server.api_keys.create(&admin, key("nightly", None)).await.unwrap();
    assert_eq!(server.api_keys.list(&admin).await.unwrap()[0].last_used_at, None);
    server.authenticate(&issued.secret.key).await.unwrap();
    let first = server.api_keys.list(&admin).await.unwrap()[0].last_used_at;
    assert!(first.is_some());
    server.clock.advance(TimeDelta::seconds(59));
    server.authenticate(&issued.secret.key).await.unwrap();
    assert_eq!(server.api_keys.list(&admin).await.unwrap()[0].last_used_at, first);
    server.clock.advance(TimeDelta::seconds(1));
    server.authenticate(&issued.secret.key).await.unwrap();
    assert!(server.api_keys.list(&admin).await.unwrap()[0].last_used_at > first);

    server.api_keys.remove(&admin, issued.record.id).await.unwrap();
    let audited = server.audited(&admin).await;
    assert_eq!(
        audited,
        [AuditAction::AccountRegistered, AuditAction::SignedIn, AuditAction::ApiKeyCreated, AuditAction::ApiKeyRemoved]
    );
}

#[tokio::test]
async fn names_and_scopes_that_mean_nothing_are_refused() {
    let server = Server::start().await;
    let ana = server.newcomer("ana").await;
    for bad in [key("", None), key("ok", Some(&[])), key("ok", Some(&["everything"])), key(&"x".repeat(101), None)] {
        assert!(matches!(server.api_keys.create(&ana, bad).await, Err(ServiceError::Refused(_))));
    }
}
