//! One name, three backends: what stands behind a model's name is changed while texts are made; and a provider that goes away.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::support::{Caller, Event, Events, Server, eventually};

#[path = "../../crates/adapters-providers/tests/support/scripted_server.rs"]
pub(crate) mod scripted_server;

use scripted_server::{Request, ScriptedServer, Step, ollama, openai};

/// A server, and the providers it knows.
fn start(openai_url: &str, ollama_url: &str) -> Server {
    let (base_url, host) = (format!("{openai_url}/v1"), ollama_url.trim_start_matches("http://"));
    Server::start(&[
        ("OPENAI_BASE_URL", &base_url),
        ("OPENAI_API_KEY", "sk-hunter2"),
        ("OLLAMA_HOST", host),
        ("PROVIDER_TIMEOUT_SECONDS", "20"),
        ("STREAM_HEARTBEAT_SECONDS", "1"),
    ])
}

/// What a good provider answers, of which all but the first piece waits for the test.
fn with_a_pause(gate: &Arc<Semaphore>, steps: Vec<Step>) -> Vec<Step> {
    let mut steps = steps;
    if steps.len() > 2 {
        steps.insert(2, Step::Until(Arc::clone(gate)));
    }
    steps
}

async fn put_behind_the_name(admin: &Caller, llm: &str) {
    let changed = admin.send(Method::PUT, "/models/story", &json!({"llm": llm})).await;
    assert_eq!((changed.status, &changed.body["llm"]), (StatusCode::OK, &json!(llm)), "{changed:?}");
}

fn story(max_new_tokens: u32) -> Value {
    json!({"model": "story", "prompt": "Once upon a time", "max_new_tokens": max_new_tokens, "seed": 1})
}

/// The rest of a stream: its text, and the record at its end.
async fn rest(mut events: Events) -> (String, Value) {
    let mut text = String::new();
    while let Some(Event { name, data }) = events.next().await {
        match name.as_str() {
            "done" => return (text, data),
            "message" => text.push_str(data["text"].as_str().unwrap_or_default()),
            other => panic!("{other}: {data}"),
        }
    }
    panic!("the stream has no end: {text}");
}

#[tokio::test]
async fn the_backend_of_a_name_changes_while_texts_are_made_and_each_ends_where_it_began() {
    let gate = Arc::new(Semaphore::new(0));
    let (ollama_gate, openai_gate) = (Arc::clone(&gate), Arc::clone(&gate));
    let ollama_server = ScriptedServer::start(move |request: &Request| with_a_pause(&ollama_gate, ollama(request))).await;
    let openai_server = ScriptedServer::start(move |request: &Request| with_a_pause(&openai_gate, openai(request))).await;
    let server = start(&openai_server.url, &ollama_server.url);
    let admin = server.newcomer("admin").await;
    assert_eq!(admin.post("/models/story", &json!({"llm": "bundled:fairy-tales"})).await.status, StatusCode::CREATED);

    let mut streams = Vec::new();
    for llm in ["bundled:fairy-tales", "ollama:phi4", "openai:gpt-x"] {
        put_behind_the_name(&admin, llm).await;
        let mut events = admin.stream(story(300)).await;
        let first = events.next().await.unwrap();
        assert_eq!(first.name, "message", "{llm}: {first:?}");
        streams.push((llm, events));
    }
    put_behind_the_name(&admin, "bundled:fairy-tales").await;
    gate.add_permits(2);

    for (llm, events) in streams {
        let (text, record) = rest(events).await;
        assert_eq!((&record["llm"], &record["model"]), (&json!(llm), &json!("story")), "{record}");
        let provided = llm != "bundled:fairy-tales";
        assert_eq!(provided, text == " was a café in a town.", "{llm}: {text}");
        assert_eq!(provided, record["generated_text"] == "Once upon a time there was a café in a town.", "{record}");
        assert_eq!(provided, record["usage"] == json!({"prompt_tokens": 4, "completion_tokens": 8, "total_tokens": 12}));
        assert_eq!(provided, record["weights_digest"].is_null());
    }
    let back = admin.post("/text_generations", &story(4)).await;
    assert_eq!((back.status, &back.body["backend"]), (StatusCode::CREATED, &json!("onnxruntime")), "{back:?}");
    assert_eq!(openai_server.requests_to("POST /v1/completions").len(), 1);
    assert_eq!(ollama_server.requests_to("POST /api/generate").len(), 1);
    assert_eq!(openai_server.requests()[0].header("authorization"), Some("Bearer sk-hunter2"));
    assert!(ollama_server.requests().iter().all(|request| request.header("authorization").is_none()));
    assert!(!server.log().contains("hunter2"));
}

#[tokio::test]
async fn a_reader_who_goes_away_closes_the_providers_connection_and_keeps_what_was_given() {
    let hangs = ScriptedServer::start(|request: &Request| {
        let steps = ollama(request);
        if steps.len() > 2 { steps.into_iter().take(3).chain([Step::Hang]).collect() } else { steps }
    })
    .await;
    let server = start("http://127.0.0.1:9", &hangs.url);
    let admin = server.newcomer("admin").await;
    assert_eq!(admin.post("/models/story", &json!({"llm": "ollama:phi4"})).await.status, StatusCode::CREATED);
    let mut events = admin.stream(story(300)).await;
    assert_eq!(events.next().await.unwrap().data["text"], " there");
    drop(events);
    hangs.abandoned(1).await;
    let record = eventually("the interrupted text is stored", async || {
        let list = admin.get("/text_generations").await.body;
        list["items"].as_array().unwrap().first().cloned()
    })
    .await;
    assert_eq!(record["finish_reason"], "interrupted");
    assert!(record["usage"]["completion_tokens"].as_u64().unwrap() >= 1, "what was given is counted: {record}");
}

#[tokio::test]
async fn a_provider_that_goes_away_is_named_and_the_server_stays_ready() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let server = start(&format!("http://{address}"), "http://127.0.0.1:9");
    let admin = server.newcomer("admin").await;
    assert_eq!(admin.post("/models/story", &json!({"llm": "openai:gpt-x"})).await.status, StatusCode::CREATED);
    let ready = admin.get("/readyz").await;
    assert_eq!((ready.status, &ready.body["checks"]["openai"]), (StatusCode::OK, &json!("ok")), "{ready:?}");
    for _ in 0..5 {
        let away = admin.post("/text_generations", &story(4)).await;
        assert_eq!((away.status, &away.body["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("E030")), "{away:?}");
        assert!(away.body["detail"].as_str().unwrap().contains("openai") && !away.header("retry-after").is_empty());
    }
    let degraded = admin.get("/readyz").await;
    assert_eq!((degraded.status, &degraded.body["checks"]["openai"]), (StatusCode::OK, &json!("degraded")), "{degraded:?}");
    assert_eq!(degraded.body["checks"]["ollama"], "ok");
    assert_eq!(admin.get("/text_generations").await.body["items"], json!([]), "what never began leaves no record");
    let local = admin.post("/text_generations", &json!({"prompt": "Once", "max_new_tokens": 4})).await;
    assert_eq!(local.status, StatusCode::CREATED, "the other models are there");

    let _back = ScriptedServer::serve(TcpListener::bind(address).await.unwrap(), openai);
    eventually("the provider is found well again", async || {
        (admin.get("/readyz").await.body["checks"]["openai"] == "ok").then_some(())
    })
    .await;
    assert_eq!(admin.post("/text_generations", &story(4)).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn each_way_in_which_a_provider_fails_has_a_status_of_its_own() {
    let refuse = |status: &'static str, error: Value| scripted_server::answer(status, &json!({ "error": error }));
    let openai_server = ScriptedServer::start(move |request: &Request| match request.body["model"].as_str() {
        Some("busy") => vec![scripted_server::head("429 Too Many Requests", "retry-after: 7\r\n")],
        Some("locked") => refuse("401 Unauthorized", json!({"message": "bad key sk-hunter2"})),
        Some("broken") => refuse("500 Internal Server Error", json!({"message": "boom"})),
        Some("full") => refuse(
            "400 Bad Request",
            json!({"message":
            "This model's maximum context length is 16 tokens. However, your messages resulted in 20 tokens."}),
        ),
        _ => refuse("404 Not Found", json!({"message": "no such model", "code": "model_not_found"})),
    })
    .await;
    let server = start(&openai_server.url, "http://127.0.0.1:9");
    let admin = server.newcomer("admin").await;
    assert_eq!(admin.post("/models/story", &json!({"llm": "openai:gone"})).await.status, StatusCode::CREATED);
    for (model, status, told) in [
        ("busy", 503, "7 s"),
        ("locked", 502, "openai"),
        ("broken", 502, "openai"),
        ("full", 400, "20 tokens"),
        ("gone", 503, "gone"),
    ] {
        put_behind_the_name(&admin, &format!("openai:{model}")).await;
        let answer = admin.post("/text_generations", &story(4)).await;
        assert_eq!(answer.status.as_u16(), status, "{model}: {answer:?}");
        assert!(answer.body["detail"].as_str().unwrap().contains(told), "{model}: {answer:?}");
        assert!(!answer.text.contains("hunter2"));
    }
    assert!(server.log().contains("check OPENAI_API_KEY"), "the operator is told what to look at: {}", server.log());
    assert!(!server.log().contains("hunter2"));
}
