//! Which web pages' scripts may read answers.

use actix_web::test::TestRequest;

use crate::support::{World, to};

const APP: &str = "https://app.example.org";

fn preflight(origin: &str) -> TestRequest {
    to("OPTIONS", "/text_generations")
        .insert_header(("origin", origin.to_owned()))
        .insert_header(("access-control-request-method", "POST"))
        .insert_header(("access-control-request-headers", "authorization, content-type"))
}

async fn world_open_to_the_app() -> World {
    let mut world = World::new().await;
    world.edge.cors_origins = vec![APP.parse().unwrap()];
    world
}

#[actix_web::test]
async fn no_page_reads_anything_unless_a_setting_lists_it() {
    let world = World::new().await;
    world.send(preflight(APP)).await.expect_problem(405, "E019");
    let answer = world.send(to("GET", "/").insert_header(("origin", APP))).await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (200, ""));
}

#[actix_web::test]
async fn a_listed_page_may_send_tokens_and_read_answers_and_errors() {
    let world = world_open_to_the_app().await;
    let allowed = world.send(preflight(APP)).await;
    assert_eq!(allowed.status, 200);
    assert_eq!(allowed.header("access-control-allow-origin"), APP);
    for header in ["authorization", "content-type", "x-stainless-lang"] {
        assert!(allowed.header("access-control-allow-headers").to_lowercase().contains(header));
    }
    assert!(allowed.header("access-control-allow-methods").contains("PATCH"));
    assert_eq!(allowed.header("access-control-allow-credentials"), "", "tokens are sent in a header, never as cookies");
    let refused = world.send(to("GET", "/users/me").insert_header(("origin", APP))).await;
    refused.expect_problem(401, "E010");
    assert_eq!(refused.header("access-control-allow-origin"), APP, "a page must be able to read why");
    let exposed = refused.header("access-control-expose-headers").to_lowercase();
    assert!(exposed.contains("x-request-id") && exposed.contains("retry-after"), "{exposed}");
    assert!(refused.header("vary").to_lowercase().contains("origin"));
}

#[actix_web::test]
async fn another_page_is_told_nothing() {
    let world = world_open_to_the_app().await;
    for origin in ["https://evil.example.org", "http://app.example.org", "https://app.example.org.evil.org", "null"] {
        let refused = world.send(preflight(origin)).await;
        refused.expect_problem(400, "E036");
        assert_eq!(refused.header("access-control-allow-origin"), "", "{origin}");
        let answer = world.send(to("GET", "/").insert_header(("origin", origin))).await;
        assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (200, ""), "{origin}");
    }
}
