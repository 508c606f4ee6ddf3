//! What is asked of a provider, and what its refusals come to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adapters_providers::http::breaker::BreakerConfig;
use adapters_providers::{KeepAlive, OpenAiTextApi, Providers, RunningLimits};
use domain::{LengthLimit, LlmId, LogitBias, SamplingParameters, StopStrings};
use ports::{GenerationError, GenerationRequest, LanguageModels as _, Owner, TextGenerator, Truncation};
use serde_json::{Value, json};
use test_support::builders::a_user_id;

use support::scripted_server::{Request, ScriptedServer, Step, answer, bytes, event_stream, head, ollama, openai};
use support::{KEY, PATIENCE, chat, config, generate, open, parameters, providers, text};

fn refuse(status: &str, error: &Value) -> Vec<Step> {
    answer(status, &json!({ "error": error }))
}

async fn openai_model(server: &ScriptedServer) -> Arc<dyn TextGenerator> {
    open(&providers(server), "openai:gpt-x").await
}

fn with(change: impl FnOnce(&mut SamplingParameters)) -> GenerationRequest {
    let mut parameters = parameters(20);
    change(&mut parameters);
    GenerationRequest { parameters, ..text("Once") }
}

#[tokio::test]
async fn every_parameter_that_openai_knows_is_sent() {
    let server = ScriptedServer::start(openai).await;
    let request = GenerationRequest {
        parameters: SamplingParameters {
            temperature: 0.25,
            top_p: 0.5,
            presence_penalty: -1.0,
            frequency_penalty: 1.5,
            logit_bias: LogitBias::new(BTreeMap::from([(50256, -100.0)])).unwrap(),
            stop: StopStrings::new(vec!["END".to_owned()]).unwrap(),
            ..parameters(7)
        },
        ..chat("Hello")
    };
    generate(&openai_model(&server).await, request).await.end.unwrap();
    let sent = &server.requests()[0];
    assert_eq!(sent.line, "POST /v1/chat/completions");
    assert_eq!(sent.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    assert_eq!(
        sent.body,
        json!({
            "model": "gpt-x", "stream": true, "stream_options": {"include_usage": true},
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
            "max_tokens": 7, "temperature": 0.25, "top_p": 0.5, "presence_penalty": -1.0, "frequency_penalty": 1.5,
            "logit_bias": {"50256": -100.0}, "stop": ["END"], "seed": 42,
        })
    );
}

#[tokio::test]
async fn what_openai_has_no_field_for_is_refused_by_name_and_what_asks_for_nothing_is_not_sent() {
    let server = ScriptedServer::start(openai).await;
    let model = openai_model(&server).await;
    for (field, request) in [
        ("top_k", with(|parameters| parameters.top_k = Some(5))),
        ("min_p", with(|parameters| parameters.min_p = 0.1)),
        ("repetition_penalty", with(|parameters| parameters.repetition_penalty = 1.1)),
        ("truncate", GenerationRequest { truncation: Truncation::Oldest, ..text("Once") }),
    ] {
        assert_eq!(generate(&model, request).await.end, Err(GenerationError::Unsupported { field }));
    }
    assert!(server.requests().is_empty());
    let neutral = with(|parameters| (parameters.temperature, parameters.top_p) = (1.0, 1.0));
    generate(&model, neutral).await.end.unwrap();
    let expected = json!({"model": "gpt-x", "stream": true, "stream_options": {"include_usage": true}, "prompt": "Once",
        "max_tokens": 20, "seed": 42});
    assert_eq!(server.requests()[0].body, expected);
}

#[tokio::test]
async fn a_server_that_knows_more_is_sent_everything() {
    let server = ScriptedServer::start(openai).await;
    let mut config = config(&server.url);
    config.openai.extra_parameters = true;
    config.openai.organization = Some("org-7".to_owned());
    let model = open(&Providers::new(config).unwrap(), "openai:gpt-x").await;
    generate(&model, with(|parameters| parameters.repetition_penalty = 1.5)).await.end.unwrap();
    generate(&model, with(|parameters| (parameters.top_k, parameters.min_p) = (Some(40), 0.05))).await.end.unwrap();
    let sent = server.requests();
    assert_eq!(sent[0].header("openai-organization"), Some("org-7"));
    let of = |number: usize, fields: [&str; 4]| json!(fields.map(|field| sent[number].body[field].clone()));
    assert_eq!(of(0, ["top_k", "min_p", "repetition_penalty", "repeat_penalty"]), json!([-1, 0.0, 1.5, 1.5]));
    assert_eq!(of(1, ["top_k", "min_p", "repetition_penalty", "presence_penalty"]), json!([40, 0.05, 1.0, 0.0]));
}

#[tokio::test]
async fn every_parameter_that_ollama_knows_is_sent() {
    let server = ScriptedServer::start(ollama).await;
    let mut config = config(&server.url);
    config.ollama.keep_alive = Some(KeepAlive::parse("10m").unwrap());
    let model = open(&Providers::new(config).unwrap(), "ollama:phi4").await;
    assert_eq!((model.describe().context_length, model.describe().answers_chats), (32_768, true));
    let request = GenerationRequest {
        parameters: SamplingParameters {
            temperature: 0.25,
            top_p: 0.5,
            top_k: Some(9),
            min_p: 0.125,
            repetition_penalty: 1.5,
            presence_penalty: -1.0,
            frequency_penalty: 1.5,
            stop: StopStrings::new(vec!["END".to_owned()]).unwrap(),
            ..parameters(7)
        },
        ..chat("Hello")
    };
    generate(&model, request).await.end.unwrap();
    let sent = server.requests_to("POST /api/chat")[0].body.clone();
    assert_eq!(
        sent,
        json!({
            "model": "phi4", "stream": true, "truncate": false, "shift": false, "keep_alive": "10m",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
            "options": {"num_predict": 7, "temperature": 0.25, "top_p": 0.5, "top_k": 9, "min_p": 0.125, "repeat_penalty": 1.5,
                "presence_penalty": -1.0, "frequency_penalty": 1.5, "seed": 42, "stop": ["END"]},
        })
    );
    let biased = with(|parameters| parameters.logit_bias = LogitBias::new(BTreeMap::from([(1, 1.0)])).unwrap());
    assert_eq!(generate(&model, biased).await.end, Err(GenerationError::Unsupported { field: "logit_bias" }));
}

#[tokio::test]
async fn ollama_is_asked_for_as_much_context_as_a_request_needs_and_no_more_than_the_model_has() {
    let server = ScriptedServer::start(ollama).await;
    let model = open(&providers(&server), "ollama:phi4").await;
    // Bytes of the prompt, new tokens, and the context that both need: about three bytes are a token, and 4096 tokens are there anyway.
    for (prompt_bytes, max_new_tokens, context) in [
        (10, 20, Value::Null),
        (9_000, 1_000, Value::Null),
        (9_000, 2_000, json!(8192)),
        (10, 6_000, json!(8192)),
        (10, 100_000, Value::Null),
    ] {
        let request = GenerationRequest { parameters: parameters(max_new_tokens), ..text(&"a".repeat(prompt_bytes)) };
        generate(&model, request).await.end.unwrap();
        let sent = server.requests().pop().unwrap().body;
        assert_eq!(sent["options"]["num_ctx"], context, "{prompt_bytes} and {max_new_tokens}");
    }
}

#[tokio::test]
async fn an_older_ollama_is_asked_once_which_it_is_and_gets_nothing_that_it_might_cut() {
    let server = ScriptedServer::start(|request: &Request| match request.line.as_str() {
        "GET /api/version" => answer("200 OK", &json!({"version": "0.9.6"})),
        _ => ollama(request),
    })
    .await;
    let providers = providers(&server);
    for _ in 0..2 {
        generate(&open(&providers, "ollama:phi4").await, text("Once")).await.end.unwrap();
    }
    assert_eq!(server.requests_to("GET /api/version").len(), 1);
    assert_eq!(server.requests_to("POST /api/generate")[0].body["options"]["num_ctx"], 4096);
    let long = generate(&open(&providers, "ollama:phi4").await, chat(&"a".repeat(70_000))).await;
    assert!(matches!(&long.end, Err(GenerationError::InputRefused(told)) if told.contains("may not fit")), "{long:?}");
    assert_eq!(server.requests_to("POST /api/chat").len(), 0, "it is not even asked");
}

#[tokio::test]
async fn who_asks_for_too_many_texts_at_once_is_told_to_come_back() {
    let server = ScriptedServer::start(|_: &Request| vec![event_stream(), Step::Hang]).await;
    let mut config = config(&server.url);
    config.running = RunningLimits { total: 3, per_owner: 2 };
    let model = open(&Providers::new(config).unwrap(), "openai:gpt-x").await;
    let owners = [a_user_id(), a_user_id(), a_user_id()].map(Owner::User);
    let by = |number: usize| GenerationRequest { owner: owners[number - 1], ..text("Once") };
    let full = GenerationError::Overloaded { retry_after_seconds: 2 };
    let (first, _second) = (model.generate(by(1)).await.unwrap(), model.generate(by(1)).await.unwrap());
    assert_eq!(model.generate(by(1)).await.err(), Some(full.clone()));
    let _third = model.generate(by(2)).await.unwrap();
    assert_eq!(model.generate(by(3)).await.err(), Some(full.clone()), "no place is left for anybody");
    assert_eq!(model.admits(by(3).owner), Err(full));
    drop(first);
    assert_eq!(model.admits(by(3).owner), Ok(()));
    assert!(model.generate(by(3)).await.is_ok());
}

#[tokio::test]
async fn a_total_length_leaves_room_for_all_but_one_token() {
    let server =
        ScriptedServer::start(|request: &Request| if request.line.contains("/api/") { ollama(request) } else { openai(request) })
            .await;
    let providers = providers(&server);
    for llm in ["openai:gpt-x", "ollama:phi4"] {
        let model = open(&providers, llm).await;
        let heard = generate(&model, with(|parameters| parameters.length = LengthLimit::Total(5))).await;
        assert_eq!((heard.start.unwrap().max_new_tokens, heard.end.unwrap().usage.completion_tokens), (4, 4));
    }
    assert_eq!(server.requests_to("POST /v1/completions")[0].body["max_tokens"], 4);
    assert_eq!(server.requests_to("POST /api/generate")[0].body["options"]["num_predict"], 4);
}

#[tokio::test]
async fn a_model_that_only_chats_is_asked_so_once_that_is_known() {
    let server = ScriptedServer::start(|request: &Request| match request.line.as_str() {
        "POST /v1/completions" => refuse("404 Not Found", &json!({"message": "This is a chat model"})),
        _ => openai(request),
    })
    .await;
    let providers = providers(&server);
    for _ in 0..2 {
        let heard = generate(&open(&providers, "openai:gpt-x").await, text("Once")).await;
        heard.end.unwrap();
    }
    let lines: Vec<String> = server.requests().into_iter().map(|request| request.line).collect();
    assert_eq!(lines, ["POST /v1/completions", "POST /v1/chat/completions", "POST /v1/chat/completions"]);
    assert_eq!(server.requests()[1].body["messages"], json!([{"role": "user", "content": "Once"}]));
}

#[tokio::test]
async fn the_setting_chooses_the_api_whatever_the_server_says() {
    for (text_api, path) in
        [(OpenAiTextApi::Chat, "POST /v1/chat/completions"), (OpenAiTextApi::Completions, "POST /v1/completions")]
    {
        let server = ScriptedServer::start(|_: &Request| refuse("404 Not Found", &json!({"message": "not here"}))).await;
        let mut config = config(&server.url);
        config.openai.text_api = text_api;
        let model = open(&Providers::new(config).unwrap(), "openai:gpt-x").await;
        assert!(matches!(generate(&model, text("Once")).await.end, Err(GenerationError::ModelUnavailable(_))));
        let lines: Vec<String> = server.requests().into_iter().map(|request| request.line).collect();
        assert_eq!(lines, [path]);
    }
}

#[tokio::test]
async fn a_newer_model_is_asked_by_the_newer_name_of_the_limit() {
    let server = ScriptedServer::start(|request: &Request| {
        if request.body.get("max_tokens").is_some() {
            let words =
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
            return refuse("400 Bad Request", &json!({"message": words, "param": "max_tokens", "code": "unsupported_parameter"}));
        }
        let mut request = request.clone();
        request.body["max_tokens"] = request.body["max_completion_tokens"].clone();
        openai(&request)
    })
    .await;
    let model = openai_model(&server).await;
    for _ in 0..2 {
        generate(&model, chat("Hello")).await.end.unwrap();
    }
    assert_eq!(server.requests().len(), 3, "what was learnt is remembered");
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let cases: [(&str, &str, Value, &str); 8] = [
        (
            "openai:m",
            "401 Unauthorized",
            json!({"message": "bad key sk-hu***er2"}),
            "it refused our key (status 401): check OPENAI_API_KEY",
        ),
        ("openai:m", "404 Not Found", json!({"message": "no", "code": "model_not_found"}), "has no model m: check the name"),
        ("openai:m", "429 Too Many Requests", json!({"message": "slow down"}), "openai is busy; try again in 5 s"),
        ("openai:m", "500 Internal Server Error", json!({"message": "boom"}), "openai answered badly: status 500: boom"),
        (
            "ollama:m",
            "404 Not Found",
            json!("model 'm' not found"),
            "ollama has no model m: run `ollama pull m` there; it has llama3.1:8b, phi4",
        ),
        ("ollama:m", "400 Bad Request", json!("\"m\" does not support chat"), "ollama's m makes no texts"),
        ("ollama:m", "400 Bad Request", json!("the prompt is too long"), "ollama refuses the request: the prompt is too long"),
        ("openai:m", "400 Bad Request", json!({"message": "flagged"}), "openai refuses the request: flagged"),
    ];
    for (llm, status, error, told) in cases {
        let server = ScriptedServer::start(move |request: &Request| match request.line.as_str() {
            "POST /api/show" | "GET /api/tags" | "GET /api/version" => ollama(request),
            _ => refuse(status, &error),
        })
        .await;
        let heard = generate(&open(&providers(&server), llm).await, chat("Hello")).await;
        assert!(heard.problem().contains(told), "{}", heard.problem());
    }
}

#[tokio::test]
async fn a_model_that_ollama_does_not_have_is_not_opened() {
    let server = ScriptedServer::start(|request: &Request| match request.line.as_str() {
        "POST /api/show" if request.body["model"] == "bert" => answer("200 OK", &json!({"capabilities": ["embedding"]})),
        "POST /api/show" => refuse("404 Not Found", &json!("model not found")),
        _ => ollama(request),
    })
    .await;
    let providers = providers(&server);
    let missing = providers.open(&LlmId::parse("ollama:m").unwrap()).await.err().unwrap();
    assert!(missing.to_string().contains("`ollama pull m`"), "{missing}");
    let embedder = providers.open(&LlmId::parse("ollama:bert").unwrap()).await.err().unwrap();
    assert_eq!(embedder, GenerationError::ModelUnavailable("ollama's bert makes no texts".to_owned()));
    assert!(matches!(providers.open(&LlmId::parse("gpt2").unwrap()).await, Err(GenerationError::ModelUnavailable(_))));
}

#[tokio::test]
async fn what_did_not_begin_is_tried_again_and_what_may_have_is_not() {
    let flaky = |status: &'static str, retry_after: &'static str| {
        ScriptedServer::start(
            move |request: &Request| {
                if request.number < 2 { vec![head(status, retry_after)] } else { openai(request) }
            },
        )
    };
    for (status, retry_after) in [
        ("503 Service Unavailable", ""),
        ("502 Bad Gateway", ""),
        ("429 Too Many Requests", "retry-after-ms: 1\r\n"),
        ("504 Gateway Timeout", "retry-after: 0\r\n"),
    ] {
        let server = flaky(status, retry_after).await;
        generate(&openai_model(&server).await, text("Once")).await.end.unwrap();
        assert_eq!(server.requests().len(), 3, "{status}");
    }
    for (status, retry_after) in
        [("500 Internal Server Error", ""), ("504 Gateway Timeout", ""), ("429 Too Many Requests", "retry-after: 60\r\n")]
    {
        let server = flaky(status, retry_after).await;
        generate(&openai_model(&server).await, text("Once")).await.end.unwrap_err();
        assert_eq!(server.requests().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_provider_that_is_not_there_or_says_nothing_is_unreachable() {
    let refused = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let hanging = ScriptedServer::start(|_: &Request| vec![Step::Hang]).await;
    for url in [format!("http://{refused}"), hanging.url] {
        let providers = Providers::new(config(&url)).unwrap();
        let begun = Instant::now();
        let heard = generate(&open(&providers, "openai:gpt-x").await, text("Once")).await;
        assert_eq!(heard.end, Err(GenerationError::ProviderUnreachable { provider: "openai" }));
        assert!(begun.elapsed() < PATIENCE * 20);
    }
    let providers = Providers::new(config(&format!("http://{refused}"))).unwrap();
    let model = open(&providers, "ollama:phi4").await;
    assert_eq!(model.describe().context_length, 0, "a model of a server that is away can be opened");
    assert_eq!(generate(&model, text("Once")).await.end, Err(GenerationError::ProviderUnreachable { provider: "ollama" }));
}

#[tokio::test]
async fn nobody_is_followed_to_another_host_and_no_key_goes_there() {
    let elsewhere = ScriptedServer::start(openai).await;
    let target = elsewhere.url.clone();
    let server = ScriptedServer::start(move |request: &Request| match request.line.as_str() {
        "POST /v1/chat/completions" => vec![head("307 Temporary Redirect", "location: /v2/chat/completions\r\n")],
        "POST /v2/chat/completions" => openai(request),
        _ => vec![head("307 Temporary Redirect", &format!("location: {target}/v1/completions\r\n"))],
    })
    .await;
    let model = openai_model(&server).await;
    let heard = generate(&model, text("Once")).await;
    assert_eq!(heard.problem(), "openai answered badly: it redirects to another host, or in circles");
    assert!(elsewhere.requests().is_empty());
    generate(&model, chat("Hello")).await.end.unwrap();
    assert_eq!(server.requests_to("POST /v2/chat/completions")[0].body["messages"][1]["content"], "Hello");
}

#[tokio::test]
async fn a_huge_refusal_is_read_as_far_as_anybody_needs() {
    let huge = || std::iter::repeat_n(bytes("no ".repeat(100_000)), 100);
    let server =
        ScriptedServer::start(move |_: &Request| [head("500 Internal Server Error", "")].into_iter().chain(huge()).collect())
            .await;
    let heard = generate(&openai_model(&server).await, text("Once")).await;
    assert!(heard.problem().starts_with("openai answered badly: status 500: no no") && heard.problem().len() < 500);
    server.idle().await;
    let server = ScriptedServer::start(move |_: &Request| [head("200 OK", "")].into_iter().chain(huge()).collect()).await;
    let providers = providers(&server);
    let model = providers.open(&LlmId::parse("ollama:phi4").unwrap()).await.unwrap();
    assert_eq!(model.describe().context_length, 0, "what is too large to be a description is none");
    server.idle().await;
}

#[tokio::test]
async fn a_provider_that_keeps_failing_is_left_alone_told_by_name_and_found_well_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut config = config(&format!("http://{address}"));
    config.limits.breaker = BreakerConfig { failures_to_open: 2, open_for: Duration::from_millis(300) };
    let providers = Providers::new(config).unwrap();
    let llm = LlmId::parse("openai:gpt-x").unwrap();
    let model = providers.open(&llm).await.unwrap();
    let checks = providers.health_checks();
    let health = async || {
        let mut unhealthy = Vec::new();
        for check in &checks {
            assert!(!check.is_essential());
            if check.check().await.is_err() {
                unhealthy.push(check.name());
            }
        }
        unhealthy
    };
    assert!(health().await.is_empty() && providers.state(&llm).loaded);
    for _ in 0..2 {
        generate(&model, text("Once")).await.end.unwrap_err();
    }
    assert_eq!(health().await, ["openai"]);
    assert!(!providers.state(&llm).loaded);

    let server = ScriptedServer::serve(tokio::net::TcpListener::bind(address).await.unwrap(), openai);
    assert_eq!(generate(&model, text("Once")).await.end, Err(GenerationError::ProviderUnreachable { provider: "openai" }));
    assert!(server.requests().is_empty(), "it is left alone");
    let begun = Instant::now();
    while !health().await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.requests().len(), 1, "the check alone tried it");
    generate(&model, text("Once")).await.end.unwrap();
}
