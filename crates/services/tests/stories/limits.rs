//! Waits for who fails to sign in, requests a minute, tokens a day, and the audit log.

use chrono::TimeDelta;
use domain::{AuditAction, Role};
use futures_util::StreamExt;
use ports::{AuditVerdict, LimitOverride, LimitSubject};
use services::{ApiKeyRequest, ClientInfo, Credentials, Registration, ServiceError};
use test_support::{FakeTextGenerator, Gate, Step};

use crate::support::{PASSWORD, Server, Settings, prompt};

#[tokio::test]
async fn who_keeps_guessing_must_wait_longer_and_longer_and_the_right_password_waits_too() {
    let server = Server::start().await;
    server.register("ana").await.unwrap();
    for _ in 0..11 {
        assert_eq!(server.log_in_with("ana", "wrong horse").await.unwrap_err(), ServiceError::InvalidCredentials);
    }
    let throttled = ServiceError::SignInThrottled { retry_after_seconds: 2 };
    assert_eq!(server.log_in_with("ana", PASSWORD).await.unwrap_err(), throttled);
    server.clock.advance(TimeDelta::seconds(2));
    assert_eq!(server.log_in_with("ana", "wrong horse").await.unwrap_err(), ServiceError::InvalidCredentials);
    assert_eq!(server.log_in_with("ana", PASSWORD).await.unwrap_err(), ServiceError::SignInThrottled { retry_after_seconds: 4 });
    server.clock.advance(TimeDelta::seconds(4));
    assert!(server.log_in_with("ana", PASSWORD).await.is_ok());
    for _ in 0..10 {
        server.log_in_with("ana", "wrong horse").await.unwrap_err();
    }
    assert!(server.log_in_with("ana", PASSWORD).await.is_ok(), "a success starts the count anew");
}

#[tokio::test]
async fn an_account_has_one_ladder_of_waits_however_it_is_called() {
    let server = Server::start().await;
    let registration = Registration {
        username: "ana".into(),
        email: Some("ana@x.org".into()),
        password: PASSWORD.into(),
        ..Registration::default()
    };
    server.accounts.register(registration).await.unwrap();
    for login in ["ana", "ana@x.org", "Ana@X.org"].into_iter().cycle().take(11) {
        assert_eq!(server.log_in_with(login, "wrong horse").await.unwrap_err(), ServiceError::InvalidCredentials, "{login}");
    }
    for login in ["ana", "ana@x.org", "ANA@x.org"] {
        let throttled = server.log_in(login).await.unwrap_err();
        assert_eq!(throttled, ServiceError::SignInThrottled { retry_after_seconds: 2 }, "{login}");
    }
}

#[tokio::test]
async fn a_flood_of_attempts_that_must_wait_leaves_one_event() {
    let server = Server::start().await;
    let admin = server.newcomer("admin").await;
    server.register("ana").await.unwrap();
    for _ in 0..11 {
        server.log_in_with("ana", "wrong horse").await.unwrap_err();
    }
    for _ in 0..50 {
        assert!(matches!(server.log_in("ana").await, Err(ServiceError::SignInThrottled { .. })));
    }
    let filter = ports::AuditFilter { action: Some(AuditAction::SignInFailed), ..ports::AuditFilter::default() };
    let events = server.audit.list(&admin, filter, None, domain::PageLimit::new(200).unwrap()).await.unwrap();
    let details: Vec<&str> = events.iter().map(|event| event.entry.detail.as_str()).collect();
    assert_eq!((details.len(), details[0], details[1]), (12, "throttled", "wrong name or password"));
    assert_eq!(events[0].entry.subject, "ana");
}

#[tokio::test]
async fn a_password_in_the_field_of_the_name_is_not_kept() {
    let server = Server::start().await;
    let admin = server.newcomer("admin").await;
    for _ in 0..2 {
        server.log_in_with("my secret password", "").await.unwrap_err();
    }
    server.log_in_with("another one", "").await.unwrap_err();
    let filter = ports::AuditFilter { action: Some(AuditAction::SignInFailed), ..ports::AuditFilter::default() };
    let events = server.audit.list(&admin, filter, None, domain::PageLimit::default()).await.unwrap();
    let subjects: Vec<&str> = events.iter().map(|event| event.entry.subject.as_str()).collect();
    assert!(subjects.iter().all(|subject| subject.starts_with("unknown:") && subject.len() == 16), "{subjects:?}");
    assert_eq!(subjects[1], subjects[2], "the same again is known again");
}

#[tokio::test]
async fn a_key_over_its_own_limit_does_not_use_up_its_users_minute() {
    let server = Server::with_settings(Settings { requests_per_minute: 10, ..Settings::default() }).await;
    let ana = server.newcomer("ana").await;
    let issued = server.api_keys.create(&ana, ApiKeyRequest { name: "busy".into(), ..ApiKeyRequest::default() }).await.unwrap();
    let limit = LimitOverride { requests_per_minute: Some(2), tokens_per_day: None };
    server.limits.set_override(&ana, LimitSubject::ApiKey(issued.record.id), limit).await.unwrap();
    let program = server.authenticate(&issued.secret.key).await.unwrap();
    for number in 0..50 {
        let admitted = server.limits.admit(&program).await;
        assert_eq!(admitted.is_ok(), number < 2, "{number}: {admitted:?}");
    }
    assert_eq!(server.limits.admit(&ana).await.unwrap().remaining, 7, "the two that went through and this one are counted");
}

#[tokio::test]
async fn a_name_without_an_account_is_throttled_like_any_other() {
    let server = Server::start().await;
    for _ in 0..11 {
        assert_eq!(server.log_in("nobody").await.unwrap_err(), ServiceError::InvalidCredentials);
    }
    assert!(matches!(server.log_in("nobody").await, Err(ServiceError::SignInThrottled { .. })));
}

#[tokio::test]
async fn one_address_that_guesses_many_names_is_stopped() {
    let server = Server::start().await;
    for guess in 0..101 {
        assert_eq!(server.log_in(&format!("user-{guess}")).await.unwrap_err(), ServiceError::InvalidCredentials);
    }
    assert!(matches!(server.log_in("fresh").await, Err(ServiceError::SignInThrottled { .. })));
}

#[tokio::test]
async fn a_network_of_ipv6_that_guesses_from_many_addresses_is_stopped_and_its_neighbour_is_not() {
    let server = Server::start().await;
    let guess = async |name: &str, address: String| {
        let credentials = Credentials { login: name.into(), password: "wrong horse".into() };
        server.sessions.log_in(credentials, ClientInfo { user_agent: None, address: Some(address) }).await.unwrap_err()
    };
    for number in 0..101 {
        let error = guess(&format!("user-{number}"), format!("2001:db8:1:2::{number:x}")).await;
        assert_eq!(error, ServiceError::InvalidCredentials);
    }
    assert!(matches!(guess("fresh", "2001:db8:1:2:ffff::1".into()).await, ServiceError::SignInThrottled { .. }));
    assert_eq!(guess("fresh", "2001:db8:1:3::1".into()).await, ServiceError::InvalidCredentials);
}

#[tokio::test]
async fn an_exception_for_who_is_not_there_names_what_is_missing() {
    let server = Server::start().await;
    let admin = server.newcomer("admin").await;
    let nobody = test_support::builders::a_uuid();
    let limit = LimitOverride { requests_per_minute: Some(1), tokens_per_day: None };
    let key = LimitSubject::ApiKey(domain::ApiKeyId::new(nobody));
    assert_eq!(server.limits.set_override(&admin, key, limit).await, Err(ServiceError::ApiKeyNotFound));
    let user = LimitSubject::User(domain::UserId::new(nobody));
    assert_eq!(server.limits.set_override(&admin, user, limit).await, Err(ServiceError::UserNotFound));
}

#[tokio::test]
async fn requests_beyond_the_limit_are_refused_and_an_admin_makes_exceptions() {
    let server = Server::with_settings(Settings { requests_per_minute: 2, ..Settings::default() }).await;
    let (admin, ana) = (server.newcomer("admin").await, server.newcomer("ana").await);
    assert_eq!(server.limits.admit(&ana).await.unwrap().remaining, 1);
    server.limits.admit(&ana).await.unwrap();
    let Err(ServiceError::RateLimited(decision)) = server.limits.admit(&ana).await else { panic!("the third is refused") };
    assert_eq!((decision.limit, decision.remaining), (2, 0));
    assert!(server.limits.admit(&admin).await.is_ok(), "another user is not touched");

    let generous = LimitOverride { requests_per_minute: Some(100), tokens_per_day: None };
    let of_ana = LimitSubject::User(ana.user.id);
    assert_eq!(server.limits.set_override(&ana, of_ana, generous).await, Err(ServiceError::Forbidden));
    server.limits.set_override(&admin, of_ana, generous).await.unwrap();
    server.clock.advance(TimeDelta::seconds(1));
    assert_eq!(server.limits.admit(&ana).await.unwrap().limit, 100, "without waiting for the minute to end");
}

#[tokio::test]
async fn a_role_has_its_own_limit_and_a_key_one_besides_its_users() {
    let server = Server::start().await;
    let (admin, ana) = (server.newcomer("admin").await, server.newcomer("ana").await);
    let limit = |requests| LimitOverride { requests_per_minute: Some(requests), tokens_per_day: None };
    server.limits.set_override(&admin, LimitSubject::Role(Role::User), limit(50)).await.unwrap();
    assert_eq!(server.limits.admit(&ana).await.unwrap().limit, 50);
    let request = ApiKeyRequest { name: "slow".into(), ..ApiKeyRequest::default() };
    let issued = server.api_keys.create(&ana, request).await.unwrap();
    server.limits.set_override(&admin, LimitSubject::ApiKey(issued.record.id), limit(1)).await.unwrap();
    let program = server.authenticate(&issued.secret.key).await.unwrap();
    server.limits.admit(&program).await.unwrap();
    assert!(matches!(server.limits.admit(&program).await, Err(ServiceError::RateLimited(d)) if d.limit == 1));
    assert!(server.limits.admit(&ana).await.is_ok(), "the person is not stopped by their program");
}

/// The fake counts two tokens for "Once upon"; with eight new ones a request holds ten.
fn ten_tokens() -> services::TextRequest {
    let mut request = prompt("Once upon");
    request.sampling.max_new_tokens = Some(8);
    request
}

#[tokio::test]
async fn tokens_are_set_aside_before_and_what_was_not_used_comes_back() {
    let server = Server::with_settings(Settings { tokens_per_day: Some(15), ..Settings::default() }).await;
    let ana = server.newcomer("ana").await;
    server.texts.generate(&ana, ten_tokens()).await.unwrap();
    let usage = server.limits.usage(&ana).await.unwrap();
    assert_eq!((usage.tokens.used, usage.tokens.reserved, usage.quota), (4, 0, Some(15)), "two read, two made");
    server.texts.generate(&ana, ten_tokens()).await.unwrap();
    let Err(ServiceError::QuotaExceeded { quota, tokens, asked, .. }) = server.texts.generate(&ana, ten_tokens()).await else {
        panic!("8 and 10 are more than 15")
    };
    assert_eq!((quota, tokens.used, asked), (15, 8, 10));
    assert_eq!(server.all_texts(&ana).await.len(), 2, "what is refused stores nothing");
    server.clock.advance(TimeDelta::days(1));
    let ana = server.authenticate(&server.log_in("ana").await.unwrap().access_token).await.unwrap();
    assert!(server.texts.generate(&ana, ten_tokens()).await.is_ok(), "a new day");
}

#[tokio::test]
async fn who_goes_away_pays_for_what_was_made_and_a_refusal_costs_nothing() {
    let generator = FakeTextGenerator::following([Step::Text(" a".into()), Step::Wait(Gate::shut())]);
    let server = Server::build(generator, Settings { tokens_per_day: Some(1000), ..Settings::default() }).await;
    let ana = server.newcomer("ana").await;
    let mut pieces = server.texts.stream(&ana, ten_tokens()).await.unwrap();
    pieces.next().await.unwrap().unwrap();
    assert_eq!(server.limits.usage(&ana).await.unwrap().tokens.reserved, 10);
    drop(pieces);
    server.background.finish().await;
    let tokens = server.limits.usage(&ana).await.unwrap().tokens;
    assert_eq!((tokens.used, tokens.reserved), (3, 0));

    server.generator.refuse_with(Some(ports::GenerationError::Overloaded { retry_after_seconds: 1 }));
    server.texts.generate(&ana, ten_tokens()).await.unwrap_err();
    server.background.finish().await;
    let tokens = server.limits.usage(&ana).await.unwrap().tokens;
    assert_eq!((tokens.used, tokens.reserved), (3, 0));
}

#[tokio::test]
async fn what_a_dead_process_had_set_aside_comes_back() {
    let server = Server::with_settings(Settings { tokens_per_day: Some(1000), ..Settings::default() }).await;
    let ana = server.newcomer("ana").await;
    let hold = server.limits.hold_tokens(&ana, 10).await.unwrap();
    std::mem::forget(hold);
    assert_eq!(server.limits.release_expired().await.unwrap(), 0);
    server.clock.advance(TimeDelta::minutes(10));
    assert_eq!(server.limits.release_expired().await.unwrap(), 1);
    assert_eq!(server.limits.usage(&ana).await.unwrap().tokens.reserved, 0);
}

#[tokio::test]
async fn sign_ins_their_failures_and_an_admins_look_at_anothers_text_are_audited() {
    let server = Server::start().await;
    let (admin, ana) = (server.newcomer("admin").await, server.newcomer("ana").await);
    server.log_in_with("ana", "wrong horse").await.unwrap_err();
    let text = server.texts.generate(&ana, prompt("Once upon")).await.unwrap();
    server.texts.get(&ana, text.id).await.unwrap();
    server.texts.get(&admin, text.id).await.unwrap();
    server.texts.remove(&admin, text.id).await.unwrap();

    let audited = server.audited(&admin).await;
    let count = |action| audited.iter().filter(|seen| **seen == action).count();
    assert_eq!(count(AuditAction::SignInFailed), 1);
    assert_eq!(count(AuditAction::OthersRecordAccessed), 2, "one's own look is nobody's business");
    assert_eq!(server.audit.verify().await.unwrap(), AuditVerdict::Intact { events: audited.len() as u64 });
    let refused = server.audit.list(&ana, ports::AuditFilter::default(), None, domain::PageLimit::default()).await;
    assert_eq!(refused, Err(ServiceError::Forbidden));
}
