//! OpenAI's streams, chunk by chunk.

use std::pin::Pin;

use actix_web::body::{BoxBody, MessageBody};
use ports::GenerationError;
use serde_json::{Value, json};
use test_support::{Gate, Step};

use crate::support::{Answer, SignedIn, World, to, with_token};

async fn stream(world: &World, user: &SignedIn, path: &str, mut body: Value) -> Answer {
    body["stream"] = json!(true);
    let answer = world.call_json("POST", path, user.token(), body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("content-type"), "text/event-stream; charset=utf-8");
    answer
}

/// The chunks of a stream that ended as it should.
fn chunks(answer: &Answer) -> Vec<Value> {
    let body = answer.body.strip_suffix("data: [DONE]\n\n").unwrap_or_else(|| panic!("no end: {}", answer.body));
    let events = body.split_terminator("\n\n").filter(|event| !event.starts_with(':'));
    events.map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap()).collect()
}

fn hello() -> Value {
    json!({"messages": [{"role": "user", "content": "Hello"}]})
}

#[actix_web::test]
async fn a_chat_begins_with_its_role_goes_on_by_pieces_and_ends_with_its_reason() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let answer = stream(&world, &ana, "/v1/chat/completions", hello()).await;
    let chunks = chunks(&answer);
    for chunk in &chunks {
        let mut members: Vec<&String> = chunk.as_object().unwrap().keys().collect();
        members.sort();
        assert_eq!(members, ["choices", "created", "id", "model", "object", "system_fingerprint"]);
        assert_eq!((&chunk["object"], &chunk["id"]), (&json!("chat.completion.chunk"), &chunks[0]["id"]));
    }
    let choice = |delta: Value, reason: Value| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason}]);
    let said: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"]).collect();
    let expected = [
        choice(json!({"role": "assistant", "content": ""}), Value::Null),
        choice(json!({"content": " there"}), Value::Null),
        choice(json!({"content": " was"}), Value::Null),
        choice(json!({"content": " a king"}), Value::Null),
        choice(json!({}), json!("stop")),
    ];
    assert_eq!(said, expected.iter().collect::<Vec<_>>());
}

#[actix_web::test]
async fn usage_is_a_chunk_of_its_own_at_the_end_and_null_before() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    for (path, body) in [("/v1/chat/completions", hello()), ("/v1/completions", json!({"prompt": "Once upon"}))] {
        let mut body = body;
        body["stream_options"] = json!({"include_usage": true});
        let answer = stream(&world, &ana, path, body).await;
        let chunks = chunks(&answer);
        let (last, before) = chunks.split_last().unwrap();
        assert!(before.iter().all(|chunk| chunk.get("usage") == Some(&Value::Null)), "{path}");
        assert_eq!((&last["choices"], &last["usage"]["completion_tokens"]), (&json!([]), &json!(3)), "{path}");
    }
}

#[actix_web::test]
async fn the_choices_of_a_stream_are_told_apart_by_their_index() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let body = json!({"prompt": ["Once", "Long ago"], "n": 2, "echo": true});
    let answer = stream(&world, &ana, "/v1/completions", body).await;
    let mut texts = vec![String::new(); 4];
    let mut ended = vec![false; 4];
    for chunk in chunks(&answer) {
        let choice = &chunk["choices"][0];
        let index = usize::try_from(choice["index"].as_u64().unwrap()).unwrap();
        assert!(!ended[index], "nothing follows a reason");
        texts[index].push_str(choice["text"].as_str().unwrap());
        ended[index] = choice["finish_reason"] == "stop";
    }
    let (once, ago) = ("Once there was a king", "Long ago there was a king");
    assert_eq!(texts, [once, once, ago, ago]);
    assert_eq!(ended, [true; 4]);
}

#[actix_web::test]
async fn the_offsets_of_tokens_go_on_from_chunk_to_chunk() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let answer = stream(&world, &ana, "/v1/completions", json!({"prompt": "Once", "logprobs": 0})).await;
    let offsets: Vec<Value> =
        chunks(&answer).iter().map(|chunk| chunk["choices"][0]["logprobs"]["text_offset"].clone()).collect();
    assert_eq!(offsets, [json!([0]), json!([6]), json!([10]), Value::Null]);
}

#[actix_web::test]
async fn a_stream_that_breaks_tells_so_as_openai_does_and_has_no_end() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    world.generator.follow([Step::Text(" there".into()), Step::Fail(GenerationError::Failed("secret".into()))]);
    for (path, body) in [("/v1/chat/completions", hello()), ("/v1/completions", json!({"prompt": "Once"}))] {
        let answer = stream(&world, &ana, path, body).await;
        assert!(!answer.body.contains("[DONE]") && !answer.body.contains("secret"), "{}", answer.body);
        let last = answer.body.trim_end().rsplit("\n\n").next().unwrap();
        let error: Value = serde_json::from_str(last.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!((&error["error"]["type"], &error["error"]["code"]), (&json!("server_error"), &json!("E033")));
    }
}

#[actix_web::test]
async fn an_error_before_the_first_piece_is_an_ordinary_answer() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    world.generator.follow([Step::Fail(GenerationError::DeadlineExceeded)]);
    let mut body = hello();
    body["stream"] = json!(true);
    world.call_json("POST", "/v1/chat/completions", ana.token(), body).await.expect_openai_error(504, "E026");
}

async fn next(body: &mut BoxBody) -> Option<String> {
    let bytes = std::future::poll_fn(|context| Pin::new(&mut *body).poll_next(context)).await?;
    Some(String::from_utf8(bytes.unwrap().to_vec()).unwrap())
}

#[actix_web::test]
async fn who_waits_gets_comments_and_who_goes_away_or_signs_out_stops_the_generation() {
    for signs_out in [false, true] {
        let world = World::new().await;
        let ana = world.sign_in("ana").await;
        world.generator.follow([Step::Queued(2), Step::Text(" there".into()), Step::Wait(Gate::shut())]);
        let mut request = hello();
        request["stream"] = json!(true);
        let request = with_token(to("POST", "/v1/chat/completions"), ana.token()).set_json(request);
        let mut body = world.open(request).await.into_body();
        assert_eq!(next(&mut body).await.unwrap(), ": X-Queue-Position: 2\n\n");
        assert!(next(&mut body).await.unwrap().contains(" there"));
        assert_eq!(next(&mut body).await.unwrap(), ": still here\n\n");
        if signs_out {
            let out = world.call_json("POST", "/auth/logout", None, json!({"refresh_token": ana.refresh_token})).await;
            assert_eq!(out.status, 204);
            let mut last = String::new();
            while let Some(event) = next(&mut body).await {
                last = event;
            }
            assert!(last.contains("invalid_api_key"), "{last}");
        }
        drop(body);
        assert_eq!((world.generator.open_streams(), world.generator.cancelled_streams()), (0, 1));
    }
}
