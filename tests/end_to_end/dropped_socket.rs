//! A client that goes away.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Caller, Server, eventually};

/// One place and no more than one that waits: whoever holds the place keeps all others out.
const NARROW: &[(&str, &str)] =
    &[("MAX_RUNNING_GENERATIONS", "1"), ("MAX_QUEUED_GENERATIONS", "1"), ("STREAM_HEARTBEAT_SECONDS", "1")];

fn long() -> Value {
    json!({"prompt": "Once upon a time", "max_new_tokens": 450, "seed": 1, "temperature": 1.0})
}

async fn interrupted(caller: &Caller) -> Option<Value> {
    let list = caller.get("/text_generations").await.body;
    list["items"].as_array().unwrap().iter().find(|record| record["finish_reason"] == "interrupted").cloned()
}

#[tokio::test]
async fn a_dropped_socket_frees_the_place_and_what_was_given_is_kept() {
    let server = Server::start(NARROW);
    let ana = server.newcomer("ana").await;
    let mut events = ana.stream(long()).await;
    let first = events.next().await.unwrap();
    drop(events);

    let record = eventually("the interrupted text is stored", async || interrupted(&ana).await).await;
    let kept = record["generated_text"].as_str().unwrap();
    assert!(kept.starts_with(&format!("Once upon a time{}", first.data["text"].as_str().unwrap())), "{kept}");
    assert!(record["usage"]["completion_tokens"].as_u64().unwrap() < 450, "it stopped early");
    let next = ana.post("/text_generations", &json!({"prompt": "Free again", "max_new_tokens": 4})).await;
    assert_eq!(next.status, StatusCode::CREATED, "{next:?}");
}

#[tokio::test]
async fn many_sockets_dropped_at_once_leave_no_place_taken() {
    let server = Server::start(&[("MAX_RUNNING_GENERATIONS", "4"), ("STREAM_HEARTBEAT_SECONDS", "1")]);
    let ana = server.newcomer("ana").await;
    let mut streams = Vec::new();
    for _ in 0..12 {
        streams.push(ana.stream(long()).await);
    }
    drop(streams);
    for _ in 0..6 {
        let next = ana.post("/text_generations", &json!({"prompt": "Free again", "max_new_tokens": 4})).await;
        assert_eq!(next.status, StatusCode::CREATED, "{next:?}");
    }
}
