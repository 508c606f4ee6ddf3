//! The engine against a fake model and the bundled tokenizer.

use std::path::Path;
use std::sync::OnceLock;

use domain::{FinishReason, ModelDefaults, Prompt, SamplingRequest, Seed, UserId};
use futures_util::StreamExt;
use ports::{GenerationInput, GenerationRequest, TextGenerator, TokenEvent};
use uuid::Uuid;

use super::*;
use crate::text::fake_model::FakeModel;
use crate::text::generator::{ModelIdentity, TextEngine};

const VOCABULARY: usize = 2048;
const CONTEXT: usize = 256;

fn folder() -> &'static Path {
    static FOLDER: OnceLock<std::path::PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/fairy-tales"))
}

pub(super) fn tokenizer() -> &'static TextTokenizer {
    static TOKENIZER: OnceLock<TextTokenizer> = OnceLock::new();
    TOKENIZER.get_or_init(|| TextTokenizer::load(folder(), VOCABULARY).unwrap())
}

pub(super) fn engine_with(config: &EngineConfig, change: impl FnOnce(&mut FakeModel)) -> TextEngine {
    let mut model = FakeModel::new(4, CONTEXT, VOCABULARY);
    change(&mut model);
    let identity = ModelIdentity { name: "fake".into(), weights_digest: None, reproducible: true };
    TextEngine::start(Box::new(model), folder(), identity, config).unwrap()
}

pub(super) fn engine() -> TextEngine {
    engine_with(&EngineConfig::default(), |_| {})
}

pub(super) fn owner(number: u128) -> Owner {
    Owner::User(UserId::new(Uuid::from_u128(number)))
}

pub(super) fn request(prompt: &str, change: impl FnOnce(&mut SamplingRequest)) -> GenerationRequest {
    let mut sampling =
        SamplingRequest { max_new_tokens: Some(20), temperature: Some(0.0), seed: Some(1), ..SamplingRequest::default() };
    change(&mut sampling);
    let parameters = domain::SamplingParameters::resolve(sampling, &ModelDefaults::default(), Seed::from_random_bits(0)).unwrap();
    GenerationRequest::new(GenerationInput::Text(Prompt::new(prompt, 100_000).unwrap()), parameters, owner(1))
}

pub(super) fn long(prompt: &str) -> GenerationRequest {
    request(prompt, |r| (r.max_new_tokens, r.temperature) = (Some(200), Some(1.0)))
}

pub(super) type Events = Vec<Result<TokenEvent, GenerationError>>;

pub(super) async fn events(engine: &TextEngine, request: GenerationRequest) -> Events {
    engine.generate(request).await.unwrap().collect().await
}

pub(super) fn text_of(events: &[Result<TokenEvent, GenerationError>]) -> String {
    let texts = events.iter().filter_map(|event| match event {
        Ok(TokenEvent::Text { text, .. }) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

/// What the fake model says greedily, decoded at once.
pub(super) fn expected(prompt: &str, count: usize) -> String {
    let tokens = FakeModel::greedy(&tokenizer().encode(prompt).unwrap(), count, VOCABULARY);
    let end = tokens.iter().position(|token| tokenizer().is_end(*token)).unwrap_or(count);
    tokenizer().decode(&tokens[..end]).unwrap()
}

pub(super) async fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain until {what}");
}

#[tokio::test]
async fn a_generation_starts_once_gives_its_text_and_finishes_once() {
    let engine = engine();
    let events = events(&engine, request("Once upon a time", |_| {})).await;
    assert!(matches!(events.first(), Some(Ok(TokenEvent::Started(GenerationStart { max_new_tokens: 20, .. })))));
    let Some(Ok(TokenEvent::Finished(completion))) = events.last() else { panic!("{events:?}") };
    assert_eq!((completion.finish_reason, completion.usage.completion_tokens), (FinishReason::Length, 20));
    assert_eq!(text_of(&events), expected("Once upon a time", 20));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_each_get_the_text_they_would_get_alone() {
    let engine = Arc::new(engine());
    let tasks: Vec<_> = (0..40u32)
        .map(|number| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move {
                let prompt = format!("A tale of {} wolves", number % 7);
                let mut request = request(&prompt, |r| r.max_new_tokens = Some(10 + i64::from(number)));
                request.owner = owner(u128::from(number % 5));
                (prompt, 10 + number, text_of(&events(&engine, request).await))
            })
        })
        .collect();
    for task in tasks {
        let (prompt, count, text) = task.await.unwrap();
        assert_eq!(text, expected(&prompt, count as usize));
    }
}

#[tokio::test]
async fn a_stop_string_ends_the_text_and_is_cut_from_it() {
    let engine = engine();
    let whole = expected("The king", 20);
    let stop: String = whole.chars().skip(9).take(4).collect();
    let events = events(&engine, request("The king", |r| r.stop = vec![stop.clone()])).await;
    assert_eq!(text_of(&events), whole.split(&stop).next().unwrap());
    assert!(matches!(events.last(), Some(Ok(TokenEvent::Finished(c))) if c.finish_reason == FinishReason::Stop));
}

#[tokio::test]
async fn a_prompt_without_room_is_refused_with_the_figures() {
    let engine = engine();
    let refused = |request| async { engine.generate(request).await.err().unwrap() };
    let long_prompt = "wolf ".repeat(400);
    let prompt_tokens = u32::try_from(tokenizer().encode(&long_prompt).unwrap().len()).unwrap();
    let error = refused(request(&long_prompt, |_| {})).await;
    assert_eq!(error, GenerationError::PromptTooLong { prompt_tokens, limit: 256, context_length: 256 });
    let error = refused(request("Once upon a time", |r| (r.max_new_tokens, r.max_length) = (None, Some(2)))).await;
    assert!(matches!(error, GenerationError::PromptTooLong { limit: 2, context_length: 256, .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_stream_frees_its_place_for_who_waits() {
    let config = EngineConfig { max_running_per_user: 1, stream_buffer_events: 4, ..EngineConfig::default() };
    let engine = engine_with(&config, |_| {});
    // Nobody reads on, so this one keeps its place until it is dropped.
    let mut first = engine.generate(long("a")).await.unwrap();
    assert!(matches!(first.next().await, Some(Ok(TokenEvent::Started(_)))));
    let mut second = engine.generate(long("b")).await.unwrap();
    assert_eq!(second.next().await, Some(Ok(TokenEvent::Queued { position: 0 })));
    drop(first);
    assert!(matches!(second.next().await, Some(Ok(TokenEvent::Started(_)))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_at_once_and_one_owner_cannot_fill_it() {
    let config = EngineConfig { max_queued_generations: 4, max_running_per_user: 1, ..EngineConfig::default() };
    let engine = engine_with(&config, |model| model.step_time = Duration::from_millis(20));
    let mut running = engine.generate(long("a")).await.unwrap();
    running.next().await;
    let _waiting = [engine.generate(long("b")).await.unwrap(), engine.generate(long("c")).await.unwrap()];
    let refusal = engine.generate(long("d")).await.err().unwrap();
    assert!(matches!(refusal, GenerationError::Overloaded { retry_after_seconds: 1.. }), "{refusal:?}");
    let other = GenerationRequest { owner: owner(2), ..long("e") };
    assert!(engine.generate(other).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_does_not_read_holds_nobody_else_up_and_loses_nothing() {
    let engine = engine_with(&EngineConfig { stream_buffer_events: 4, ..EngineConfig::default() }, |_| {});
    let slow = engine.generate(request("A slow reader", |r| r.max_new_tokens = Some(60))).await.unwrap();
    for number in 0..5 {
        let prompt = format!("A quick reader {number}");
        assert_eq!(text_of(&events(&engine, request(&prompt, |_| {})).await), expected(&prompt, 20));
    }
    let events: Events = slow
        .then(|event| async {
            tokio::task::yield_now().await;
            event
        })
        .collect()
        .await;
    assert_eq!(text_of(&events), expected("A slow reader", 60));
    assert!(matches!(events.last(), Some(Ok(TokenEvent::Finished(_)))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_ends_a_wait_and_a_generation_alike() {
    let config = EngineConfig {
        generation_timeout: Duration::from_secs(1),
        queue_timeout: Duration::from_millis(50),
        max_running_per_user: 1,
        ..EngineConfig::default()
    };
    let engine = engine_with(&config, |model| model.step_time = Duration::from_millis(10));
    let runs = engine.generate(long("a")).await.unwrap();
    let waits = engine.generate(long("b")).await.unwrap();
    let (runs, waits): (Events, Events) = tokio::join!(runs.collect(), waits.collect());
    assert_eq!(waits.last(), Some(&Err(GenerationError::DeadlineExceeded)));
    assert!(!text_of(&runs).is_empty());
    assert_eq!(runs.last(), Some(&Err(GenerationError::DeadlineExceeded)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_short_texts_finish_cuts_long_ones_and_refuses_the_rest() {
    let config = EngineConfig { shutdown_grace: Duration::from_secs(1), max_running_per_user: 2, ..EngineConfig::default() };
    let engine = engine_with(&config, |model| model.step_time = Duration::from_millis(10));
    let mut short = engine.generate(request("short", |r| r.max_new_tokens = Some(5))).await.unwrap();
    let mut endless = engine.generate(long("endless")).await.unwrap();
    short.next().await;
    endless.next().await;
    let waits = engine.generate(long("waits")).await.unwrap();
    let (short, endless, waits, ()) =
        tokio::join!(short.collect::<Events>(), endless.collect::<Events>(), waits.collect::<Events>(), engine.shutdown());
    assert!(matches!(short.last(), Some(Ok(TokenEvent::Finished(c))) if c.finish_reason == FinishReason::Length));
    assert!(matches!(endless.last(), Some(Ok(TokenEvent::Finished(c))) if c.finish_reason == FinishReason::Interrupted));
    assert_eq!(waits.last(), Some(&Err(GenerationError::ShuttingDown)));
    assert_eq!(engine.generate(long("late")).await.err(), Some(GenerationError::ShuttingDown));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_step_ends_what_ran_and_the_next_request_is_served() {
    let poison = tokenizer().encode("§").unwrap()[0];
    let engine = engine_with(&EngineConfig::default(), |model| model.failing_token = Some(poison));
    for _ in 0..2 {
        let events = events(&engine, request("a § b", |_| {})).await;
        assert!(matches!(events.last(), Some(Err(GenerationError::Failed(_)))), "{events:?}");
    }
    assert_eq!(text_of(&events(&engine, request("fine", |_| {})).await), expected("fine", 20));
    assert_eq!(engine.why_ended(), None);
    for _ in 0..3 {
        events(&engine, request("a § b", |_| {})).await;
    }
    let refusal = engine.generate(request("fine", |_| {})).await.err().unwrap();
    assert!(matches!(refusal, GenerationError::ModelUnavailable(_)), "{refusal:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_the_thread_ends_every_stream_and_is_told_to_who_comes_later() {
    let poison = tokenizer().encode("§").unwrap()[0];
    let engine = engine_with(&EngineConfig::default(), |model| {
        model.panicking_token = Some(poison);
        model.step_time = Duration::from_millis(5);
    });
    let bystander = engine.generate(long("bystander")).await.unwrap();
    let culprit = engine.generate(long("a § b")).await.unwrap();
    let (bystander, culprit): (Events, Events) = tokio::join!(bystander.collect(), culprit.collect());
    assert!(matches!(bystander.last(), Some(Err(_))));
    assert!(matches!(culprit.last(), Some(Err(_))));
    wait_until("the engine says that it broke down", || engine.why_ended().is_some()).await;
    assert!(matches!(engine.generate(long("late")).await.err(), Some(GenerationError::ModelUnavailable(_))));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_engine_lets_its_streams_finish() {
    let engine = engine_with(&EngineConfig::default(), |model| model.step_time = Duration::from_millis(2));
    let stream = engine.generate(request("last words", |_| {})).await.unwrap();
    drop(engine);
    assert_eq!(text_of(&stream.collect::<Events>().await), expected("last words", 20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_saves_calls_and_changes_neither_greedy_nor_drawn_texts() {
    // Drawn from two tokens at a time, a text repeats itself here and there.
    for (temperature, top_k) in [(0.0, 0), (1.0, 2)] {
        let mut outcomes = Vec::new();
        for speculate in [false, true] {
            let mut calls = Arc::default();
            let config = EngineConfig { speculate, share_prefixes: false, ..EngineConfig::default() };
            let engine = engine_with(&config, |model| {
                model.memory_tokens = 1;
                calls = Arc::clone(&model.calls);
            });
            let mut texts = Vec::new();
            for seed in 0..6 {
                let events = events(
                    &engine,
                    request(&format!("The goose {seed} that laid golden eggs {seed}"), |r| {
                        (r.max_new_tokens, r.seed) = (Some(200), Some(seed));
                        (r.temperature, r.top_k) = (Some(temperature), Some(top_k));
                        r.stop = vec!["never".to_owned()];
                    }),
                )
                .await;
                texts.push((text_of(&events), events.last().cloned()));
            }
            outcomes.push((texts, calls.load(Ordering::Relaxed)));
        }
        assert_eq!(outcomes[0].0, outcomes[1].0, "temperature {temperature}");
        assert!(outcomes[1].1 < outcomes[0].1, "{} calls against {}", outcomes[1].1, outcomes[0].1);
    }
}

#[tokio::test]
async fn tokens_are_counted_as_the_model_counts_them() {
    let engine = engine();
    for text in ["Once upon a time", &"wolf ".repeat(1000)] {
        let expected = u32::try_from(tokenizer().encode(text).unwrap().len()).unwrap();
        assert_eq!(engine.count_tokens(&GenerationInput::Text(Prompt::new(text, 100_000).unwrap())).await, Ok(Some(expected)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_arrivals_and_drops_leave_nothing_behind() {
    use rand_chacha::rand_core::{Rng, SeedableRng};
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let engine = Arc::new(engine());
    let mut tasks = Vec::new();
    for number in 0..300u32 {
        let mut request =
            request(&format!("tale {}", number % 11), |r| r.max_new_tokens = Some(i64::from(random.next_u32() % 40 + 1)));
        request.owner = owner(u128::from(number % 6));
        let read = random.next_u32() % 30;
        let engine = Arc::clone(&engine);
        tasks.push(tokio::spawn(async move {
            let Ok(stream) = engine.generate(request).await else { return 0 };
            let ends = stream
                .take(read as usize)
                .filter(|event| std::future::ready(matches!(event, Ok(TokenEvent::Finished(_)) | Err(_))));
            ends.count().await
        }));
        if number % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    for task in tasks {
        assert!(task.await.unwrap() <= 1);
    }
    // All places are free: as many as fit can run at once again.
    let streams: Vec<_> = (0..3).map(|_| request("after", |_| {})).collect();
    for request in streams {
        assert_eq!(text_of(&events(&engine, request).await), expected("after", 20));
    }
}

/// The tokens that were reported, and how many tokens were made.
fn told_tokens(events: &Events) -> (Vec<u8>, u32, usize) {
    let (mut bytes, mut made, mut told) = (Vec::new(), 0, 0);
    for event in events.iter().flatten() {
        match event {
            TokenEvent::Text { logprobs, .. } => {
                bytes.extend(logprobs.iter().flat_map(|token| token.token.clone()));
                told += logprobs.len();
            }
            TokenEvent::Finished(end) => made = end.usage.completion_tokens,
            _ => {}
        }
    }
    (bytes, made, told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_gets_every_tokens_probability_with_the_text_it_belongs_to() {
    let engine = engine_with(&EngineConfig { stream_buffer_events: 4, ..EngineConfig::default() }, |_| {});
    let mut asked = request("A slow reader", |r| r.max_new_tokens = Some(60));
    asked.logprobs = Some(1);
    let slow = engine.generate(asked).await.unwrap();
    events(&engine, request("A quick reader", |_| {})).await;
    let events: Events = slow.collect().await;
    let (bytes, made, told) = told_tokens(&events);
    assert_eq!((String::from_utf8_lossy(&bytes).as_ref(), made as usize), (text_of(&events).as_str(), told));
}

#[tokio::test]
async fn text_that_was_held_back_brings_its_tokens_with_it_and_a_stop_string_is_not_cut_from_them() {
    let engine = engine();
    let asked = |stop: String| {
        let mut asked = request("The king", |r| r.stop = vec![stop]);
        asked.logprobs = Some(0);
        asked
    };
    let whole = expected("The king", 20);
    // Everything might be the beginning of the first of these: all is held back, to the end.
    let held = events(&engine, asked(format!("{whole}never"))).await;
    let (bytes, made, told) = told_tokens(&held);
    assert_eq!((String::from_utf8_lossy(&bytes).as_ref(), made as usize), (text_of(&held).as_str(), told));
    assert_eq!(held.iter().filter(|event| matches!(event, Ok(TokenEvent::Text { .. }))).count(), 1);
    let stop: String = whole.chars().skip(9).take(4).collect();
    let stopped = events(&engine, asked(stop)).await;
    let (bytes, _, told) = told_tokens(&stopped);
    assert!(told > 0 && String::from_utf8_lossy(&bytes).starts_with(&text_of(&stopped)));
}
