//! What comes from a provider, however it is cut, slowed, broken or made up.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use domain::FinishReason;
use futures_util::StreamExt as _;
use ports::{GenerationError, TextGenerator, TokenEvent};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use support::scripted_server::{
    Request, ScriptedServer, Step, answer, bytes, done, event, event_stream, head, line, ndjson, ollama, openai, shown,
};
use support::{Heard, PATIENCE, chat, generate, open, providers, text};

/// Both providers, over a server that answers texts with this script.
async fn both(openai_steps: Vec<Step>, ollama_steps: Vec<Step>) -> [(ScriptedServer, Arc<dyn TextGenerator>); 2] {
    let openai_server = ScriptedServer::start(move |_| openai_steps.clone()).await;
    let ollama_server = ScriptedServer::start(move |request| match request.line.as_str() {
        "POST /api/show" => answer("200 OK", &shown()),
        "GET /api/version" => answer("200 OK", &json!({"version": "0.13.5"})),
        _ => ollama_steps.clone(),
    })
    .await;
    let openai_model = open(&providers(&openai_server), "openai:gpt-x").await;
    let ollama_model = open(&providers(&ollama_server), "ollama:phi4").await;
    [(openai_server, openai_model), (ollama_server, ollama_model)]
}

/// The same, where only what follows the head of a good answer matters.
async fn heard_from_both(
    openai_steps: impl IntoIterator<Item = Step>,
    ollama_steps: impl IntoIterator<Item = Step>,
) -> [Heard; 2] {
    let openai_steps = [event_stream()].into_iter().chain(openai_steps).collect();
    let ollama_steps = [ndjson()].into_iter().chain(ollama_steps).collect();
    let [(_openai, openai_model), (_ollama, ollama_model)] = both(openai_steps, ollama_steps).await;
    [generate(&openai_model, text("Once")).await, generate(&ollama_model, text("Once")).await]
}

fn piece(text: &str) -> Value {
    json!({"choices": [{"index": 0, "text": text, "finish_reason": null}]})
}

fn last(reason: &str) -> Value {
    json!({"choices": [{"index": 0, "text": "", "finish_reason": reason}]})
}

fn response(text: &str) -> Value {
    json!({"response": text, "done": false})
}

fn last_response() -> Value {
    json!({"response": "", "done": true, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 2})
}

const WORDS: [&str; 3] = ["Crème ", "brûlée ", "€ 5 🍮"];

#[tokio::test]
async fn a_text_is_the_same_wherever_its_packets_are_cut() {
    let events = WORDS.map(|word| format!("data: {}\r\n\r\n", piece(word))).concat();
    let events = format!(": hello\r\n\r\n{events}data: {}\r\n\r\ndata: [DONE]\r\n\r\n", last("stop"));
    let lines = WORDS.map(|word| format!("{}\n", response(word))).concat();
    let lines = format!("{lines}\n{}\n", last_response());
    for packet_bytes in [1, 3, 7, 64, 100_000] {
        let packets = |text: &str| text.as_bytes().chunks(packet_bytes).map(bytes).collect::<Vec<_>>();
        for heard in heard_from_both(packets(&events), packets(&lines)).await {
            assert_eq!(heard.pieces, WORDS, "in packets of {packet_bytes}");
            assert_eq!(heard.end.unwrap().finish_reason, FinishReason::Stop);
        }
    }
}

#[tokio::test]
async fn where_the_provider_counts_its_count_holds_and_elsewhere_the_pieces_do() {
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 30}});
    let counted = [event(&piece("a")), event(&last("length")), event(&usage), done()];
    let [heard, ollama] = heard_from_both(counted, [line(&response("a")), line(&last_response())]).await;
    let end = heard.end.unwrap();
    assert_eq!((end.usage.prompt_tokens, end.usage.completion_tokens, end.finish_reason), (9, 30, FinishReason::Length));
    let end = ollama.end.unwrap();
    assert_eq!((end.usage.prompt_tokens, end.usage.completion_tokens), (3, 2));

    let uncounted = [event(&piece("a")), event(&piece("b")), event(&last("stop"))];
    let silent = json!({"response": "", "done": true});
    for heard in heard_from_both(uncounted, [line(&response("a")), line(&response("b")), line(&silent)]).await {
        assert_eq!(heard.completion_tokens, 2);
        let end = heard.end.unwrap();
        assert_eq!(end.usage.completion_tokens, 2);
        assert_eq!(end.usage.prompt_tokens, heard.start.unwrap().prompt_tokens, "the estimate stays");
    }
}

#[tokio::test]
async fn an_early_end_marker_ends_the_text_and_what_follows_it_is_nothing() {
    let early = [event(&piece("a")), done(), event(&piece("b"))];
    let heard = heard_from_both(early, [line(&last_response()), line(&response("b"))]).await;
    assert_eq!([heard[0].text(), heard[1].text()], ["a", ""]);
    assert!(heard.iter().all(|heard| heard.end.as_ref().unwrap().finish_reason == FinishReason::Stop));
}

#[tokio::test]
async fn a_text_that_a_filter_cut_ends_there() {
    let [heard, _] = heard_from_both([event(&piece("a")), event(&last("content_filter")), done()], []).await;
    assert_eq!((heard.text().as_str(), heard.end.unwrap().finish_reason), ("a", FinishReason::Stop));
}

#[tokio::test]
async fn what_a_model_thinks_is_counted_and_not_told() {
    let thought = json!({"choices": [{"delta": {"reasoning_content": "hm"}}]});
    let said = json!({"choices": [{"delta": {"content": "Yes"}}]});
    let thinks = json!({"message": {"role": "assistant", "content": "", "thinking": "hm"}});
    let says = json!({"message": {"role": "assistant", "content": "Yes"}});
    let end = json!({"message": {"role": "assistant", "content": ""}, "done": true});
    let openai_steps = vec![event_stream(), event(&thought), event(&said), event(&last("stop")), done()];
    let ollama_steps = vec![ndjson(), line(&thinks), line(&says), line(&end)];
    for (_server, model) in both(openai_steps, ollama_steps).await {
        let heard = generate(&model, chat("Is it?")).await;
        assert_eq!((heard.text().as_str(), heard.end.unwrap().usage.completion_tokens), ("Yes", 2));
    }
}

#[tokio::test]
async fn a_slow_provider_is_waited_for_as_long_as_it_says_something() {
    let pause = || Step::Pause(PATIENCE / 2);
    let slow = [pause(), event(&piece("a")), pause(), bytes(": still here\n\n"), pause(), event(&last("stop")), done()];
    let lines = [pause(), line(&response("a")), pause(), bytes("\n"), pause(), line(&last_response())];
    for heard in heard_from_both(slow, lines).await {
        assert_eq!(heard.text(), "a");
        heard.end.unwrap();
    }
}

#[tokio::test]
async fn a_provider_that_hangs_midway_is_given_up_and_keeps_what_it_said() {
    for (heard, provider) in heard_from_both([event(&piece("a")), Step::Hang], [line(&response("a")), Step::Hang])
        .await
        .into_iter()
        .zip(["openai", "ollama"])
    {
        assert_eq!(heard.text(), "a");
        assert_eq!(heard.problem(), format!("{provider} answered badly: it said nothing for 0.4 s"));
    }
}

#[tokio::test]
async fn a_provider_that_breaks_off_midway_is_noticed_however_it_does() {
    // The connection closes as at a good end; it closes before the length that was promised; it is reset.
    let promised = head("200 OK", "content-type: text/event-stream\r\ncontent-length: 5000\r\n");
    let closed = vec![event_stream(), event(&piece("a"))];
    let short = vec![promised.clone(), event(&piece("a"))];
    let reset = vec![promised, event(&piece("a")), Step::Pause(Duration::from_millis(50)), Step::Reset];
    let lines = vec![ndjson(), line(&response("a"))];
    for steps in [closed, short, reset] {
        for (_server, model) in both(steps, lines.clone()).await {
            let heard = generate(&model, text("Once")).await;
            assert_eq!(heard.text(), "a");
            assert!(matches!(heard.end, Err(GenerationError::ProviderFailed { .. })), "{:?}", heard.end);
        }
    }
}

#[tokio::test]
async fn garbage_is_an_error_that_does_not_repeat_it() {
    for garbage in ["my diary", "{\"response\": 7}", "{\"choices\": \"my diary\"}", "[my diary", "{\"response\": \"my diary"] {
        let openai_steps = [bytes(format!("data: {garbage}\n\n"))];
        for heard in heard_from_both(openai_steps, [bytes(format!("{garbage}\n"))]).await {
            assert!(heard.pieces.is_empty());
            assert!(matches!(heard.end, Err(GenerationError::ProviderFailed { .. })), "{garbage}: {:?}", heard.end);
            assert!(!heard.problem().contains("diary"), "{}", heard.problem());
        }
    }
    for heard in heard_from_both([bytes(b"data: \xff\xfe\n\n")], [bytes(b"\xff\xfe\n")]).await {
        assert!(heard.problem().contains("not UTF-8"), "{}", heard.problem());
    }
    // No answer at all, and one that is not HTTP.
    for steps in [vec![], vec![bytes("SSH-2.0-OpenSSH_9.6\r\n")]] {
        for (_server, model) in both(steps.clone(), steps).await {
            let heard = generate(&model, text("Once")).await;
            assert!(matches!(heard.end, Err(GenerationError::ProviderFailed { .. })), "{:?}", heard.end);
        }
    }
}

#[tokio::test]
async fn a_line_without_end_is_not_read_without_end() {
    let endless = || std::iter::repeat_n(bytes("x".repeat(200_000)), 12);
    let openai_steps = [bytes("data: ")].into_iter().chain(endless()).chain([Step::Hang]);
    for heard in heard_from_both(openai_steps, endless().chain([Step::Hang])).await {
        assert!(heard.problem().contains("has more than 10485"), "{}", heard.problem());
    }
}

#[tokio::test]
async fn a_stream_without_end_is_not_read_without_end() {
    // Twenty tokens were asked for; here come megabytes that are not even text.
    let endless = || std::iter::repeat_n(bytes(format!(": {}\n", "x".repeat(100_000))), 30);
    let blank = || std::iter::repeat_n(bytes("\n".repeat(100_000)), 30);
    for heard in heard_from_both(endless().chain([Step::Hang]), blank().chain([Step::Hang])).await {
        assert!(heard.problem().contains("far more than was asked for"), "{}", heard.problem());
    }
}

#[tokio::test]
async fn a_failure_that_is_told_inside_the_stream_ends_it() {
    let failure = json!({"error": {"message": "out of memory", "code": 500}});
    let lines = [line(&response("a")), line(&json!({"error": "out of memory"}))];
    for steps in [
        [event(&piece("a")), event(&failure)],
        [event(&piece("a")), bytes(format!("event: error\ndata: {failure}\n\n"))],
        [event(&piece("a")), bytes(format!("error: {}\n\n", failure["error"]))],
    ] {
        for heard in heard_from_both(steps, lines.clone()).await {
            assert_eq!(heard.text(), "a");
            assert!(heard.problem().ends_with("it failed midway: out of memory"), "{}", heard.problem());
        }
    }
}

#[tokio::test]
async fn dropping_the_stream_closes_the_connection() {
    let openai_steps = vec![event_stream(), event(&piece("a")), Step::Hang];
    for (server, model) in both(openai_steps, vec![ndjson(), line(&response("a")), Step::Hang]).await {
        let mut events = model.generate(text("Once")).await.unwrap();
        assert!(matches!(events.next().await, Some(Ok(TokenEvent::Started(_)))));
        assert!(matches!(events.next().await, Some(Ok(TokenEvent::Text { .. }))));
        drop(events);
        server.abandoned(1).await;
        server.idle().await;
    }
}

#[tokio::test]
async fn a_connection_serves_the_next_text_too() {
    let chunk = |text: &str| bytes(format!("{:x}\r\n{text}\r\n", text.len()));
    let chunked = bytes("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    // The end of the body comes in a packet of its own, when the text has long been told.
    let gate = Arc::new(Semaphore::new(0));
    let end = || [Step::Until(gate.clone()), bytes("0\r\n\r\n"), Step::KeepAlive];
    let openai_steps = [chunked.clone(), chunk(&format!("data: {}\n\n", last("stop"))), chunk("data: [DONE]\n\n")];
    let ollama_steps = [chunked, chunk(&format!("{}\n", last_response()))];
    let (openai_steps, ollama_steps) = (openai_steps.into_iter().chain(end()), ollama_steps.into_iter().chain(end()));
    for (server, model) in both(openai_steps.collect(), ollama_steps.collect()).await {
        let before = server.connections();
        for _ in 0..3 {
            generate(&model, text("Once")).await.end.unwrap();
            // Nobody waits for the end of a body that says nothing more, but the connection does.
            gate.add_permits(1);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(server.connections(), before + 1);
    }
}

#[tokio::test]
async fn giving_up_the_call_itself_closes_the_connection_too() {
    for (server, model) in both(vec![Step::Hang], vec![Step::Hang]).await {
        let before = server.requests().len();
        let call = tokio::spawn(async move { model.generate(text("Once")).await.map(|_| ()) });
        server.asked(before + 1).await;
        call.abort();
        server.abandoned(1).await;
        server.idle().await;
    }
}

#[tokio::test]
async fn a_text_runs_no_longer_than_its_deadline() {
    let server = ScriptedServer::start(|request: &Request| match request.line.as_str() {
        "POST /api/show" => answer("200 OK", &shown()),
        "GET /api/version" => answer("200 OK", &json!({"version": "0.13.5"})),
        "POST /api/generate" => {
            let word = [line(&response("a")), Step::Pause(Duration::from_millis(50))];
            [ndjson()].into_iter().chain(std::iter::repeat_n(word, 100).flatten()).collect()
        }
        _ => vec![Step::Hang],
    })
    .await;
    let mut config = support::config(&server.url);
    config.generation_timeout = Duration::from_millis(300);
    let providers = adapters_providers::Providers::new(config).unwrap();
    let midway = generate(&open(&providers, "ollama:phi4").await, text("Once")).await;
    assert!(midway.text().starts_with("aa"));
    let before = generate(&open(&providers, "openai:gpt-x").await, text("Once")).await;
    assert_eq!([midway.end, before.end], [Err(GenerationError::DeadlineExceeded), Err(GenerationError::DeadlineExceeded)]);
}

#[tokio::test]
async fn a_server_that_stops_lets_texts_end_and_then_cuts_them() {
    let server = ScriptedServer::start(|request: &Request| match request.body["prompt"].as_str() {
        Some("Short") => openai(request),
        _ => vec![event_stream(), event(&piece("a")), Step::Hang],
    })
    .await;
    let providers = Arc::new(providers(&server));
    let model = open(&providers, "openai:gpt-x").await;
    let (short, mut long) = (model.generate(text("Short")).await.unwrap(), model.generate(text("Long")).await.unwrap());
    assert!(matches!(long.next().await, Some(Ok(TokenEvent::Started(_)))));
    let stopping = tokio::spawn({
        let providers = Arc::clone(&providers);
        async move { providers.shutdown().await }
    });
    let (short, long) = tokio::join!(support::listen(short), support::listen(long));
    assert_eq!(short.end.unwrap().finish_reason, FinishReason::Stop);
    assert_eq!((long.text().as_str(), long.end), ("a", Err(GenerationError::ShuttingDown)));
    stopping.await.unwrap();
    assert_eq!(generate(&model, text("Late")).await.end, Err(GenerationError::ShuttingDown));
    server.idle().await;
}

#[tokio::test]
async fn probabilities_are_told_in_one_form_whoever_tells_them() {
    let euro = json!({"token": "€", "logprob": -0.5, "bytes": [226, 130, 172], "top_logprobs": [
        {"token": "$", "logprob": -1.5, "bytes": [36]}, {"token": "€", "logprob": -0.5, "bytes": null}, {"token": "£", "logprob": -3.0}]});
    let by_chat = json!({"choices": [{"delta": {"content": "€"}, "logprobs": {"content": [euro]}}]});
    let by_completions = json!({"choices": [{"text": "€", "logprobs": {
        "tokens": ["€"], "token_logprobs": [-0.5], "top_logprobs": [{"£": -3.0, "$": -1.5, "€": -0.5}]}}]});
    let by_ollama = json!({"response": "€", "logprobs": [euro], "done": false});
    let ask = |steps: Vec<Step>, lines: Vec<Step>| async move {
        let mut heard = Vec::new();
        for (server, model) in both(steps, lines).await {
            heard.push((
                generate(&model, ports::GenerationRequest { logprobs: Some(2), ..text("Once") }).await,
                server.requests(),
            ));
        }
        heard
    };
    for told in [by_chat, by_completions] {
        let steps = vec![event_stream(), event(&told), event(&last("stop")), done()];
        for (heard, requests) in ask(steps, vec![ndjson(), line(&by_ollama), line(&last_response())]).await {
            let told = &heard.logprobs[0];
            assert_eq!((told.token.as_slice(), told.logprob), ("€".as_bytes(), -0.5));
            assert_eq!(told.top, [("€".as_bytes().to_vec(), -0.5), (b"$".to_vec(), -1.5)]);
            let body = &requests.last().unwrap().body;
            assert!(
                body["logprobs"] == json!(2) || (body["logprobs"] == json!(true) && body["top_logprobs"] == json!(2)),
                "{body}"
            );
        }
    }
    // Whoever does not know the field ignores it: then the answer is not what was asked for.
    for (heard, _) in ask(vec![event_stream(), event(&piece("a"))], vec![ndjson(), line(&response("a"))]).await {
        assert_eq!(heard.end, Err(GenerationError::Unsupported { field: "logprobs" }));
    }
}

#[tokio::test]
async fn both_well_behaved_servers_tell_a_story() {
    let server = ScriptedServer::start(|request: &Request| match request.line.as_str() {
        line if line.contains("/api/") => ollama(request),
        _ => openai(request),
    })
    .await;
    let providers = providers(&server);
    for llm in ["openai:gpt-x", "ollama:phi4"] {
        let model = open(&providers, llm).await;
        for request in [text("Once"), chat("Tell me a story.")] {
            let heard = generate(&model, request).await;
            assert_eq!((heard.text().as_str(), heard.end.unwrap().usage.total_tokens()), (" there was a café in a town.", 12));
        }
    }
    let mut lines: Vec<String> = server.requests().into_iter().map(|request| request.line).collect();
    lines.retain(|line| line != "GET /api/version");
    assert_eq!(server.requests_to("GET /api/version").len(), 1);
    assert_eq!(
        lines,
        ["POST /v1/completions", "POST /v1/chat/completions", "POST /api/show", "POST /api/generate", "POST /api/chat"],
        "what a model is is asked once"
    );
}
