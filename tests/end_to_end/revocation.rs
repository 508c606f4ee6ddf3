//! Who signs out takes along what they had begun: streams and texts that are sent whole end, and their places are free.

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::limits::log_in;
use crate::support::{Caller, Event, Events, PASSWORD, Server, eventually};

/// More work than is done in the second between two beats, however fast the machine is, for one place.
const AT_ONCE: u32 = 60;

fn long(seed: u32) -> Value {
    json!({"prompt": "Once upon a time", "max_new_tokens": 480, "seed": seed, "temperature": 1.0})
}

async fn to_its_end(mut events: Events) -> Event {
    let mut last = None;
    while let Some(event) = events.next().await {
        last = Some(event);
    }
    last.expect("a stream says how it ended")
}

/// How many requests have begun and not ended, this one among them.
async fn in_flight(server: &Server) -> f64 {
    let metrics = server.anonymous().get("/metrics").await.text;
    let line = metrics.lines().find_map(|line| line.strip_prefix("http_requests_in_flight "));
    line.expect("the gauge is there").parse().unwrap()
}

#[tokio::test]
async fn a_sign_out_ends_what_was_begun_and_frees_its_places() {
    let server = Server::start(&[("MAX_RUNNING_GENERATIONS", "1"), ("STREAM_HEARTBEAT_SECONDS", "1")]);
    server.newcomer("ana").await;
    let anonymous = server.anonymous();
    let signed_in = log_in(&anonymous, "ana", PASSWORD).await.body;
    let ana = server.bearer(signed_in["access_token"].as_str().unwrap());

    let running = ana.stream(long(0)).await;
    let whole = tokio::spawn({
        let ana = ana.clone();
        async move { join_all((1..AT_ONCE).map(async |seed| ana.post("/text_generations", &long(seed)).await)).await }
    });
    let most = f64::from(AT_ONCE) * 0.75;
    eventually("most of them wait", async || (in_flight(&server).await > most).then_some(())).await;
    let waiting = ana.stream(long(AT_ONCE)).await;
    let log_out = anonymous.post("/auth/logout", &json!({"refresh_token": signed_in["refresh_token"]})).await;
    assert_eq!(log_out.status, StatusCode::NO_CONTENT);

    let last = to_its_end(waiting).await;
    assert_eq!((last.name.as_str(), &last.data["code"]), ("error", &json!("E010")), "{last:?}");
    let first = to_its_end(running).await;
    assert!(first.name == "done" || first.data["code"] == "E010", "it was cut unless it was done: {first:?}");
    let answers = whole.await.unwrap();
    let cut = answers.iter().filter(|answer| answer.status == StatusCode::UNAUTHORIZED && answer.body["code"] == "E010").count();
    let made = answers.iter().filter(|answer| answer.status == StatusCode::CREATED).count();
    assert!(cut > 0 && cut + made == answers.len(), "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());

    let ana: Caller = server.sign_in("ana").await;
    let next = ana.post("/text_generations", &json!({"prompt": "Free again", "max_new_tokens": 4})).await;
    assert_eq!(next.status, StatusCode::CREATED, "{next:?}");
    let kept = ana.get("/text_generations?limit=200").await.body;
    let kept = kept["items"].as_array().unwrap();
    assert!(kept.len() < answers.len(), "what never began leaves no record");
    assert!(kept.iter().all(|record| ["length", "stop", "interrupted"].contains(&record["finish_reason"].as_str().unwrap())));
}
