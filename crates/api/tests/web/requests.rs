//! What every answer carries, whatever the route.

use serde_json::json;
use uuid::Uuid;

use crate::support::{World, to};

#[actix_web::test]
async fn every_answer_names_its_request() {
    let world = World::new().await;
    for (method, path) in [("GET", "/"), ("GET", "/nowhere"), ("PUT", "/token"), ("GET", "/users/me"), ("GET", "/docs")] {
        let answer = world.call(method, path, None).await;
        let id = Uuid::parse_str(answer.header("x-request-id")).unwrap();
        assert_eq!(id.get_version_num(), 7, "{method} {path}");
    }
}

#[actix_web::test]
async fn a_callers_own_name_for_a_request_is_kept_if_it_is_a_plain_one() {
    let world = World::new().await;
    let kept = world.send(to("GET", "/nowhere").insert_header(("x-request-id", "trace-1.2_3"))).await;
    assert_eq!(kept.header("x-request-id"), "trace-1.2_3");
    kept.expect_problem(404, "E018");
    let replaced = world.send(to("GET", "/").insert_header(("x-request-id", "two words"))).await;
    assert_ne!(replaced.header("x-request-id"), "two words");
}

#[actix_web::test]
async fn answers_are_not_kept_sniffed_or_framed() {
    let world = World::new().await;
    for path in ["/", "/nowhere", "/users/me"] {
        let answer = world.call("GET", path, None).await;
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("x-frame-options"), "DENY");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
    }
}

#[actix_web::test]
async fn the_server_answers_lives_and_is_ready() {
    let world = World::new().await;
    for path in ["/", "/healthz"] {
        assert_eq!(world.call("GET", path, None).await.json(), json!({"status": "OK"}));
    }
    let ready = world.call("GET", "/readyz", None).await;
    assert_eq!((ready.status.as_u16(), ready.json()), (200, json!({"status": "ok", "checks": {"database": "ok"}})));
    world.health.fall_ill("the password of the database is wrong");
    world.clock.advance(chrono::TimeDelta::seconds(1));
    let failing = world.call("GET", "/readyz", None).await;
    assert_eq!((failing.status.as_u16(), failing.json()), (503, json!({"status": "failing", "checks": {"database": "failing"}})));
    assert_eq!(failing.header("retry-after"), "5");
    assert_eq!(world.call("GET", "/healthz", None).await.status, 200, "the process lives all the same");
    world.health.recover();
    assert_eq!(world.call("GET", "/readyz", None).await.status, 503, "within a second, the same answer");
    world.clock.advance(chrono::TimeDelta::seconds(1));
    assert_eq!(world.call("GET", "/readyz", None).await.status, 200);
}

#[actix_web::test]
async fn a_head_is_answered_as_a_get() {
    let world = World::new().await;
    assert_eq!(world.call("HEAD", "/healthz", None).await.status, 200);
    assert_eq!(world.call("HEAD", "/users/me", None).await.status, 401);
}
