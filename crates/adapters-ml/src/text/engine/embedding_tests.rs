//! Requests for embeddings against a fake model and the bundled tokenizer.

use domain::Prompt;
use futures_util::StreamExt;
use ports::{EmbeddingInput, EmbeddingRequest, TextEmbedder, TextGenerator};

use super::tests::{engine, engine_with, events, expected, long, owner, request, text_of, tokenizer, wait_until};
use super::*;
use crate::text::fake_model::FakeModel;

fn embedding(texts: &[&str], number: u128) -> EmbeddingRequest {
    let text = |text: &&str| EmbeddingInput::Text(Prompt::new(*text, 100_000).unwrap());
    EmbeddingRequest::new(texts.iter().map(text).collect(), owner(number))
}

/// What the fake model's hidden states give.
#[expect(clippy::cast_possible_truncation, reason = "what is told are 32-bit numbers")]
fn expected_vector(tokens: &[u32]) -> Vec<f32> {
    let mut sums = vec![0.0; FakeModel::hidden_state_after(&tokens[..1]).len()];
    for end in 1..=tokens.len() {
        let state = FakeModel::hidden_state_after(&tokens[..end]);
        sums.iter_mut().zip(state).for_each(|(sum, value)| *sum += f64::from(value));
    }
    let length = sums.iter().map(|sum| sum * sum).sum::<f64>().sqrt();
    sums.iter().map(|sum| (sum / length) as f32).collect()
}

fn is_near(left: &[f32], right: &[f32]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| (left - right).abs() < 1e-6)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vectors_come_in_the_order_of_their_inputs_whatever_else_runs() {
    let engine = Arc::new(engine());
    let text = {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move { text_of(&events(&engine, request("The king", |r| r.max_new_tokens = Some(100))).await) })
    };
    let long = "wolf ".repeat(200);
    let texts = ["Once upon a time", "a", &long, "Once upon a time"];
    for number in 0..5 {
        let made = engine.embed(embedding(&texts, number)).await.unwrap();
        let tokens: Vec<_> = texts.iter().map(|text| tokenizer().encode(text).unwrap()).collect();
        assert_eq!(made.prompt_tokens as usize, tokens.iter().map(Vec::len).sum::<usize>());
        for (vector, tokens) in made.vectors.iter().zip(&tokens) {
            assert!(is_near(vector, &expected_vector(tokens)), "{vector:?}");
        }
        assert_eq!(made.vectors[0], made.vectors[3], "to the last bit");
    }
    assert_eq!(text.await.unwrap(), expected("The king", 100), "and change no text");
}

#[tokio::test]
async fn what_the_model_cannot_read_whole_is_refused_before_anything_is_read() {
    let engine = engine();
    let long = "wolf ".repeat(400);
    let prompt_tokens = u32::try_from(tokenizer().encode(&long).unwrap().len()).unwrap();
    let refusal = engine.embed(embedding(&["fine", &long], 1)).await.unwrap_err();
    assert_eq!(refusal, GenerationError::PromptTooLong { prompt_tokens, limit: 256, context_length: 256 });
    let of_tokens = |tokens: Vec<u32>| EmbeddingRequest::new(vec![EmbeddingInput::Tokens(tokens)], owner(1));
    assert!(matches!(engine.embed(of_tokens(vec![1, 2048])).await, Err(GenerationError::InputRefused(p)) if p.contains("2048")));
    assert!(matches!(engine.embed(of_tokens(vec![])).await, Err(GenerationError::InputRefused(_))));
    assert!(matches!(engine.embed(embedding(&[], 1)).await, Err(GenerationError::InputRefused(_))));
    let shorter = EmbeddingRequest { dimensions: Some(4), ..embedding(&["fine"], 1) };
    assert_eq!(engine.embed(shorter).await, Err(GenerationError::Unsupported { field: "dimensions" }));
    let just_as_wide = EmbeddingRequest { dimensions: Some(8), ..embedding(&["fine"], 1) };
    assert_eq!(engine.embed(just_as_wide).await.unwrap().vectors[0].len(), 8);
    let whole_context = engine.embed(of_tokens(vec![7; 256])).await.unwrap();
    assert!(is_near(&whole_context.vectors[0], &expected_vector(&[7; 256])), "an input may fill the context");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_embedding_frees_its_place_for_who_waits() {
    let config = EngineConfig {
        max_running_per_user: 1,
        prefill_chunk_tokens: 16,
        idle_prefill_chunk_tokens: 16,
        ..EngineConfig::default()
    };
    let mut calls = Arc::default();
    let engine = Arc::new(engine_with(&config, |model| {
        model.step_time = Duration::from_millis(10);
        calls = Arc::clone(&model.calls);
    }));
    let endless = ["wolf ".repeat(120); 1].map(|text| vec![text; 100]).concat();
    let inputs: Vec<&str> = endless.iter().map(String::as_str).collect();
    let running = tokio::time::timeout(Duration::from_millis(100), engine.embed(embedding(&inputs, 1))).await;
    assert!(running.is_err(), "it was still running");
    wait_until("nothing is there", || engine.idle_for().is_some()).await;
    let before = calls.load(Ordering::Relaxed);
    assert!(before > 0);
    engine.embed(embedding(&["after"], 1)).await.unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), before + 1, "nothing more was read of what nobody waits for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedding_waits_in_the_same_queue_and_has_the_same_deadlines_as_a_text() {
    let config = EngineConfig {
        max_queued_generations: 4,
        max_running_per_user: 1,
        queue_timeout: Duration::from_millis(50),
        ..EngineConfig::default()
    };
    let engine = Arc::new(engine_with(&config, |model| model.step_time = Duration::from_millis(20)));
    let mut running = engine.generate(long("a")).await.unwrap();
    running.next().await;
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move { engine.embed(embedding(&["b"], 1)).await })
        })
        .collect();
    wait_until("its owner's half of the queue is full", || TextEmbedder::admits(&*engine, owner(1)).is_err()).await;
    let refusal = engine.embed(embedding(&["c"], 1)).await.unwrap_err();
    assert!(matches!(refusal, GenerationError::Overloaded { .. }), "{refusal:?}");
    assert!(engine.embed(embedding(&["d"], 2)).await.is_ok(), "another owner has a place");
    for embedding in waiting {
        assert_eq!(embedding.await.unwrap(), Err(GenerationError::DeadlineExceeded));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedding_ends_with_an_error_when_a_step_fails_or_the_engine_does() {
    let poison = tokenizer().encode("§").unwrap()[0];
    let engine = engine_with(&EngineConfig::default(), |model| model.failing_token = Some(poison));
    let failed = engine.embed(embedding(&["fine", "a § b"], 1)).await.unwrap_err();
    assert!(matches!(failed, GenerationError::Failed(_)), "{failed:?}");
    assert!(engine.embed(embedding(&["fine"], 1)).await.is_ok());

    let engine = engine_with(&EngineConfig::default(), |model| model.panicking_token = Some(poison));
    assert!(engine.embed(embedding(&["a § b"], 1)).await.is_err());
    wait_until("the engine says that it broke down", || engine.why_ended().is_some()).await;
    let refusal = engine.embed(embedding(&["fine"], 1)).await.unwrap_err();
    assert!(matches!(refusal, GenerationError::ModelUnavailable(_)), "{refusal:?}");

    let config =
        EngineConfig { shutdown_grace: Duration::from_millis(50), idle_prefill_chunk_tokens: 16, ..EngineConfig::default() };
    let engine = engine_with(&config, |model| model.step_time = Duration::from_millis(20));
    let long = "wolf ".repeat(200);
    let (cut, ()) = tokio::join!(engine.embed(embedding(&[long.as_str(); 50], 1)), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        engine.shutdown().await;
    });
    assert_eq!(cut, Err(GenerationError::ShuttingDown));
    assert_eq!(engine.embed(embedding(&["late"], 1)).await, Err(GenerationError::ShuttingDown));
}
