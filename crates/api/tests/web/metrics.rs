//! What is counted of requests, and who may read it.

use std::sync::Arc;

use actix_web::test::TestRequest;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use serde_json::json;

use crate::support::{World, to, with_token};

/// A world whose metrics are those that this thread records.
async fn measured_world() -> (World, PrometheusRecorder) {
    let buckets = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(api::HTTP_REQUEST_DURATION.to_owned()), api::HTTP_REQUEST_DURATION_BUCKETS)
        .unwrap();
    let recorder = buckets.build_recorder();
    let mut world = World::new().await;
    let handle = recorder.handle();
    world.edge.metrics.render = Arc::new(move || handle.render());
    world.edge.metrics.token = Some("scraper".to_owned().into());
    (world, recorder)
}

fn scrape(peer: &str) -> TestRequest {
    to("GET", "/metrics").peer_addr(peer.parse().unwrap())
}

const NEIGHBOUR: &str = "127.0.0.1:4711";
const STRANGER: &str = "192.0.2.1:4711";

#[actix_web::test]
async fn requests_are_counted_by_route_and_never_by_path() {
    let (world, recorder) = measured_world().await;
    let _guard = metrics::set_default_local_recorder(&recorder);
    api::describe_metrics();
    let ana = world.sign_in("ana").await;
    for path in ["/text_generations/0197a1b2-0000-7000-8000-000000000000", "/text_generations/not-an-id"] {
        world.call("GET", path, ana.token()).await;
    }
    world.call("GET", "/wp-login.php", None).await;
    world.call("BREW", "/", None).await;
    world.call("HEAD", "/healthz", None).await;
    let page = world.send(scrape(NEIGHBOUR)).await;
    assert_eq!(page.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        r#"http_requests_total{method="POST",route="/users",status="201"} 1"#,
        r#"http_requests_total{method="GET",route="/text_generations/{id}",status="404"} 1"#,
        r#"http_requests_total{method="GET",route="/text_generations/{id}",status="422"} 1"#,
        r#"http_requests_total{method="GET",route="none",status="404"} 1"#,
        r#"http_requests_total{method="other",route="none",status="405"} 1"#,
        r#"http_requests_total{method="HEAD",route="/healthz",status="200"} 1"#,
        r#"http_request_duration_seconds_count{method="GET",route="/text_generations/{id}"} 2"#,
        "http_requests_in_flight 1",
        "# TYPE http_request_duration_seconds histogram",
    ] {
        assert!(page.body.contains(line), "{line} is not in\n{}", page.body);
    }
    for raw in ["not-an-id", "0197a1b2", "wp-login", "BREW"] {
        assert!(!page.body.contains(raw), "{raw}");
    }
}

#[actix_web::test]
async fn an_open_stream_is_in_flight_until_it_ends() {
    let (world, recorder) = measured_world().await;
    let _guard = metrics::set_default_local_recorder(&recorder);
    let ana = world.sign_in("ana").await;
    let request = with_token(to("POST", "/text_generations"), ana.token()).set_json(json!({"prompt": "Once", "stream": true}));
    let stream = world.open(request).await;
    assert!(world.send(scrape(NEIGHBOUR)).await.body.contains("http_requests_in_flight 2"));
    drop(stream);
    let page = world.send(scrape(NEIGHBOUR)).await.body;
    assert!(page.contains("http_requests_in_flight 1"));
    assert!(page.contains(r#"http_requests_total{method="POST",route="/text_generations",status="200"} 1"#));
}

#[actix_web::test]
async fn the_metrics_are_for_this_machine_an_admin_and_who_has_their_token() {
    let (world, _recorder) = measured_world().await;
    let (admin, ana) = (world.sign_in("admin").await, world.sign_in("ana").await);
    assert_eq!(world.send(scrape(NEIGHBOUR)).await.status, 200);
    assert_eq!(world.send(scrape("[::1]:4711")).await.status, 200);
    assert_eq!(world.send(with_token(scrape(STRANGER), Some("scraper"))).await.status, 200);
    assert_eq!(world.send(with_token(scrape(STRANGER), admin.token())).await.status, 200);
    world.send(with_token(scrape(STRANGER), ana.token())).await.expect_problem(403, "E022");
    world.send(with_token(scrape(STRANGER), Some("guess"))).await.expect_problem(401, "E010");
    world.send(scrape(STRANGER)).await.expect_problem(401, "E010");
    let through_a_proxy = scrape(NEIGHBOUR).insert_header(("x-forwarded-for", "192.0.2.1"));
    world.send(through_a_proxy).await.expect_problem(401, "E010");
}
