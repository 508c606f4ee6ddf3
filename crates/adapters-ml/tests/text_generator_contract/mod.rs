//! What every `TextGenerator` must do, as its port's documentation says it.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::sync::Arc;
use std::time::Duration;

use domain::{FinishReason, ModelDefaults, Prompt, SamplingParameters, SamplingRequest, Seed, UserId};
use futures_util::StreamExt;
use ports::{GenerationError, GenerationInput, GenerationRequest, Owner, TextGenerator, TokenEvent};
use uuid::Uuid;

pub(crate) type Generator = Arc<dyn TextGenerator>;
pub(crate) type Events = Vec<Result<TokenEvent, GenerationError>>;

pub(crate) fn owner(number: u128) -> Owner {
    if number == 0 { Owner::Guests } else { Owner::User(UserId::new(Uuid::from_u128(number))) }
}

/// A request for 20 greedy tokens, changed as a test needs it.
pub(crate) fn request(prompt: &str, change: impl FnOnce(&mut SamplingRequest)) -> GenerationRequest {
    let mut sampling =
        SamplingRequest { max_new_tokens: Some(20), temperature: Some(0.0), seed: Some(1), ..SamplingRequest::default() };
    change(&mut sampling);
    let parameters = SamplingParameters::resolve(sampling, &ModelDefaults::default(), Seed::from_random_bits(0)).unwrap();
    GenerationRequest::new(GenerationInput::Text(Prompt::new(prompt, 1_000_000).unwrap()), parameters, owner(1))
}

pub(crate) async fn collect(generator: &Generator, request: GenerationRequest) -> Events {
    generator.generate(request).await.unwrap().collect().await
}

pub(crate) fn text_of(events: &Events) -> String {
    let texts = events.iter().filter_map(|event| match event {
        Ok(TokenEvent::Text { text, .. }) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

/// Runs the whole contract.
pub(crate) async fn holds_for(generator: &Generator) {
    events_come_in_order_and_the_end_comes_once(generator).await;
    no_piece_is_empty_and_characters_are_whole(generator).await;
    new_tokens_and_total_length_are_limits(generator).await;
    a_stop_string_is_cut_and_nothing_of_it_was_streamed(generator).await;
    the_same_seed_gives_the_same_text(generator).await;
    a_prompt_too_long_is_refused_with_its_figures(generator).await;
    dropping_a_stream_frees_its_place(generator).await;
    tokens_are_counted(generator).await;
}

async fn events_come_in_order_and_the_end_comes_once(generator: &Generator) {
    let events = collect(generator, request("Once upon a time", |_| {})).await;
    let count = |wanted: fn(&TokenEvent) -> bool| events.iter().filter(|event| event.as_ref().is_ok_and(wanted)).count();
    assert_eq!(count(|event| matches!(event, TokenEvent::Started(_))), 1);
    assert_eq!(count(|event| matches!(event, TokenEvent::Finished(_))), 1);
    assert!(matches!(events.last(), Some(Ok(TokenEvent::Finished(_)))));
    let before_start = events.iter().take_while(|event| !matches!(event, Ok(TokenEvent::Started(_))));
    assert!(before_start.into_iter().all(|event| matches!(event, Ok(TokenEvent::Queued { .. }))));
    let made: Vec<u32> = events
        .iter()
        .filter_map(|event| match event {
            Ok(TokenEvent::Text { completion_tokens, .. }) => Some(*completion_tokens),
            _ => None,
        })
        .collect();
    assert!(made.is_sorted() && made.iter().all(|made| (1..=20).contains(made)), "{made:?}");
}

async fn no_piece_is_empty_and_characters_are_whole(generator: &Generator) {
    let mut long = request("¿Qué hay en el país de las hadas? 🧚🏽 ", |r| {
        (r.max_new_tokens, r.temperature, r.top_p) = (Some(200), Some(2.0), Some(1.0));
    });
    long.parameters.seed = Seed::new(3).unwrap();
    let events = collect(generator, long).await;
    assert!(events.iter().all(|event| !matches!(event, Ok(TokenEvent::Text { text, .. }) if text.is_empty())));
    assert!(!text_of(&events).is_empty());
}

async fn new_tokens_and_total_length_are_limits(generator: &Generator) {
    for (new, total) in [(Some(1), None), (Some(7), None), (None, Some(12))] {
        let events = collect(generator, request("Once upon a time", |r| (r.max_new_tokens, r.max_length) = (new, total))).await;
        let Some(Ok(TokenEvent::Finished(completion))) = events.last() else { panic!("{events:?}") };
        assert_eq!(completion.finish_reason, FinishReason::Length);
        if let Some(new) = new {
            assert_eq!(i64::from(completion.usage.completion_tokens), new);
        }
        if let Some(total) = total {
            assert_eq!(i64::from(completion.usage.total_tokens()), total);
        }
    }
}

async fn a_stop_string_is_cut_and_nothing_of_it_was_streamed(generator: &Generator) {
    let whole = text_of(&collect(generator, request("The king said", |r| r.max_new_tokens = Some(40))).await);
    // Long enough to span tokens.
    let stop: String = whole.chars().skip(whole.chars().count() / 2).take(12).collect();
    let events =
        collect(generator, request("The king said", |r| (r.max_new_tokens, r.stop) = (Some(40), vec![stop.clone()]))).await;
    assert_eq!(text_of(&events), whole.split(&stop).next().unwrap());
    let Some(Ok(TokenEvent::Finished(completion))) = events.last() else { panic!("{events:?}") };
    assert_eq!(completion.finish_reason, FinishReason::Stop);
}

async fn the_same_seed_gives_the_same_text(generator: &Generator) {
    if !generator.describe().reproducible {
        return;
    }
    let seeded = |seed| {
        request("There was once a", |r| {
            (r.max_new_tokens, r.temperature, r.top_p, r.seed) = (Some(60), Some(1.0), Some(1.0), Some(seed));
        })
    };
    let first = text_of(&collect(generator, seeded(11)).await);
    assert_eq!(first, text_of(&collect(generator, seeded(11)).await));
    assert_ne!(first, text_of(&collect(generator, seeded(12)).await));
}

async fn a_prompt_too_long_is_refused_with_its_figures(generator: &Generator) {
    let context_length = generator.describe().context_length;
    let long = "wolf ".repeat(context_length as usize + 10);
    let counted = generator.count_tokens(&request(&long, |_| {}).input).await.unwrap().unwrap();
    let error = generator.generate(request(&long, |_| {})).await.err().unwrap();
    assert_eq!(error, GenerationError::PromptTooLong { prompt_tokens: counted, limit: context_length, context_length });
    let error = generator.generate(request("Once upon a time", |r| (r.max_new_tokens, r.max_length) = (None, Some(3)))).await;
    assert!(matches!(error.err(), Some(GenerationError::PromptTooLong { limit: 3, .. })));
}

async fn dropping_a_stream_frees_its_place(generator: &Generator) {
    for _ in 0..40 {
        let endless = request("Endless", |r| (r.max_new_tokens, r.temperature) = (Some(400), Some(1.5)));
        let mut stream = generator.generate(endless).await.unwrap();
        assert!(matches!(stream.next().await, Some(Ok(TokenEvent::Started(_)))));
    }
    // More than any user may run at once were begun and dropped, so if places leaked this one would wait for ever.
    let after = tokio::time::timeout(Duration::from_secs(20), collect(generator, request("After", |_| {}))).await.unwrap();
    assert!(matches!(after.last(), Some(Ok(TokenEvent::Finished(_)))));
}

async fn tokens_are_counted(generator: &Generator) {
    let count = async |text: &str| generator.count_tokens(&request(text, |_| {}).input).await.unwrap().unwrap();
    let (one, two) = (count("wolf").await, count("wolf wolf wolf").await);
    assert!(one < two);
}
