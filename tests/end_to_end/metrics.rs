//! What an operator sees of the server at `GET /metrics`.

use reqwest::header::{AUTHORIZATION, FORWARDED};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{Answer, Server};

#[tokio::test]
async fn a_generation_shows_in_the_metrics_of_http_engine_and_database() {
    let server = Server::start(&[]);
    let ana = server.newcomer("ana").await;
    let made = ana.post("/text_generations", &json!({"prompt": "Once upon a time", "max_new_tokens": 20, "seed": 1})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let metrics = server.anonymous().get("/metrics").await;
    assert_eq!(metrics.status, StatusCode::OK);
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"), "{metrics:?}");

    let value = |series: &str| -> f64 {
        let line = metrics.text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("there is no {series}:\n{}", metrics.text)).parse().unwrap()
    };
    assert!(value(r#"http_requests_total{method="POST",route="/text_generations",status="201"}"#) >= 1.0);
    assert!(value(r#"tertulia_decode_tokens_total{model="bundled:fairy-tales"}"#) > 0.0);
    assert!(value(r#"tertulia_prefill_tokens_total{model="bundled:fairy-tales"}"#) > 0.0);
    assert!(value(r#"tertulia_database_connections{lane="write",state="idle"}"#) >= 1.0);
    assert!(value("http_requests_in_flight") >= 1.0, "this one");
    // Whole histograms, whose buckets replicas can add up.
    for series in [
        r#"http_request_duration_seconds_bucket{method="POST",route="/text_generations",le="+Inf"}"#,
        r#"tertulia_generation_queue_wait_seconds_bucket{model="bundled:fairy-tales",priority="interactive",le="+Inf"}"#,
        r#"tertulia_time_to_first_token_seconds_bucket{model="bundled:fairy-tales",le="+Inf"}"#,
        r#"tertulia_inter_token_seconds_bucket{model="bundled:fairy-tales",le="+Inf"}"#,
        r#"tertulia_step_seconds_bucket{model="bundled:fairy-tales",operation="prefill",le="+Inf"}"#,
        r#"tertulia_decode_batch_size_bucket{model="bundled:fairy-tales",le="+Inf"}"#,
    ] {
        assert!(value(series) >= 1.0, "{series}");
    }
    assert!(!metrics.text.contains("quantile="), "a summary cannot be added up:\n{}", metrics.text);
}

#[tokio::test]
async fn who_calls_from_elsewhere_needs_the_token_or_an_admin() {
    const TOKEN: &str = "a-token-for-the-scraper";
    let server = Server::start(&[("METRICS_TOKEN", TOKEN)]);
    let (admin, ben) = (server.newcomer("admin").await, server.newcomer("ben").await);
    let status = async |token: Option<&str>| {
        // What a proxy adds: the caller is not this machine.
        let request = server.anonymous().request(Method::GET, "/metrics").header(FORWARDED, "for=203.0.113.9");
        let request = match token {
            Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        };
        Answer::of(request).await.status
    };
    assert_eq!(status(None).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(Some("a-token-of-another-kind")).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(ben.token.as_deref()).await, StatusCode::FORBIDDEN);
    assert_eq!(status(Some(TOKEN)).await, StatusCode::OK);
    assert_eq!(status(admin.token.as_deref()).await, StatusCode::OK);
}
