//! Limits: requests a minute, tokens a day, and growing waits for who keeps failing to sign in.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{Answer, Caller, PASSWORD, Server, eventually};

pub(crate) async fn log_in(caller: &Caller, name: &str, password: &str) -> Answer {
    caller.post("/auth/login", &json!({"username": name, "password": password})).await
}

/// Whether a refusal says how long to wait.
#[track_caller]
pub(crate) fn assert_told_to_wait(answer: &Answer, code: &str) {
    assert_eq!((answer.status.as_u16(), answer.body["code"].as_str()), (429, Some(code)), "{answer:?}");
    let seconds: u32 = answer.header("retry-after").parse().unwrap();
    assert!(seconds >= 1, "{answer:?}");
}

#[tokio::test]
async fn a_burst_beyond_the_limit_is_told_to_wait_and_others_are_not() {
    let server = Server::start(&[("REQUESTS_PER_MINUTE", "4")]);
    let (ana, ben) = (server.newcomer("ana").await, server.newcomer("ben").await);
    for left in ["3", "2", "1", "0"] {
        let answer = ana.get("/users/me").await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!((answer.header("ratelimit-limit"), answer.header("ratelimit-remaining")), ("4", left), "{answer:?}");
    }
    let refused = ana.post("/text_generations", &json!({"prompt": "One too many"})).await;
    assert_told_to_wait(&refused, "E034");
    assert_eq!(refused.header("ratelimit-remaining"), "0");
    assert_eq!(ben.get("/text_generations").await.status, StatusCode::OK, "another user's limit is their own");
    assert_eq!(server.sign_in("ana").await.get("/users/me").await.status, StatusCode::TOO_MANY_REQUESTS, "of the user");
}

#[tokio::test]
async fn guests_of_one_address_share_a_limit_and_probes_are_never_counted() {
    let server = Server::start(&[("GUEST_REQUESTS_PER_MINUTE", "3")]);
    let anonymous = server.anonymous();
    for _ in 0..3 {
        assert_eq!(anonymous.get("/users/me").await.status, StatusCode::UNAUTHORIZED);
    }
    assert_told_to_wait(&log_in(&anonymous, "ana", PASSWORD).await, "E034");
    for path in ["/", "/healthz", "/readyz", "/metrics"] {
        assert_eq!(anonymous.get(path).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn who_keeps_failing_waits_whoever_knows_the_password_and_nobody_else() {
    let server = Server::start(&[]);
    server.newcomer("ana").await;
    server.newcomer("ben").await;
    let anonymous = server.anonymous();
    let mut failures = 0;
    let refused = loop {
        let answer = log_in(&anonymous, "ana", "a wrong password").await;
        if answer.status != StatusCode::UNAUTHORIZED {
            break answer;
        }
        failures += 1;
        assert!(failures < 20, "nobody is ever stopped");
    };
    assert_told_to_wait(&refused, "E040");
    assert!(failures >= 10, "ten are free, and {failures} were");
    let right = log_in(&anonymous, "ana", PASSWORD).await;
    assert!(matches!(right.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::OK), "{right:?}");
    assert_eq!(log_in(&anonymous, "ben", PASSWORD).await.status, StatusCode::OK, "another account is not held up");
    eventually("the wait is over", async || (log_in(&anonymous, "ana", PASSWORD).await.status == StatusCode::OK).then_some(()))
        .await;
}

#[tokio::test]
async fn a_days_tokens_are_spent_and_no_more() {
    let server = Server::start(&[("TOKENS_PER_DAY", "40")]);
    let ana = server.newcomer("ana").await;
    let request = json!({"prompt": "Once upon a time", "max_new_tokens": 20, "seed": 1});
    let made = ana.post("/text_generations", &request).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let usage = ana.get("/users/me/usage").await.body;
    assert_eq!(usage["tokens"]["used"], made.body["usage"]["total_tokens"], "{usage}");
    assert_eq!((usage["tokens"]["limit"].clone(), usage["tokens"]["reserved"].clone()), (json!(40), json!(0)), "{usage}");

    let refused = ana.post("/text_generations", &json!({"prompt": "Once upon a time", "max_new_tokens": 36})).await;
    assert_told_to_wait(&refused, "E041");
    assert_eq!(ana.get("/text_generations").await.body["items"].as_array().unwrap().len(), 1, "nothing is stored of it");
    assert_eq!(ana.get("/users/me/usage").await.body["tokens"]["used"], usage["tokens"]["used"], "and it costs nothing");

    // An admin's exception counts from the next request on.
    let id = ana.get("/users/me").await.body["id"].as_str().unwrap().to_owned();
    let exception = ana.send(Method::PUT, &format!("/admin/limits/users/{id}"), &json!({"tokens_per_day": 0})).await;
    assert!(exception.status.is_success(), "{exception:?}");
    assert_eq!(ana.post("/text_generations", &request).await.status, StatusCode::CREATED);
}
