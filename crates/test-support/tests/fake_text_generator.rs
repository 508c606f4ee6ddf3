//! What the scripted generator offers beyond its port: a test can hold it back, make it fail, and see who still listens.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::time::Duration;

use domain::{FinishReason, LengthLimit, SamplingParameters};
use futures_util::{FutureExt, StreamExt};
use ports::{
    GenerationError, GenerationRequest, GenerationStart, GeneratorDescription, TextGenerator, TokenEvent, TokenLogprob,
    TokenStream, Truncation,
};
use test_support::builders::{a_generation_request, some_parameters};
use test_support::{FakeTextGenerator, Gate, Step};

fn text(text: &str) -> Step {
    Step::Text(text.to_owned())
}

async fn pieces(stream: TokenStream) -> Vec<String> {
    let told = |event| async move {
        match event {
            Ok(TokenEvent::Text { text, .. }) => Some(text),
            _ => None,
        }
    };
    stream.filter_map(told).collect().await
}

#[tokio::test]
async fn it_says_its_pieces_and_counts_them() {
    let generator = FakeTextGenerator::saying(["a", "b"]).finishing_with(FinishReason::Length);
    let events: Vec<_> = generator.generate(a_generation_request("one two")).await.unwrap().map(Result::unwrap).collect().await;
    assert_eq!(events[0], TokenEvent::Started(GenerationStart { prompt_tokens: 2, truncated_tokens: 0, max_new_tokens: 198 }));
    assert_eq!(events[1], TokenEvent::Text { text: "a".into(), completion_tokens: 1, logprobs: Vec::new() });
    assert_eq!(events[2], TokenEvent::Text { text: "b".into(), completion_tokens: 2, logprobs: Vec::new() });
    let TokenEvent::Finished(end) = &events[3] else { panic!("{events:?}") };
    assert_eq!((end.finish_reason, end.usage.total_tokens()), (FinishReason::Length, 4));
    assert_eq!(events.len(), 4);
}

#[tokio::test]
async fn it_is_cut_at_the_length_that_was_asked_for() {
    let generator = FakeTextGenerator::saying(["a", "b", "c"]);
    let parameters = SamplingParameters { length: LengthLimit::New(2), ..some_parameters() };
    let request = GenerationRequest { parameters, ..a_generation_request("x") };
    assert_eq!(pieces(generator.generate(request).await.unwrap()).await, ["a", "b"]);
}

#[tokio::test]
async fn it_waits_in_the_queue_before_it_begins() {
    let generator = FakeTextGenerator::following([Step::Queued(1), Step::Queued(0), text("a")]);
    let events: Vec<_> = generator.generate(a_generation_request("x")).await.unwrap().map(Result::unwrap).collect().await;
    assert_eq!(events[..2], [TokenEvent::Queued { position: 1 }, TokenEvent::Queued { position: 0 }]);
    assert!(matches!(events[2], TokenEvent::Started(_)));
}

#[tokio::test]
async fn a_gate_holds_it_back_until_it_is_let_through() {
    let gate = Gate::shut();
    let generator = FakeTextGenerator::following([text("a"), Step::Wait(gate.clone()), text("b")]);
    let mut stream = generator.generate(a_generation_request("x")).await.unwrap();
    stream.next().await;
    stream.next().await;
    assert!(stream.next().now_or_never().is_none(), "it waits");
    gate.let_one_through();
    assert!(matches!(stream.next().await, Some(Ok(TokenEvent::Text { text, .. })) if text == "b"));
}

#[tokio::test]
async fn a_dropped_stream_is_seen() {
    let generator = FakeTextGenerator::following([text("a"), Step::Sleep(Duration::from_hours(1))]);
    let mut dropped = generator.generate(a_generation_request("x")).await.unwrap();
    let kept = generator.generate(a_generation_request("y")).await.unwrap();
    assert_eq!(generator.open_streams(), 2);
    dropped.next().await;
    drop(dropped);
    assert_eq!((generator.open_streams(), generator.cancelled_streams()), (1, 1));
    drop(kept);
    assert_eq!((generator.open_streams(), generator.cancelled_streams()), (0, 2));
}

#[tokio::test]
async fn a_stream_that_ended_is_neither_open_nor_cancelled() {
    let generator = FakeTextGenerator::saying(["a"]);
    let stream = generator.generate(a_generation_request("x")).await.unwrap();
    assert_eq!(pieces(stream).await, ["a"]);
    assert_eq!((generator.open_streams(), generator.cancelled_streams()), (0, 0));
}

#[tokio::test]
async fn it_fails_where_the_script_says_and_nothing_follows() {
    let generator = FakeTextGenerator::following([text("a"), Step::Fail(GenerationError::DeadlineExceeded), text("b")]);
    let events: Vec<_> = generator.generate(a_generation_request("x")).await.unwrap().collect().await;
    assert_eq!(events.len(), 3);
    assert_eq!(events[2], Err(GenerationError::DeadlineExceeded));
    assert_eq!(generator.open_streams(), 0);
}

#[tokio::test]
async fn it_refuses_when_told_to_and_remembers_who_asked() {
    let generator = FakeTextGenerator::saying(["a"]);
    let overloaded = GenerationError::Overloaded { retry_after_seconds: 3 };
    generator.refuse_with(Some(overloaded.clone()));
    assert_eq!(generator.generate(a_generation_request("x")).await.err(), Some(overloaded));
    generator.refuse_with(None);
    assert!(generator.generate(a_generation_request("y")).await.is_ok());
    let inputs: Vec<_> = generator.requests().into_iter().map(|request| request.input).collect();
    assert_eq!(inputs, ["x", "y"].map(|prompt| a_generation_request(prompt).input));
}

#[tokio::test]
async fn it_leaves_out_the_oldest_words_of_a_prompt_that_does_not_fit_if_it_is_told_to() {
    let description = GeneratorDescription { context_length: 5, ..FakeTextGenerator::saying([]).describe() };
    let generator = FakeTextGenerator::saying(["a", "b", "c"]).described_as(description);
    let parameters = SamplingParameters { length: LengthLimit::New(2), ..some_parameters() };
    let request = GenerationRequest { parameters, ..a_generation_request("one two three four five six") };
    assert!(matches!(generator.generate(request.clone()).await, Err(GenerationError::PromptTooLong { prompt_tokens: 6, .. })));
    let mut stream = generator.generate(GenerationRequest { truncation: Truncation::Oldest, ..request }).await.unwrap();
    let start = GenerationStart { prompt_tokens: 3, truncated_tokens: 3, max_new_tokens: 2 };
    assert_eq!(stream.next().await, Some(Ok(TokenEvent::Started(start))));
}

#[tokio::test]
async fn it_tells_how_likely_its_tokens_were_if_it_is_asked() {
    let generator = FakeTextGenerator::saying(["a"]);
    let request = GenerationRequest { logprobs: Some(2), ..a_generation_request("x") };
    let events: Vec<_> = generator.generate(request).await.unwrap().map(Result::unwrap).collect().await;
    let TokenEvent::Text { logprobs, .. } = &events[1] else { panic!("{events:?}") };
    let top = vec![(b"a".to_vec(), -0.5), (b"~1".to_vec(), -1.5)];
    assert_eq!(*logprobs, [TokenLogprob { token: b"a".to_vec(), logprob: -0.5, top }]);
}
