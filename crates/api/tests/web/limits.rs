//! Rate limits, quotas and the throttle of sign-ins.

use chrono::TimeDelta;
use serde_json::json;

use crate::support::{PASSWORD, Settings, World, to};

async fn world_of_few_requests() -> World {
    World::with(Settings { requests_per_minute: 3, guest_requests_per_minute: 60, ..Settings::default() }).await
}

#[actix_web::test]
async fn a_user_who_asks_too_often_is_told_when_to_come_back_and_others_are_not() {
    let world = world_of_few_requests().await;
    let (ana, eve) = (world.sign_in("ana").await, world.sign_in("eve").await);
    for left in ["2", "1", "0"] {
        let answer = world.call("GET", "/users/me", ana.token()).await;
        assert_eq!((answer.status.as_u16(), answer.header("ratelimit-remaining")), (200, left));
        assert_eq!((answer.header("ratelimit-limit"), answer.header("ratelimit-policy")), ("3", "3;w=60"));
    }
    let refused = world.call("GET", "/users/me", ana.token()).await;
    refused.expect_problem(429, "E034");
    assert_eq!((refused.header("retry-after"), refused.header("ratelimit-reset")), ("20", "60"));
    assert_eq!(refused.header("ratelimit-remaining"), "0");
    assert_eq!(world.call("GET", "/users/me", eve.token()).await.status, 200);
    world.clock.advance(TimeDelta::seconds(20));
    assert_eq!(world.call("GET", "/users/me", ana.token()).await.status, 200);
}

#[actix_web::test]
async fn an_errors_answer_tells_the_limit_too() {
    let world = world_of_few_requests().await;
    let ana = world.sign_in("ana").await;
    let answer = world.call("GET", "/text_generations/not-an-id", ana.token()).await;
    answer.expect_problem(422, "E013");
    assert_eq!(answer.header("ratelimit-remaining"), "2");
}

#[actix_web::test]
async fn guests_are_counted_by_their_address_and_a_worthless_token_makes_nobody_more() {
    let world = World::with(Settings { guest_requests_per_minute: 2, ..Settings::default() }).await;
    let from = |address: &str, token: &str| {
        let request = to("GET", "/users/me").peer_addr(format!("{address}:4711").parse().unwrap());
        request.insert_header(("authorization", format!("Bearer {token}")))
    };
    for token in ["guess-1", "guess-2"] {
        world.send(from("192.0.2.1", token)).await.expect_problem(401, "E010");
    }
    world.send(from("192.0.2.1", "guess-3")).await.expect_problem(429, "E034");
    world.send(from("192.0.2.2", "guess-4")).await.expect_problem(401, "E010");
}

#[actix_web::test]
async fn what_watches_over_the_server_is_never_told_to_wait() {
    let world = World::with(Settings { guest_requests_per_minute: 1, ..Settings::default() }).await;
    for _ in 0..5 {
        for path in ["/", "/healthz", "/readyz"] {
            let answer = world.call("GET", path, None).await;
            assert_eq!((answer.status.as_u16(), answer.header("ratelimit-limit")), (200, ""));
        }
        let scrape = to("GET", "/metrics").peer_addr("127.0.0.1:4711".parse().unwrap());
        assert_eq!(world.send(scrape).await.status, 200);
    }
}

#[actix_web::test]
async fn an_admin_makes_exceptions_for_a_role_a_user_and_a_key() {
    let world = world_of_few_requests().await;
    let (admin, ana) = (world.sign_in("admin").await, world.sign_in("ana").await);
    let key = world.call_json("POST", "/auth/api-keys", ana.token(), json!({"name": "a"})).await.json();
    let limit_of = async |token: Option<&str>| world.call("GET", "/users/me", token).await.header("ratelimit-limit").to_owned();
    let set = async |path: &str, limit: serde_json::Value| world.call_json("PUT", path, admin.token(), limit).await;
    let role = set("/admin/limits/roles/user", json!({"requests_per_minute": 100})).await;
    assert_eq!(role.json(), json!({"requests_per_minute": 100, "tokens_per_day": null}));
    assert_eq!(limit_of(ana.token()).await, "100");
    let user = set(&format!("/admin/limits/users/{}", ana.id), json!({"requests_per_minute": 50, "tokens_per_day": 7})).await;
    assert_eq!(user.json(), json!({"requests_per_minute": 50, "tokens_per_day": 7}));
    assert_eq!(limit_of(ana.token()).await, "50");
    world.clock.advance(TimeDelta::seconds(60));
    let path = format!("/admin/limits/api-keys/{}", key["id"].as_str().unwrap());
    assert_eq!(set(&path, json!({"requests_per_minute": 5})).await.status, 200);
    assert_eq!(limit_of(key["key"].as_str()).await, "5");
    world.clock.advance(TimeDelta::seconds(60));
    let nobody = uuid::Uuid::now_v7();
    set(&format!("/admin/limits/users/{nobody}"), json!({})).await.expect_problem(404, "E011");
    set(&format!("/admin/limits/api-keys/{nobody}"), json!({})).await.expect_problem(404, "E037");
    set("/admin/limits/roles/king", json!({})).await.expect_problem(422, "E013");
}

#[actix_web::test]
async fn a_quota_lets_through_what_fits_and_its_owner_sees_what_is_left() {
    let world = World::with(Settings { tokens_per_day: Some(20), ..Settings::default() }).await;
    let ana = world.sign_in("ana").await;
    let request = json!({"prompt": "Once upon a time", "max_length": 10});
    let made = world.call_json("POST", "/text_generations", ana.token(), request).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let usage = world.call("GET", "/users/me/usage", ana.token()).await.json();
    let tokens = json!({"limit": 20, "used": 7, "reserved": 0, "remaining": 13, "resets_at": "2026-01-02T00:00:00Z"});
    assert_eq!(usage["tokens"], tokens);
    assert_eq!(usage["requests"]["limit"], domain::RateLimit::MAX_REQUESTS);
    let too_much = json!({"prompt": "Once upon a time", "max_length": 14});
    for stream in [false, true] {
        let mut request = too_much.clone();
        request["stream"] = json!(stream);
        let refused = world.call_json("POST", "/text_generations", ana.token(), request).await;
        let detail = refused.expect_problem(429, "E041");
        assert!(detail.contains("14 tokens") && detail.contains("20 a day"), "{detail}");
        assert_eq!(refused.header("retry-after"), "43200", "until midnight");
        assert!(!refused.header("ratelimit-limit").is_empty());
    }
    let history = world.call("GET", "/text_generations/all", ana.token()).await.json();
    assert_eq!(history.as_array().unwrap().len(), 1, "what is refused leaves no record");
}

#[actix_web::test]
async fn who_keeps_guessing_a_password_must_wait_whatever_they_guess() {
    let world = World::new().await;
    world.sign_in("ana").await;
    let guess = json!({"username": "ana", "password": "a guess"});
    for _ in 0..11 {
        world.call_json("POST", "/auth/login", None, guess.clone()).await.expect_problem(401, "E003");
    }
    let refused = world.call_json("POST", "/auth/login", None, guess).await;
    refused.expect_problem(429, "E040");
    assert_eq!(refused.header("retry-after"), "2");
    let right = [("username", "ana"), ("password", PASSWORD)];
    world.post_form("/token", &right).await.expect_problem(429, "E040");
    world.clock.advance(TimeDelta::seconds(2));
    assert_eq!(world.post_form("/token", &right).await.status, 200);
}
