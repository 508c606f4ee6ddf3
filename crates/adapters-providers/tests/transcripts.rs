//! Streams as the providers that people have send them, field for field, wherever their packets are cut. See `transcripts/README.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::path::Path;

use domain::{FinishReason, TokenUsage};
use ports::GenerationRequest;
use serde_json::json;

use support::scripted_server::{Request, ScriptedServer, Step, answer, bytes, event_stream, ndjson, shown};
use support::{Heard, chat, generate, open, providers, text};

/// What is said when a file of this name is played, in packets of so many bytes, to this model.
async fn played(file: &str, packet_bytes: usize, llm: &str, request: GenerationRequest) -> Heard {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(file);
    let body = std::fs::read(path).unwrap();
    let head = if llm.starts_with("ollama:") { ndjson() } else { event_stream() };
    let steps: Vec<Step> = [head].into_iter().chain(body.chunks(packet_bytes).map(bytes)).collect();
    let server = ScriptedServer::start(move |request: &Request| match request.line.as_str() {
        "POST /api/show" => answer("200 OK", &shown()),
        "GET /api/version" => answer("200 OK", &json!({"version": "0.13.5"})),
        _ => steps.clone(),
    })
    .await;
    generate(&open(&providers(&server), llm).await, request).await
}

const PACKETS: [usize; 3] = [1, 100, 1_000_000];

const fn used(prompt_tokens: u32, completion_tokens: u32) -> TokenUsage {
    TokenUsage { prompt_tokens, completion_tokens }
}

#[tokio::test]
async fn every_servers_stream_is_told_with_its_own_counts() {
    const OPENAI: &str = "openai:gpt-4o-mini";
    const OLLAMA: &str = "ollama:llama3.2:1b";
    use FinishReason::{Length, Stop};
    for (file, llm, request, words, ends) in [
        ("openai_chat.sse", OPENAI, chat("Order."), "Two crème brûlées.", (Stop, used(19, 4))),
        ("openai_completions.sse", OPENAI, text("Once upon a time"), " there was a king", (Length, used(4, 4))),
        ("vllm_chat.sse", OPENAI, chat("Ein Märchen."), "Es war einmal", (Stop, used(30, 5))),
        ("vllm_chat_reasoning.sse", OPENAI, chat("Hello"), "\n\nHello!", (Stop, used(12, 9))),
        ("vllm_completions.sse", OPENAI, text("Once upon a time"), " there was", (Length, used(4, 2))),
        ("llama_cpp_chat.sse", OPENAI, chat("Greet."), "Hello 🌍!", (Stop, used(12, 4))),
        ("llama_cpp_completions.sse", OPENAI, text("Once upon a time"), " there was", (Length, used(5, 2))),
        ("ollama_chat.ndjson", OLLAMA, chat("Compare."), "3 < 5 🦙", (Stop, used(26, 5))),
        ("ollama_chat_thinking.ndjson", OLLAMA, chat("Hello"), "Hi!", (Stop, used(11, 6))),
        ("ollama_generate.ndjson", OLLAMA, text("Once upon a time"), " there was", (Length, used(4, 2))),
    ] {
        for packet_bytes in PACKETS {
            let heard = played(file, packet_bytes, llm, request.clone()).await;
            assert_eq!(heard.text(), words, "{file} in packets of {packet_bytes}");
            let end = heard.end.unwrap();
            assert_eq!((end.finish_reason, end.usage), ends, "{file} in packets of {packet_bytes}");
        }
    }
}

#[tokio::test]
async fn probabilities_are_told_token_by_token() {
    for (file, request, expected) in [
        ("openai_chat_logprobs.sse", chat("Is it?"), [("Yes", -0.12, "No"), (".", -0.5, "!")]),
        ("vllm_completions.sse", text("Once upon a time"), [(" there", -0.25, " a"), (" was", -0.75, " lived")]),
    ] {
        let request = GenerationRequest { logprobs: Some(2), ..request };
        let heard = played(file, 7, "openai:gpt-4o-mini", request).await;
        let told: Vec<_> =
            heard.logprobs.iter().map(|token| (token.token.as_slice(), token.logprob, token.top[1].0.as_slice())).collect();
        assert_eq!(told, expected.map(|(token, logprob, other)| (token.as_bytes(), logprob, other.as_bytes())), "{file}");
    }
}

#[tokio::test]
async fn a_failure_midway_is_told_after_what_was_said() {
    for packet_bytes in PACKETS {
        let heard = played("llama_cpp_error_midway.sse", packet_bytes, "openai:m", text("Once upon a time")).await;
        assert_eq!(heard.text(), " there");
        assert!(heard.problem().contains("Context size has been exceeded."), "{}", heard.problem());
    }
}
