//! What every `TextGenerator` must do, as its port's documentation says it.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::sync::Arc;
use std::time::Duration;

use domain::{FinishReason, ModelDefaults, Prompt, SamplingParameters, SamplingRequest, Seed, UserId};
use futures_util::StreamExt;
use ports::{GenerationError, GenerationInput, GenerationRequest, Owner, TextGenerator, TokenEvent, Truncation};
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

/// A token, and the bits of its probability.
pub(crate) type TokenBits = (Vec<u8>, u32);

/// Every token that was reported, each with its alternatives, however the text was cut into events.
pub(crate) fn logprobs_of(events: &Events) -> Vec<(TokenBits, Vec<TokenBits>)> {
    let texts = events.iter().filter_map(|event| match event {
        Ok(TokenEvent::Text { logprobs, .. }) => Some(logprobs),
        _ => None,
    });
    let bits = |(token, logprob): &(Vec<u8>, f32)| (token.clone(), logprob.to_bits());
    texts.flatten().map(|l| (bits(&(l.token.clone(), l.logprob)), l.top.iter().map(bits).collect())).collect()
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
    the_tokens_of_a_text_are_told_with_their_probabilities(generator).await;
    a_bias_chooses_tokens_and_one_beyond_the_vocabulary_is_refused(generator).await;
    the_oldest_tokens_of_a_prompt_go_where_that_is_allowed(generator).await;
}

async fn the_tokens_of_a_text_are_told_with_their_probabilities(generator: &Generator) {
    for (temperature, stop) in [(0.0, vec![]), (1.0, vec!["zzz".to_owned()])] {
        let mut asked = request("The king said 🧚", |r| (r.temperature, r.stop) = (Some(temperature), stop.clone()));
        asked.logprobs = Some(3);
        let events = collect(generator, asked).await;
        let told: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Ok(TokenEvent::Text { logprobs, .. }) => Some(logprobs.clone()),
                _ => None,
            })
            .flatten()
            .collect();
        let bytes: Vec<u8> = told.iter().flat_map(|token| token.token.clone()).collect();
        assert_eq!(String::from_utf8_lossy(&bytes), text_of(&events), "the tokens are the text");
        for token in &told {
            assert!(token.logprob <= 0.0 && token.top.len() == 3);
            assert!(token.top.is_sorted_by(|a, b| a.1 >= b.1));
            assert!(token.top.iter().map(|(_, logprob)| logprob.exp()).sum::<f32>() <= 1.0 + 1e-5);
            assert!(temperature > 0.0 || (token.top[0].0 == token.token && (token.top[0].1 - token.logprob).abs() == 0.0));
        }
    }
    let silent = collect(generator, request("The king said", |_| {})).await;
    assert!(logprobs_of(&silent).is_empty());
}

async fn a_bias_chooses_tokens_and_one_beyond_the_vocabulary_is_refused(generator: &Generator) {
    let events = collect(generator, request("The king said", |r| r.logit_bias = [(40, 100.0)].into())).await;
    let (text, first) = (text_of(&events), text_of(&events).chars().next().unwrap());
    assert_eq!(text, String::from(first).repeat(20), "always the same token, also where the most likely one is taken");
    let refusal = generator.generate(request("The king said", |r| r.logit_bias = [(u32::MAX, 1.0)].into())).await.err();
    let names_both = |told: &str| told.contains("token 4294967295") && told.contains("0 to ");
    assert!(matches!(&refusal, Some(GenerationError::InputRefused(told)) if names_both(told)), "{refusal:?}");
}

async fn the_oldest_tokens_of_a_prompt_go_where_that_is_allowed(generator: &Generator) {
    let context_length = generator.describe().context_length;
    let (old, new) = ("wolf ".repeat(context_length as usize), "goose ".repeat(context_length as usize));
    let cut = async |prompt: &str| {
        let mut asked = request(prompt, |r| r.max_new_tokens = Some(20));
        asked.truncation = Truncation::Oldest;
        let events = collect(generator, asked).await;
        let start = events.iter().find_map(|event| match event {
            Ok(TokenEvent::Started(start)) => Some(*start),
            _ => None,
        });
        (start.unwrap(), text_of(&events))
    };
    let (start, text) = cut(&format!("{old}{new}")).await;
    assert_eq!((start.prompt_tokens, start.max_new_tokens), (context_length - 20, 20));
    let counted = generator.count_tokens(&request(&format!("{old}{new}"), |_| {}).input).await.unwrap().unwrap();
    assert_eq!(start.truncated_tokens, counted - start.prompt_tokens);
    // Only the newest were read: what went before them makes no difference.
    assert_eq!(text, cut(&format!("{old}{old}{new}")).await.1);
    assert_eq!(cut("Once upon a time").await.0.truncated_tokens, 0);
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
