//! Measures what the engine adds to a model's steps: scheduling, sampling, decoding text, handing it out.
//!
//! `cargo run --release -p adapters-ml --example engine_overhead -- TOKENIZER_FOLDER [vocabulary] [streams]`
//!
//! The model behind it costs nothing: it answers the same logits for every row.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a tool, not the server"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use adapters_ml::text::engine_config::EngineConfig;
use adapters_ml::text::generator::{ModelIdentity, TextEngine};
use adapters_ml::text::step_model::{Logits, StepError, StepModel, StepModelLimits};
use domain::{ModelDefaults, Prompt, SamplingParameters, SamplingRequest, Seed, UserId};
use futures_util::StreamExt;
use ports::{GenerationInput, GenerationRequest, Owner, TextGenerator};
use uuid::Uuid;

const TOKENS_EACH: usize = 400;

/// A name and the parameters it stands for.
type Kind = (&'static str, fn(&mut SamplingRequest));

struct FreeModel {
    limits: StepModelLimits,
    logits: Vec<f32>,
}

impl StepModel for FreeModel {
    fn limits(&self) -> StepModelLimits {
        self.limits
    }

    fn extend(&mut self, _: usize, _: usize, _: &[u32], rows: usize) -> Result<Logits<'_>, StepError> {
        Ok(Logits::new(&self.logits[..rows * self.limits.vocabulary], self.limits.vocabulary))
    }

    fn add_hidden_states(&mut self, _: usize, _: usize, _: &[u32], _: &mut [f64]) -> Result<(), StepError> {
        Ok(())
    }

    fn decode(&mut self, tokens: &[u32], _: &[usize]) -> Result<Logits<'_>, StepError> {
        Ok(Logits::new(&self.logits[..tokens.len() * self.limits.vocabulary], self.limits.vocabulary))
    }

    fn copy_slot(&mut self, _: usize, _: usize, _: usize) -> Result<(), StepError> {
        Ok(())
    }
}

/// Logits shaped like a language model's: a few likely tokens and a long tail.
fn logits(vocabulary: usize, rows: usize) -> Vec<f32> {
    let mut row: Vec<f32> = (0..vocabulary as u64)
        .map(|token| {
            let uniform = (token.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f32 / (1u64 << 24) as f32;
            -8.0 * uniform - 2.0 * uniform.max(1e-6).ln()
        })
        .collect();
    // The bundled tokenizer's end of text, which would end the measurement.
    row[0] = f32::NEG_INFINITY;
    row.repeat(rows)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().expect("a folder with a tokenizer"));
    let vocabulary = arguments.next().map_or(50_257, |argument| argument.parse().expect("a vocabulary"));
    let streams: usize = arguments.next().map_or(16, |argument| argument.parse().expect("a number of streams"));
    let kinds: [Kind; 5] = [
        ("greedy", |r| r.temperature = Some(0.0)),
        ("temperature 0.8", |r| (r.temperature, r.top_p) = (Some(0.8), Some(1.0))),
        ("top_p 0.95", |r| (r.temperature, r.top_p) = (Some(0.8), Some(0.95))),
        ("top_k 50", |r| (r.temperature, r.top_p, r.top_k) = (Some(0.8), Some(1.0), Some(50))),
        ("top_p, repetition", |r| (r.temperature, r.top_p, r.repetition_penalty) = (Some(0.8), Some(0.95), Some(1.2))),
    ];
    for (name, change) in kinds {
        let limits = StepModelLimits { slots: streams, context_length: 1024, vocabulary, width: 768 };
        let model = FreeModel { limits, logits: logits(vocabulary, streams) };
        let identity = ModelIdentity { name: "free".to_owned(), weights_digest: None, reproducible: true };
        let engine =
            Arc::new(TextEngine::start(Box::new(model), &folder, identity, &EngineConfig::default()).expect("an engine"));
        let begun = Instant::now();
        let tasks: Vec<_> = (0..streams)
            .map(|number| {
                let mut sampling =
                    SamplingRequest { max_new_tokens: i64::try_from(TOKENS_EACH).ok(), ..SamplingRequest::default() };
                change(&mut sampling);
                let seed = Seed::from_random_bits(number as u64);
                let input = GenerationInput::Text(Prompt::new("Once upon a time", 100).unwrap());
                let parameters = SamplingParameters::resolve(sampling, &ModelDefaults::default(), seed).unwrap();
                let request =
                    GenerationRequest::new(input, parameters, Owner::User(UserId::new(Uuid::from_u128(number as u128))));
                let engine = Arc::clone(&engine);
                tokio::spawn(async move { engine.generate(request).await.expect("a place").count().await })
            })
            .collect();
        for task in tasks {
            task.await.expect("a stream");
        }
        let tokens = (streams * TOKENS_EACH) as f64;
        println!("{name}: {:.1} µs a token", begun.elapsed().as_secs_f64() * 1e6 / tokens);
        engine.shutdown().await;
    }
}
