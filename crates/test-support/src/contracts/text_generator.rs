//! The stories of [`ports::TextGenerator`]. They say nothing of what is generated, only of how it is told.

use std::sync::Arc;

use domain::{FinishReason, LengthLimit, SamplingParameters};
use futures_util::StreamExt;
use ports::{Completion, GenerationError, GenerationRequest, GenerationStart, TextGenerator, TokenEvent};

use crate::builders::{a_generation_request, some_parameters};

/// The generator under test: one that makes text from any prompt, with room for a few dozen tokens.
pub type Subject = Arc<dyn TextGenerator>;

/// At most so many new tokens.
fn request(prompt: &str, max_new_tokens: u32) -> GenerationRequest {
    let parameters = SamplingParameters { length: LengthLimit::New(max_new_tokens), ..some_parameters() };
    GenerationRequest { parameters, ..a_generation_request(prompt) }
}

/// What a whole generation told.
struct Told {
    start: GenerationStart,
    text: String,
    end: Completion,
}

/// Listens to a generation that goes well, checking the order of its events.
async fn listen(generator: &Subject, request: GenerationRequest) -> Told {
    let mut events = generator.generate(request).await.unwrap();
    let (mut start, mut text, mut end, mut counted) = (None, String::new(), None, 0);
    while let Some(event) = events.next().await {
        assert!(end.is_none(), "nothing follows the end");
        match event.unwrap() {
            TokenEvent::Queued { .. } => assert!(start.is_none(), "it waits before it begins"),
            TokenEvent::Started(started) => assert!(start.replace(started).is_none(), "it begins once"),
            TokenEvent::Text { text: piece, completion_tokens, .. } => {
                assert!(start.is_some(), "it begins before its text");
                assert!(!piece.is_empty(), "a piece is never empty");
                assert!(completion_tokens >= counted && completion_tokens > 0, "tokens are counted up");
                counted = completion_tokens;
                text.push_str(&piece);
            }
            TokenEvent::Finished(completion) => end = Some(completion),
        }
    }
    let end = end.expect("a generation that goes well has an end");
    assert!(end.usage.completion_tokens >= counted);
    Told { start: start.expect("a generation begins"), text, end }
}

/// And all numbers fit each other.
pub async fn a_generation_begins_tells_its_text_and_ends(generator: &Subject) {
    let Told { start, text, end } = listen(generator, request("Once upon a time", 5)).await;
    assert!(start.prompt_tokens > 0);
    assert_eq!(end.usage.prompt_tokens, start.prompt_tokens);
    assert!((1..=5).contains(&start.max_new_tokens));
    assert!(end.usage.completion_tokens <= start.max_new_tokens);
    assert!(!text.is_empty() || end.finish_reason == FinishReason::Stop);
}

/// To the token.
pub async fn a_generation_ends_at_its_length(generator: &Subject) {
    let Told { end, .. } = listen(generator, request("Once upon a time", 1)).await;
    assert!(end.usage.completion_tokens <= 1);
    assert_ne!(end.finish_reason, FinishReason::Interrupted);
}

/// Where the generator promises it.
pub async fn the_same_request_tells_the_same_text(generator: &Subject) {
    if !generator.describe().reproducible {
        return;
    }
    let first = listen(generator, request("Había una vez", 12)).await;
    let second = listen(generator, request("Había una vez", 12)).await;
    assert_eq!((first.text, first.end), (second.text, second.end));
}

/// Before anything begins.
pub async fn a_prompt_that_leaves_no_room_is_refused_with_its_count(generator: &Subject) {
    let parameters = SamplingParameters { length: LengthLimit::Total(1), ..some_parameters() };
    let request = GenerationRequest { parameters, ..a_generation_request("one two three four") };
    match generator.generate(request).await {
        Err(GenerationError::PromptTooLong { prompt_tokens, limit, .. }) => {
            assert!(prompt_tokens >= 1);
            assert_eq!(limit, 1);
        }
        Err(other) => panic!("refused for another reason: {other}"),
        Ok(_) => panic!("there was no room for a single token"),
    }
}

/// Whoever goes away leaves the place to the next.
pub async fn a_dropped_stream_leaves_room_for_others(generator: &Subject) {
    for _ in 0..50 {
        let mut events = generator.generate(request("Once upon a time", 40)).await.unwrap();
        let _first_event = events.next().await;
    }
    listen(generator, request("Once upon a time", 5)).await;
}

/// Each with its own beginning and end.
pub async fn several_generations_run_beside_each_other(generator: &Subject) {
    let running: Vec<_> = (0..4)
        .map(|n| {
            let generator = Arc::clone(generator);
            tokio::spawn(async move { listen(&generator, request(&format!("Story number {n}"), 6)).await.end })
        })
        .collect();
    for generation in running {
        assert!(generation.await.unwrap().usage.completion_tokens <= 6);
    }
}

/// The same count that a generation reports.
pub async fn tokens_are_counted_as_a_generation_counts_them(generator: &Subject) {
    let request = request("Once upon a time", 1);
    let Some(counted) = generator.count_tokens(&request.input).await.unwrap() else { return };
    assert_eq!(listen(generator, request).await.start.prompt_tokens, counted);
}

/// Makes a test of every story, of what `$make` gives.
#[macro_export]
macro_rules! text_generator_contract {
    ($make:path) => {
        $crate::stories! {
            $make, text_generator,
            a_generation_begins_tells_its_text_and_ends,
            a_generation_ends_at_its_length,
            the_same_request_tells_the_same_text,
            a_prompt_that_leaves_no_room_is_refused_with_its_count,
            a_dropped_stream_leaves_room_for_others,
            several_generations_run_beside_each_other,
            tokens_are_counted_as_a_generation_counts_them,
        }
    };
}
