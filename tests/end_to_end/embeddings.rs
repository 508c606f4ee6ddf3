//! Vectors of texts: by the model that runs here and by providers, under one name; and a client that does not wait for them.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::backends::scripted_server::{Request, ScriptedServer, Step, answer};
use crate::support::{Caller, Server, eventually};

fn start(provider: &ScriptedServer) -> Server {
    let (base_url, host) = (format!("{}/v1", provider.url), provider.url.trim_start_matches("http://"));
    Server::start(&[("OPENAI_BASE_URL", &base_url), ("OPENAI_API_KEY", "sk-hunter2"), ("OLLAMA_HOST", host)])
}

/// Both providers; each with a vector of its own.
fn provider(request: &Request) -> Vec<Step> {
    match request.line.as_str() {
        "POST /v1/embeddings" => answer(
            "200 OK",
            &json!({"data": [{"index": 0, "embedding": [0.5, 0.25]}], "usage": {"prompt_tokens": 4, "total_tokens": 4}}),
        ),
        "POST /api/embed" => answer("200 OK", &json!({"embeddings": [[0.125, 1.0, 2.0]], "prompt_eval_count": 5})),
        _ => answer("200 OK", &json!({"version": "0.13.5"})),
    }
}

async fn embed(caller: &Caller, input: Value) -> Value {
    let answer = caller.post("/v1/embeddings", &json!({"model": "search", "input": input})).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.body
}

async fn used(caller: &Caller) -> Value {
    caller.get("/users/me/usage").await.body["tokens"].clone()
}

#[tokio::test]
async fn a_name_makes_vectors_by_whatever_stands_behind_it() {
    let providers = ScriptedServer::start(provider).await;
    let server = start(&providers);
    let admin = server.newcomer("admin").await;
    let added = admin.post("/models/search", &json!({"llm": "bundled:fairy-tales"})).await;
    assert_eq!(added.status, StatusCode::CREATED, "{added:?}");
    let here = embed(&admin, json!(["Once upon a time", "A wolf.", "Once upon a time"])).await;
    let vectors: Vec<Vec<f64>> = here["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|datum| serde_json::from_value(datum["embedding"].clone()).unwrap())
        .collect();
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    assert!(vectors.iter().all(|vector| (product(vector, vector) - 1.0).abs() < 1e-5), "of length 1");
    assert_eq!(vectors[0], vectors[2]);
    assert!(product(&vectors[0], &vectors[1]) < 0.999);
    assert_eq!(here["model"], "search");

    for (llm, vector, tokens) in [("openai:embed-x", json!([0.5, 0.25]), 4), ("ollama:nomic", json!([0.125, 1.0, 2.0]), 5)] {
        let changed = admin.send(Method::PUT, "/models/search", &json!({"llm": llm})).await;
        assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
        let there = embed(&admin, json!("Once upon a time")).await;
        assert_eq!((&there["data"][0]["embedding"], &there["usage"]["prompt_tokens"]), (&vector, &json!(tokens)));
    }
    let sent = providers.requests_to("POST /v1/embeddings");
    assert_eq!(sent[0].header("authorization"), Some("Bearer sk-hunter2"));
    let read = here["usage"]["prompt_tokens"].as_u64().unwrap() + 4 + 5;
    eventually("all tokens are counted", async || (used(&admin).await["used"] == read).then_some(())).await;
    assert!(!server.log().contains("Once upon") && !server.log().contains("hunter2"));
}

#[tokio::test]
async fn a_client_that_goes_away_closes_the_providers_connection() {
    let hangs = ScriptedServer::start(|_: &Request| vec![Step::Hang]).await;
    let server = start(&hangs);
    let admin = server.newcomer("admin").await;
    assert_eq!(admin.post("/models/search", &json!({"llm": "openai:embed-x"})).await.status, StatusCode::CREATED);
    let asked = tokio::time::timeout(Duration::from_millis(500), embed(&admin, json!("Once upon a time"))).await;
    assert!(asked.is_err(), "it waits");
    hangs.abandoned(1).await;
    eventually("what may have been read is counted", async || (used(&admin).await["used"] == 6).then_some(())).await;
}
