//! OpenAI's API: its shapes to the last member, and its errors.

use ports::GenerationError;
use serde_json::{Value, json};

use crate::support::{Answer, Settings, SignedIn, World, to, with_token};

async fn complete(world: &World, user: &SignedIn, body: Value) -> Answer {
    world.call_json("POST", "/v1/completions", user.token(), body).await
}

async fn chat(world: &World, user: &SignedIn, mut body: Value) -> Answer {
    if body.get("messages").is_none() {
        body["messages"] = json!([{"role": "user", "content": "Hello there"}]);
    }
    world.call_json("POST", "/v1/chat/completions", user.token(), body).await
}

fn fingerprint() -> Value {
    json!("fp_0000000000")
}

#[actix_web::test]
async fn models_are_listed_and_read_as_openai_does() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let model = json!({"id": "default", "object": "model", "created": 0, "owned_by": "onnxruntime"});
    assert_eq!(world.call("GET", "/v1/models", ana.token()).await.json(), json!({"object": "list", "data": [model]}));
    assert_eq!(world.call("GET", "/v1/models/default", ana.token()).await.json(), model);
    let (message, param) =
        world.call("GET", "/v1/models/org/absent", ana.token()).await.expect_openai_error(404, "model_not_found");
    assert!(message.contains("'org/absent'"), "{message}");
    assert_eq!(param.as_deref(), Some("model"));
}

#[actix_web::test]
async fn a_chat_is_answered_in_openais_shape() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let answer = chat(&world, &ana, json!({"model": "default", "seed": 7, "user": "someone", "colour": "red"})).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let body = answer.json();
    assert!(body["id"].as_str().unwrap().starts_with("chatcmpl-"), "{body}");
    let expected = json!({
        "id": body["id"], "object": "chat.completion", "created": 1_767_268_800, "model": "default",
        "system_fingerprint": fingerprint(),
        "choices": [{
            "index": 0, "message": {"role": "assistant", "content": " there was a king", "refusal": null},
            "logprobs": null, "finish_reason": "stop",
        }],
        "usage": {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6},
    });
    assert_eq!(body, expected);
    assert_eq!(world.call("GET", "/text_generations/all", ana.token()).await.body, "[]", "nothing of it is stored");
    assert_eq!(world.call("GET", "/users/me/usage", ana.token()).await.json()["tokens"]["used"], 6, "and its tokens are counted");
}

#[actix_web::test]
async fn a_text_is_completed_in_openais_shape() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let answer = complete(&world, &ana, json!({"prompt": "Once upon", "max_tokens": 2})).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let body = answer.json();
    assert!(body["id"].as_str().unwrap().starts_with("cmpl-"), "{body}");
    let expected = json!({
        "id": body["id"], "object": "text_completion", "created": 1_767_268_800, "model": "default",
        "system_fingerprint": fingerprint(),
        "choices": [{"text": " there was", "index": 0, "logprobs": null, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4},
    });
    assert_eq!(body, expected);
}

#[actix_web::test]
async fn every_parameter_reaches_the_model() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let body = json!({
        "model": "", "max_tokens": 5.0, "temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.1, "repetition_penalty": 1.1,
        "presence_penalty": -0.5, "frequency_penalty": 0.5, "logit_bias": {"464": -100}, "stop": ["The end", "\n"], "seed": 42,
    });
    assert_eq!(chat(&world, &ana, body).await.status, 200);
    let asked = world.generator.requests().remove(0).parameters;
    assert_eq!((asked.length, asked.seed.get()), (domain::LengthLimit::New(5), 42));
    assert_eq!((asked.temperature, asked.top_p, asked.top_k, asked.min_p), (0.5, 0.9, Some(40), 0.1));
    assert_eq!((asked.repetition_penalty, asked.presence_penalty, asked.frequency_penalty), (1.1, -0.5, 0.5));
    assert_eq!(asked.logit_bias.as_map().get(&464), Some(&-100.0));
    assert_eq!(asked.stop.as_slice(), ["The end", "\n"]);
}

#[actix_web::test]
async fn several_choices_of_several_prompts_are_numbered_by_the_prompt_first() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let body = json!({"prompt": ["Once upon", "There"], "n": 2, "echo": true, "max_tokens": 1});
    let answer = complete(&world, &ana, body).await.json();
    let texts: Vec<(u64, &str)> = answer["choices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|choice| (choice["index"].as_u64().unwrap(), choice["text"].as_str().unwrap()))
        .collect();
    assert_eq!(texts, [(0, "Once upon there"), (1, "Once upon there"), (2, "There there"), (3, "There there")]);
    assert_eq!(answer["usage"], json!({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}));
    let answer = chat(&world, &ana, json!({"n": 3})).await.json();
    assert_eq!(answer["choices"].as_array().unwrap().len(), 3);
}

#[actix_web::test]
async fn probabilities_have_the_shape_of_each_route() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let text = complete(&world, &ana, json!({"prompt": "Once", "logprobs": 2, "max_tokens": 2})).await.json();
    let expected = json!({
        "text_offset": [0, 6], "tokens": [" there", " was"], "token_logprobs": [-0.5, -0.5],
        "top_logprobs": [{" there": -0.5, "~1": -1.5}, {" was": -0.5, "~1": -1.5}],
    });
    assert_eq!(text["choices"][0]["logprobs"], expected);
    let said = chat(&world, &ana, json!({"logprobs": true, "top_logprobs": 1, "max_tokens": 1})).await.json();
    let token = json!({"token": " there", "logprob": -0.5, "bytes": [32, 116, 104, 101, 114, 101]});
    let mut expected = token.clone();
    expected["top_logprobs"] = json!([token]);
    assert_eq!(said["choices"][0]["logprobs"], json!({"content": [expected], "refusal": null}));
    let alone = chat(&world, &ana, json!({"logprobs": true, "max_tokens": 1})).await.json();
    assert_eq!(alone["choices"][0]["logprobs"]["content"][0]["top_logprobs"], json!([]));
}

#[actix_web::test]
async fn a_message_is_a_string_or_parts_of_text() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let parts = json!([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]);
    let messages = json!([
        {"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts, "name": "ana"},
        {"role": "assistant", "content": "three"},
    ]);
    assert_eq!(chat(&world, &ana, json!({"messages": messages})).await.status, 200);
    let ports::GenerationInput::Chat(asked) = world.generator.requests().remove(0).input else { panic!("a conversation") };
    let asked: Vec<(&str, &str)> = asked.iter().map(|message| (message.role.as_str(), message.content.as_str())).collect();
    assert_eq!(asked, [("system", "Be brief."), ("user", "one\ntwo"), ("assistant", "three")]);
}

#[actix_web::test]
async fn what_this_server_cannot_do_is_refused_by_its_name() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let picture = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]);
    let tool = json!([{"role": "tool", "content": "4", "tool_call_id": "1"}]);
    for (body, param) in [
        (json!({"tools": [{"type": "function", "function": {"name": "f"}}]}), "tools"),
        (json!({"response_format": {"type": "json_object"}}), "response_format"),
        (json!({"modalities": ["text", "audio"], "audio": {"voice": "alloy"}}), "modalities"),
        (json!({"messages": picture}), "messages[0].content[0].type"),
        (json!({"messages": tool}), "messages[0].role"),
    ] {
        let (message, named) = chat(&world, &ana, body).await.expect_openai_error(400, "unsupported_parameter");
        assert_eq!(named.as_deref(), Some(param), "{message}");
    }
    for (body, param) in [
        (json!({"prompt": "Once", "suffix": "the end"}), "suffix"),
        (json!({"prompt": "Once", "best_of": 2}), "best_of"),
        (json!({"prompt": [1, 2, 3]}), "prompt"),
        (json!({"prompt": [[1], [2]]}), "prompt"),
        (json!({"prompt": "Once", "echo": true, "logprobs": 1}), "echo"),
    ] {
        let (message, named) = complete(&world, &ana, body).await.expect_openai_error(400, "unsupported_parameter");
        assert_eq!(named.as_deref(), Some(param), "{message}");
    }
    assert_eq!(world.generator.requests().len(), 0);
}

#[actix_web::test]
async fn a_value_out_of_range_is_refused_by_the_clients_own_name_for_it() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    for (body, param) in [
        (json!({"n": 9}), "n"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"max_completion_tokens": -1}), "max_completion_tokens"),
        (json!({"max_completion_tokens": 1, "max_tokens": 2}), "max_completion_tokens"),
        (json!({"temperature": 2.1}), "temperature"),
        (json!({"top_p": 1.1}), "top_p"),
        (json!({"stop": ["a", "b", "c", "d", "e"]}), "stop"),
        (json!({"logprobs": true, "top_logprobs": 21}), "top_logprobs"),
        (json!({"top_logprobs": 2}), "top_logprobs"),
        (json!({"logit_bias": {"1": 101}}), "logit_bias"),
        (json!({"stream_options": {"include_usage": true}}), "stream_options"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": [{"role": "king", "content": "x"}]}), "messages[0].role"),
    ] {
        let (message, named) = chat(&world, &ana, body).await.expect_openai_error(400, "invalid_value");
        assert_eq!(named.as_deref(), Some(param), "{message}");
        assert!(message.contains(param), "{message}");
    }
    let (_, named) = complete(&world, &ana, json!({"prompt": " "})).await.expect_openai_error(400, "invalid_value");
    assert_eq!(named.as_deref(), Some("prompt"));
}

#[actix_web::test]
async fn any_number_of_64_bits_is_a_seed() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    for (seed, taken) in [(-1, i64::MAX), (i64::MIN, 0), (i64::MIN + 42, 42), (42, 42), (i64::MAX, i64::MAX)] {
        assert_eq!(chat(&world, &ana, json!({"seed": seed})).await.status, 200);
        assert_eq!(world.generator.requests().last().unwrap().parameters.seed.get(), taken);
    }
}

#[actix_web::test]
async fn what_is_wrong_with_all_that_is_read_is_told_of_the_field_that_holds_it() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let long = json!([{"role": "user", "content": "x".repeat(3000)}]);
    let (_, named) = chat(&world, &ana, json!({"messages": long})).await.expect_openai_error(400, "invalid_value");
    assert_eq!(named.as_deref(), Some("messages"));
    let (_, named) =
        complete(&world, &ana, json!({"prompt": "x".repeat(3000)})).await.expect_openai_error(400, "context_length_exceeded");
    assert_eq!(named.as_deref(), Some("prompt"));
}

#[actix_web::test]
async fn what_cannot_be_read_is_a_400_that_names_the_field() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    for (body, param) in [
        (json!({"temperature": "hot"}), Some("temperature")),
        (json!({"n": 1.5}), Some("n")),
        (json!({"messages": "Hello"}), Some("messages")),
        (json!({"messages": [{"role": "user", "content": 7}]}), Some("messages[0].content")),
        (json!({"messages": [{"content": "x"}]}), Some("messages[0]")),
        (json!({"messages": [{"role": "user", "content": [{"type": "text"}]}]}), Some("messages[0].content[0].text")),
        (json!({"logit_bias": {"king": 1}}), Some("logit_bias")),
    ] {
        let (message, named) = chat(&world, &ana, body).await.expect_openai_error(400, "E013");
        assert_eq!(named.as_deref(), param, "{message}");
    }
    for prompt in [json!(null), json!(7), json!({"text": "Once"})] {
        complete(&world, &ana, json!({"prompt": prompt})).await.expect_openai_error(400, "E013");
    }
    let unreadable = with_token(to("POST", "/v1/completions"), ana.token())
        .set_payload("{")
        .insert_header(("content-type", "application/json"));
    world.send(unreadable).await.expect_openai_error(400, "E013");
}

#[actix_web::test]
async fn a_conversation_that_does_not_fit_is_refused_with_the_exact_counts() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let words = "w ".repeat(45);
    let messages: Vec<Value> = (0..1).map(|_| json!({"role": "user", "content": words})).collect();
    let too_long = GenerationError::PromptTooLong { prompt_tokens: 1046, limit: 1024, context_length: 1024 };
    world.generator.refuse_with(Some(too_long));
    let answer = chat(&world, &ana, json!({"messages": messages})).await;
    let (message, named) = answer.expect_openai_error(400, "context_length_exceeded");
    assert!(message.contains("1024 tokens") && message.contains("your messages resulted in 1046 tokens"), "{message}");
    assert_eq!(named.as_deref(), Some("messages"));
    let answer = complete(&world, &ana, json!({"prompt": "x".repeat(101)})).await;
    let (message, _) = answer.expect_openai_error(400, "context_length_exceeded");
    assert!(message.contains("101") && message.contains("100"), "characters count too: {message}");
}

#[actix_web::test]
async fn every_error_under_v1_is_in_openais_shape() {
    let world = World::with(Settings { requests_per_minute: 9, ..Settings::default() }).await;
    let ana = world.sign_in("ana").await;
    let (message, _) = world.call("GET", "/v1/models", None).await.expect_openai_error(401, "invalid_api_key");
    assert!(!message.is_empty());
    world.call("GET", "/v1/models", Some("sk-wrong")).await.expect_openai_error(401, "invalid_api_key");
    world.call("GET", "/%761/models", Some("sk-wrong")).await.expect_openai_error(401, "invalid_api_key");
    world.call("GET", "/v1/nowhere", ana.token()).await.expect_openai_error(404, "unknown_url");
    world.call("GET", "/v1/completions", ana.token()).await.expect_openai_error(405, "method_not_supported");
    let speech = world.key_of(&ana, &["speech"]).await;
    world
        .call_json("POST", "/v1/completions", Some(&speech), json!({"prompt": "Once"}))
        .await
        .expect_openai_error(403, "insufficient_permissions");
    let text = with_token(to("POST", "/v1/completions"), ana.token()).set_payload("Once");
    world.send(text).await.expect_openai_error(415, "E021");
    complete(&world, &ana, json!({"prompt": "x".repeat(5000)})).await.expect_openai_error(413, "E020");
    let answer = complete(&world, &ana, json!({"prompt": "Once", "model": "gpt-4o"})).await;
    assert_eq!(answer.expect_openai_error(404, "model_not_found").1.as_deref(), Some("model"));
    world.generator.refuse_with(Some(GenerationError::Overloaded { retry_after_seconds: 7 }));
    let overloaded = complete(&world, &ana, json!({"prompt": "Once"})).await;
    overloaded.expect_openai_error(503, "E025");
    assert_eq!((overloaded.header("retry-after"), &overloaded.json()["error"]["type"]), ("7", &json!("server_error")));
    world.generator.refuse_with(Some(GenerationError::Failed("secret".into())));
    let (message, _) = complete(&world, &ana, json!({"prompt": "Once"})).await.expect_openai_error(500, "E033");
    assert!(!message.contains("secret"));
    for _ in 0..9 {
        world.call("GET", "/v1/models", ana.token()).await;
    }
    let limited = world.call("GET", "/v1/models", ana.token()).await;
    limited.expect_openai_error(429, "rate_limit_exceeded");
    assert_eq!(limited.json()["error"]["type"], "requests");
}

#[actix_web::test]
async fn a_quota_that_does_not_suffice_is_told_as_openai_tells_it() {
    let world = World::with(Settings { tokens_per_day: Some(10), ..Settings::default() }).await;
    let ana = world.sign_in("ana").await;
    let answer = complete(&world, &ana, json!({"prompt": "Once upon", "max_tokens": 5, "n": 2})).await;
    let (message, _) = answer.expect_openai_error(429, "insufficient_quota");
    assert!(message.contains("12 tokens"), "two read once and twice five made: {message}");
}
