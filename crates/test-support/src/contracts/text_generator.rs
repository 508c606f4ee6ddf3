//! The stories of [`ports::TextGenerator`]. They say nothing of what is generated, only of how it is told.

use std::sync::Arc;

use domain::{ChatMessage, ChatRole, FinishReason, LengthLimit, SamplingParameters};
use futures_util::StreamExt;
use ports::{
    Completion, GenerationError, GenerationInput, GenerationRequest, GenerationStart, TextGenerator, TokenEvent, TokenLogprob,
    Truncation,
};

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
    let request = request("Once upon a time", 5);
    let counts = generator.count_tokens(&request.input).await.unwrap().is_some();
    let Told { start, text, end } = listen(generator, request).await;
    assert!(start.prompt_tokens > 0 && end.usage.prompt_tokens > 0);
    // Where nobody can count before the end, the beginning tells an estimate.
    assert!(!counts || end.usage.prompt_tokens == start.prompt_tokens);
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

/// Whatever form it gives the messages.
pub async fn a_conversation_is_answered(generator: &Subject) {
    let message = |role, content: &str| ChatMessage { role, content: content.to_owned() };
    let messages = vec![
        message(ChatRole::System, "Be brief."),
        message(ChatRole::User, "Who lives in the wood?"),
        message(ChatRole::Assistant, "The wolf."),
        message(ChatRole::User, "And who is afraid?"),
    ];
    let one_message = vec![message(ChatRole::User, "Who?")];
    let chat = |messages| GenerationRequest { input: GenerationInput::Chat(messages), ..request("instead of this", 5) };
    let Told { start, end, .. } = listen(generator, chat(messages)).await;
    assert!(end.usage.completion_tokens <= 5);
    let shorter = listen(generator, chat(one_message)).await;
    assert!(shorter.start.prompt_tokens <= start.prompt_tokens, "more messages are not fewer tokens");
}

/// Or refused by name, where nobody can tell them.
pub async fn the_tokens_are_told_with_their_probabilities(generator: &Subject) {
    let request = GenerationRequest { logprobs: Some(2), ..request("Once upon a time", 5) };
    let mut events = match generator.generate(request).await {
        Err(GenerationError::Unsupported { field: "logprobs" }) => return,
        other => other.unwrap(),
    };
    let (mut told, mut made) = (0, 0);
    while let Some(event) = events.next().await {
        if event == Err(GenerationError::Unsupported { field: "logprobs" }) {
            // Some learn it from the first answer.
            return;
        }
        match event.unwrap() {
            TokenEvent::Text { logprobs, .. } => {
                told += logprobs.len();
                for TokenLogprob { logprob, top, .. } in logprobs {
                    assert!(logprob <= 0.0 && top.len() <= 2, "{logprob} {top:?}");
                    assert!(top.is_sorted_by(|a, b| a.1 >= b.1), "the likeliest first: {top:?}");
                }
            }
            TokenEvent::Finished(end) => made = end.usage.completion_tokens as usize,
            TokenEvent::Queued { .. } | TokenEvent::Started(_) => {}
        }
    }
    assert!(told > 0 && told <= made, "{told} of {made} tokens");
}

/// And the room that the text asks for is left to it; where the generator knows its context and can cut.
pub async fn what_is_left_out_of_a_prompt_is_told(generator: &Subject) {
    let context_length = generator.describe().context_length;
    if !(1..=4096).contains(&context_length) {
        return;
    }
    let long = "a ".repeat(context_length as usize + 10);
    let request = GenerationRequest { truncation: Truncation::Oldest, ..request(&long, 4) };
    let Some(counted) = generator.count_tokens(&request.input).await.unwrap() else { return };
    let mut events = match generator.generate(request).await {
        Err(GenerationError::Unsupported { .. }) => return,
        other => other.unwrap(),
    };
    while let Some(event) = events.next().await {
        if let TokenEvent::Started(start) = event.unwrap() {
            assert_eq!(start.prompt_tokens + start.truncated_tokens, counted);
            assert!(start.truncated_tokens > 0 && start.max_new_tokens == 4);
            return;
        }
    }
    panic!("it never began");
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
            a_conversation_is_answered,
            the_tokens_are_told_with_their_probabilities,
            what_is_left_out_of_a_prompt_is_told,
        }
    };
}
