//! `POST /v1/embeddings`: OpenAI's shape to the last member, and its errors.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ports::{EmbeddingInput, GenerationError};
use serde_json::{Value, json};
use test_support::Gate;

use crate::support::{Answer, Settings, SignedIn, World, to, with_token};

async fn embed(world: &World, user: &SignedIn, body: Value) -> Answer {
    world.call_json("POST", "/v1/embeddings", user.token(), body).await
}

#[actix_web::test]
async fn vectors_are_told_in_openais_shape() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let body = json!({"model": "default", "input": ["once upon", "a time ago"], "user": "someone", "colour": "red"});
    let answer = embed(&world, &ana, body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let body = answer.json();
    let vectors: Vec<Vec<f32>> = body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|datum| serde_json::from_value(datum["embedding"].clone()).unwrap())
        .collect();
    assert!(vectors.iter().all(|vector| vector.len() == 3));
    let expected = json!({
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": body["data"][0]["embedding"]},
            {"object": "embedding", "index": 1, "embedding": body["data"][1]["embedding"]},
        ],
        "model": "default",
        "usage": {"prompt_tokens": 5, "total_tokens": 5},
    });
    assert_eq!(body, expected);
    assert_eq!(world.call("GET", "/users/me/usage", ana.token()).await.json()["tokens"]["used"], 5, "its tokens are counted");

    let answer = embed(&world, &ana, json!({"input": "once upon", "encoding_format": "base64"})).await.json();
    let bytes = STANDARD.decode(answer["data"][0]["embedding"].as_str().unwrap()).unwrap();
    let numbers: Vec<f32> = bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    assert_eq!(numbers, vectors[0], "the very same numbers");
}

#[actix_web::test]
async fn every_form_of_an_input_reaches_the_model() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    for input in [json!("a"), json!(["a"]), json!([1, 2]), json!([[1, 2], [3]])] {
        assert_eq!(embed(&world, &ana, json!({"model": "", "input": input, "dimensions": 3})).await.status, 200, "{input}");
    }
    let requests = world.embedder.requests();
    assert_eq!(requests[0].inputs, requests[1].inputs);
    assert_eq!(requests[2].inputs, [EmbeddingInput::Tokens(vec![1, 2])]);
    assert_eq!(requests[3].inputs, [EmbeddingInput::Tokens(vec![1, 2]), EmbeddingInput::Tokens(vec![3])]);
    assert_eq!(requests[0].dimensions, Some(3));
}

#[actix_web::test]
async fn what_cannot_be_embedded_is_refused_in_words_that_clients_know() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let long = "a".repeat(101);
    for (body, status, code, param) in [
        (json!({}), 400, "E013", "input"),
        (json!({"input": {"text": "a"}}), 400, "E013", "input"),
        (json!({"input": ["a", 7]}), 400, "E013", "input"),
        (json!({"input": [0.5]}), 400, "E013", "input"),
        (json!({"input": ""}), 400, "invalid_value", "input"),
        (json!({"input": []}), 400, "invalid_value", "input"),
        (json!({"input": ["a", " "]}), 400, "invalid_value", "input"),
        (json!({"input": [[]]}), 400, "invalid_value", "input"),
        (json!({"input": ["a", "b", "c", "d", "e"]}), 400, "invalid_value", "input"),
        (json!({"input": long}), 400, "context_length_exceeded", "input"),
        (json!({"input": "a", "encoding_format": "int8"}), 400, "unsupported_parameter", "encoding_format"),
        (json!({"input": "a", "dimensions": 0}), 400, "invalid_value", "dimensions"),
        (json!({"input": "a", "dimensions": 2}), 400, "unsupported_parameter", "dimensions"),
        (json!({"input": "a", "model": "text-embedding-3-small"}), 404, "model_not_found", "model"),
    ] {
        let (_, told) = embed(&world, &ana, body.clone()).await.expect_openai_error(status, code);
        assert_eq!(told.as_deref(), Some(param), "{body}");
    }
    let body = json!({"input": "a".repeat(5000)}).to_string();
    let request = with_token(to("POST", "/v1/embeddings"), ana.token()).insert_header(("content-type", "application/json"));
    world.send(request.set_payload(body)).await.expect_openai_error(413, "E020");
}

#[actix_web::test]
async fn an_input_beyond_the_context_is_told_with_its_place_and_its_tokens() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let too_long = GenerationError::PromptTooLong { prompt_tokens: 1500, limit: 1024, context_length: 1024 };
    world.embedder.refuse_with(Some(too_long));
    let (message, param) = embed(&world, &ana, json!({"input": "a"})).await.expect_openai_error(400, "context_length_exceeded");
    assert!(
        message.starts_with("This model's maximum context length is 1024 tokens. However, your input resulted in 1500"),
        "{message}"
    );
    assert_eq!(param.as_deref(), Some("input"));
}

#[actix_web::test]
async fn each_failure_of_a_model_has_its_status() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    for (failure, status, code) in [
        (GenerationError::InputRefused("input[0] holds the token 9".into()), 400, "invalid_value"),
        (GenerationError::ProviderFailed { provider: "openai", problem: "secret".into() }, 502, "E031"),
        (GenerationError::ProviderUnreachable { provider: "openai" }, 503, "E030"),
        (GenerationError::Overloaded { retry_after_seconds: 3 }, 503, "E025"),
        (GenerationError::ModelUnavailable("no such folder".into()), 503, "E028"),
        (GenerationError::DeadlineExceeded, 504, "E026"),
        (GenerationError::Failed("secret".into()), 500, "E033"),
    ] {
        world.embedder.refuse_with(Some(failure));
        let (message, _) = embed(&world, &ana, json!({"input": "a"})).await.expect_openai_error(status, code);
        assert!(!message.contains("secret"), "{message}");
    }
    assert_eq!(world.call("GET", "/users/me/usage", ana.token()).await.json()["tokens"]["used"], 0, "and costs nothing");
}

#[actix_web::test]
async fn who_loses_the_right_to_an_answer_stops_the_work() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    world.embedder.wait_for(Gate::shut());
    let ended = async {
        while world.embedder.running() == 0 {
            tokio::task::yield_now().await;
        }
        world.call_json("POST", "/auth/logout", None, json!({"refresh_token": ana.refresh_token})).await
    };
    let (answer, ended) = tokio::join!(embed(&world, &ana, json!({"input": "a wolf"})), ended);
    assert_eq!(ended.status, 204);
    answer.expect_openai_error(401, "invalid_api_key");
    assert_eq!(world.embedder.running(), 0);
}

#[actix_web::test]
async fn a_quota_and_a_rate_limit_hold_here_too() {
    let world = World::with(Settings { tokens_per_day: Some(4), ..Settings::default() }).await;
    let ana = world.sign_in("ana").await;
    assert_eq!(embed(&world, &ana, json!({"input": "one two three"})).await.status, 200);
    embed(&world, &ana, json!({"input": "four five"})).await.expect_openai_error(429, "insufficient_quota");
    let world = World::with(Settings { requests_per_minute: 2, ..Settings::default() }).await;
    let ben = world.sign_in("ben").await;
    for _ in 0..2 {
        assert_eq!(embed(&world, &ben, json!({"input": "one"})).await.status, 200);
    }
    embed(&world, &ben, json!({"input": "one"})).await.expect_openai_error(429, "rate_limit_exceeded");
}
