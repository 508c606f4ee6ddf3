//! Vectors of both providers: the contract, against servers that behave, and what becomes of those that do not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use adapters_providers::http::breaker::BreakerConfig;
use adapters_providers::{KeepAlive, Providers};
use domain::{LlmId, Prompt};
use ports::{EmbeddingInput, EmbeddingRequest, GenerationError, LanguageModels as _, Owner, TextEmbedder};
use rstest::rstest;
use serde_json::{Value, json};

use support::scripted_server::{Request, ScriptedServer, Step, answer, bytes, head};
use support::{KEY, config, providers};

const OPENAI: &str = "openai:embed-x";
const OLLAMA: &str = "ollama:nomic-embed";

/// A vector that only this input has.
fn vector(input: &Value, dimensions: usize) -> Vec<f32> {
    let seed = input.to_string().bytes().fold(7_u32, |hash, byte| (hash * 31 + u32::from(byte)) % 10_007);
    (1..).map(|place: u16| f32::from(u16::try_from(seed % (u32::from(place) + 13)).unwrap()) - 4.5).take(dimensions).collect()
}

fn inputs(request: &Request) -> Vec<Value> {
    request.body["input"].as_array().unwrap().clone()
}

fn dimensions(request: &Request) -> usize {
    request.body["dimensions"].as_u64().map_or(4, |asked| usize::try_from(asked).unwrap())
}

/// OpenAI's server as it should be. It answers in an order of its own.
fn openai(request: &Request) -> Vec<Step> {
    let (inputs, width) = (inputs(request), dimensions(request));
    let datum = |(index, input)| json!({"object": "embedding", "index": index, "embedding": vector(input, width)});
    let data: Vec<Value> = inputs.iter().enumerate().rev().map(datum).collect();
    let tokens = 3 * inputs.len();
    answer("200 OK", &json!({"object": "list", "data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}))
}

/// Ollama as it should be.
fn ollama(request: &Request) -> Vec<Step> {
    match request.line.as_str() {
        "POST /api/show" => {
            let info = json!({"general.architecture": "nomic-bert", "nomic-bert.context_length": 8192});
            answer("200 OK", &json!({"model_info": info, "capabilities": ["embedding"], "template": "{{ .Prompt }}"}))
        }
        "GET /api/version" => answer("200 OK", &json!({"version": "0.13.5"})),
        "POST /api/embed" => {
            let inputs = inputs(request);
            if inputs.iter().any(|input| input.as_str().unwrap().split_whitespace().count() > 8192) {
                return answer("400 Bad Request", &json!({"error": "the input length exceeds the context length"}));
            }
            let vectors: Vec<_> = inputs.iter().map(|input| vector(input, dimensions(request))).collect();
            answer("200 OK", &json!({"model": "nomic-embed", "embeddings": vectors, "prompt_eval_count": 3 * inputs.len()}))
        }
        other => panic!("asked for {other}"),
    }
}

async fn embedder(providers: &Providers, llm: &str) -> Arc<dyn TextEmbedder> {
    providers.open_embedder(&LlmId::parse(llm).unwrap()).await.unwrap()
}

fn of(texts: &[&str]) -> EmbeddingRequest {
    let text = |text: &&str| EmbeddingInput::Text(Prompt::new(*text, 1_000_000).unwrap());
    EmbeddingRequest::new(texts.iter().map(text).collect(), Owner::Guests)
}

mod openai_contract {
    use super::*;

    async fn subject() -> Arc<dyn TextEmbedder> {
        let server = ScriptedServer::start(openai).await;
        embedder(&providers(&server), OPENAI).await
    }

    test_support::text_embedder_contract!(subject);
}

mod ollama_contract {
    use super::*;

    async fn subject() -> Arc<dyn TextEmbedder> {
        let server = ScriptedServer::start(ollama).await;
        embedder(&providers(&server), OLLAMA).await
    }

    test_support::text_embedder_contract!(subject);
}

#[tokio::test]
async fn openai_is_asked_in_its_own_words() {
    let server = ScriptedServer::start(openai).await;
    let embedder = embedder(&providers(&server), OPENAI).await;
    let made = embedder.embed(EmbeddingRequest { dimensions: Some(5), ..of(&["a wolf", "a king"]) }).await.unwrap();
    assert_eq!((made.vectors[0].len(), made.prompt_tokens), (5, 6));
    let tokens = EmbeddingRequest::new(vec![EmbeddingInput::Tokens(vec![1, 2])], Owner::Guests);
    embedder.embed(tokens).await.unwrap();
    let sent = server.requests_to("POST /v1/embeddings");
    assert_eq!(sent[0].header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    assert_eq!(sent[0].body, json!({"model": "embed-x", "input": ["a wolf", "a king"], "dimensions": 5}));
    assert_eq!(sent[1].body, json!({"model": "embed-x", "input": [[1, 2]]}));
}

#[tokio::test]
async fn ollama_is_asked_never_to_cut_and_for_a_context_that_is_long_enough() {
    let server = ScriptedServer::start(ollama).await;
    let mut config = config(&server.url);
    config.ollama.keep_alive = Some(KeepAlive::Seconds(60));
    let embedder = embedder(&Providers::new(config).unwrap(), OLLAMA).await;
    assert_eq!(embedder.describe().context_length, 8192);
    let made = embedder.embed(of(&["a wolf"])).await.unwrap();
    assert_eq!(made.prompt_tokens, 3);
    embedder.embed(of(&[&"wolf ".repeat(3000)])).await.unwrap();
    let sent = server.requests_to("POST /api/embed");
    assert_eq!(sent[0].body, json!({"model": "nomic-embed", "input": ["a wolf"], "truncate": false, "keep_alive": 60}));
    assert_eq!(sent[1].body["options"], json!({"num_ctx": 8192}), "more than the usual 4096 would hold");
}

#[tokio::test]
async fn a_model_of_ollama_that_makes_embeddings_alone_makes_no_texts() {
    let server = ScriptedServer::start(ollama).await;
    let providers = providers(&server);
    embedder(&providers, OLLAMA).await;
    let refusal = providers.open(&LlmId::parse(OLLAMA).unwrap()).await.err().unwrap();
    assert_eq!(refusal, GenerationError::ModelUnavailable("ollama's nomic-embed makes no texts".to_owned()));
}

#[tokio::test]
async fn a_provider_that_does_not_count_is_charged_for_an_estimate() {
    let server = ScriptedServer::start(|request: &Request| match request.line.as_str() {
        "POST /v1/embeddings" => answer("200 OK", &json!({"data": [{"embedding": [0.5, 0.5]}]})),
        "POST /api/embed" => answer("200 OK", &json!({"embeddings": [[0.5, 0.5]]})),
        _ => answer("404 Not Found", &json!({})),
    })
    .await;
    let providers = Providers::new(config(&server.url)).unwrap();
    let made = embedder(&providers, OPENAI).await.embed(of(&["twelve bytes"])).await.unwrap();
    assert_eq!((made.prompt_tokens, made.vectors), (4, vec![vec![0.5, 0.5]]));
}

/// Both providers, each at a server that answers the call itself as `script` says.
async fn failing(
    llm: &str,
    script: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static,
) -> (ScriptedServer, Arc<dyn TextEmbedder>) {
    let server = ScriptedServer::start(move |request| match request.line.as_str() {
        "POST /api/show" | "GET /api/version" => ollama(request),
        _ => script(request),
    })
    .await;
    let embedder = embedder(&providers(&server), llm).await;
    (server, embedder)
}

/// An answer of either provider with these vectors, as they are written.
fn sending(llm: &str, vectors: &str) -> Vec<Step> {
    let body = if llm == OPENAI {
        let datum = |vector: &str| format!(r#"{{"embedding": {vector}}}"#);
        let data: Vec<String> = vectors.split(';').map(datum).collect();
        format!(r#"{{"data": [{}]}}"#, data.join(","))
    } else {
        format!(r#"{{"embeddings": [{}]}}"#, vectors.replace(';', ","))
    };
    vec![head("200 OK", "content-type: application/json\r\n"), bytes(body)]
}

#[rstest]
#[tokio::test]
async fn vectors_that_cannot_be_believed_are_the_providers_failure(
    #[values(OPENAI, OLLAMA)] llm: &'static str,
    #[values(
        "[1.0]",
        "[1];[2];[3]",
        "[1, 2];[1]",
        "[];[]",
        "[1e300];[1]",
        "[null];[1]",
        "[NaN];[1]",
        "\"AACAPw==\";[1]",
        "7;[1]"
    )]
    vectors: &'static str,
) {
    let (_server, embedder) = failing(llm, move |_| sending(llm, vectors)).await;
    let failure = embedder.embed(of(&["a", "b"])).await.unwrap_err();
    assert!(matches!(failure, GenerationError::ProviderFailed { .. }), "{failure:?}");
}

#[rstest]
#[tokio::test]
async fn garbage_silence_and_broken_connections_are_told_apart(#[values(OPENAI, OLLAMA)] llm: &'static str) {
    let head_alone = || head("200 OK", "content-type: application/json\r\n");
    let fails = async |script: Vec<Step>| {
        let (_server, embedder) = failing(llm, move |_| script.clone()).await;
        embedder.embed(of(&["a"])).await.unwrap_err()
    };
    for garbage in ["<html>", "{}", "[]", "", r#"{"data": 7, "embeddings": 7}"#] {
        let failure = fails(vec![head_alone(), bytes(garbage)]).await;
        assert!(matches!(failure, GenerationError::ProviderFailed { .. }), "{garbage}: {failure:?}");
    }
    for broken in [vec![head_alone(), bytes("{\"data\": ["), Step::Reset], vec![Step::Reset]] {
        let failure = fails(broken).await;
        assert!(matches!(failure, GenerationError::ProviderFailed { .. }), "{failure:?}");
    }
    let silent_from_the_start = fails(vec![Step::Hang]).await;
    assert!(matches!(silent_from_the_start, GenerationError::ProviderUnreachable { .. }), "{silent_from_the_start:?}");
    let silent_midway = fails(vec![head_alone(), bytes("{"), Step::Hang]).await;
    assert!(matches!(silent_midway, GenerationError::ProviderFailed { .. }), "{silent_midway:?}");
}

#[rstest]
#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end(#[values(OPENAI, OLLAMA)] llm: &'static str) {
    let (server, embedder) = failing(llm, |_| {
        let blank = bytes(vec![b' '; 1 << 20]);
        std::iter::once(head("200 OK", "content-type: application/json\r\n")).chain(vec![blank; 64]).collect()
    })
    .await;
    let failure = embedder.embed(of(&["a"])).await.unwrap_err();
    assert!(failure.to_string().contains("more than 524288 bytes"), "{failure}");
    server.abandoned(1).await;
}

#[rstest]
#[tokio::test]
async fn refusals_come_to_what_a_caller_can_do(#[values(OPENAI, OLLAMA)] llm: &'static str) {
    let told = async |status: &'static str, error: Value| {
        let (_server, embedder) = failing(llm, move |_| answer(status, &json!({ "error": error }))).await;
        embedder.embed(EmbeddingRequest { dimensions: Some(2), ..of(&["a"]) }).await.unwrap_err()
    };
    assert!(matches!(told("429 Too Many Requests", json!("slow down")).await, GenerationError::ProviderBusy { .. }));
    assert!(matches!(told("500 Oops", json!("oops")).await, GenerationError::ProviderFailed { .. }));
    assert!(matches!(told("404 Not Found", json!("no such model")).await, GenerationError::ModelUnavailable(_)));
    let key = told("401 Unauthorized", json!(format!("no key {KEY}"))).await;
    assert!(matches!(&key, GenerationError::ProviderFailed { .. }) && !key.to_string().contains(KEY), "{key}");
    let dimensions = told("400 Bad Request", json!("this model does not know dimensions")).await;
    assert_eq!(dimensions, GenerationError::Unsupported { field: "dimensions" });
}

#[tokio::test]
async fn what_cannot_have_begun_anything_is_asked_again() {
    let (server, embedder) = failing(OPENAI, |request| {
        if request.number == 0 { answer("503 Service Unavailable", &json!({"error": "loading"})) } else { openai(request) }
    })
    .await;
    embedder.embed(of(&["a"])).await.unwrap();
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_provider_that_keeps_failing_is_left_alone() {
    let server = ScriptedServer::start(|_: &Request| vec![Step::Reset]).await;
    let mut config = config(&server.url);
    config.limits.breaker = BreakerConfig { failures_to_open: 2, ..BreakerConfig::default() };
    let embedder = embedder(&Providers::new(config).unwrap(), OPENAI).await;
    for _ in 0..5 {
        embedder.embed(of(&["a"])).await.unwrap_err();
    }
    assert_eq!(server.requests().len(), 2);
    let left_alone = embedder.embed(of(&["a"])).await.unwrap_err();
    assert_eq!(left_alone, GenerationError::ProviderUnreachable { provider: "openai" });
}

#[rstest]
#[tokio::test]
async fn who_goes_away_takes_the_call_along(#[values(OPENAI, OLLAMA)] llm: &'static str) {
    let (server, embedder) = failing(llm, |_| vec![Step::Hang]).await;
    let call = tokio::time::timeout(Duration::from_millis(100), embedder.embed(of(&["a"]))).await;
    assert!(call.is_err(), "it waits");
    server.abandoned(1).await;
}

#[rstest]
#[tokio::test]
async fn a_server_that_stops_cuts_what_a_provider_is_at(#[values(OPENAI, OLLAMA)] llm: &'static str) {
    let server = ScriptedServer::start(|request: &Request| match request.line.as_str() {
        "POST /api/show" | "GET /api/version" => ollama(request),
        _ => vec![Step::Hang],
    })
    .await;
    let providers = providers(&server);
    let embedder = embedder(&providers, llm).await;
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        providers.shutdown().await;
    };
    let (cut, ()) = tokio::join!(embedder.embed(of(&["a"])), stopping);
    assert_eq!(cut, Err(GenerationError::ShuttingDown));
    assert_eq!(embedder.embed(of(&["late"])).await, Err(GenerationError::ShuttingDown));
    assert_eq!(embedder.admits(Owner::Guests), Err(GenerationError::ShuttingDown));
}
