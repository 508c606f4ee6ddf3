//! Measures the engine without a server around it, for `bench/engine.sh`, which compares the two.
//!
//! `engine_alone FOLDER [int8|int4|fp32] [new_tokens]` reads a JSON list of prompts from its input, one for each stream. All are
//! generated at the same time, twice: the first time warms up, with other texts. The last line it prints is `{"tokens_per_second": …}`,
//! tokens made over the time from the first request to the end of the last.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a tool, not the server"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use adapters_ml::text::engine_config::EngineConfig;
use adapters_ml::text::generator::TextEngine;
use adapters_ml::text::local_models::{LocalModels, LocalModelsConfig};
use adapters_ml::text::model::{ModelOptions, Precision};
use domain::{LlmId, ModelDefaults, Prompt, SamplingParameters, SamplingRequest, Seed, UserId};
use futures_util::StreamExt;
use ports::{GenerationInput, GenerationRequest, Owner, TextGenerator, TokenEvent};
use uuid::Uuid;

const MAX_PROMPT_CHARACTERS: usize = 100_000;

fn request(prompt: &str, new_tokens: i64, user: u128) -> GenerationRequest {
    let greedy = SamplingRequest { max_new_tokens: Some(new_tokens), temperature: Some(0.0), ..SamplingRequest::default() };
    let input = GenerationInput::Text(Prompt::new(prompt, MAX_PROMPT_CHARACTERS).expect("a prompt"));
    let parameters =
        SamplingParameters::resolve(greedy, &ModelDefaults::default(), Seed::from_random_bits(1)).expect("parameters");
    GenerationRequest::new(input, parameters, Owner::User(UserId::new(Uuid::from_u128(user))))
}

/// Generates all texts at once and answers tokens a second.
async fn tokens_per_second(engine: &Arc<TextEngine>, prompts: Vec<String>, new_tokens: i64) -> f64 {
    let begun = Instant::now();
    let tasks: Vec<_> = prompts
        .into_iter()
        .zip(1..)
        .map(|(prompt, user)| {
            let engine = Arc::clone(engine);
            tokio::spawn(async move {
                let stream = engine.generate(request(&prompt, new_tokens, user)).await.expect("a place");
                match stream.collect::<Vec<_>>().await.pop() {
                    Some(Ok(TokenEvent::Finished(completion))) => u64::from(completion.usage.completion_tokens),
                    other => panic!("a stream ended with {other:?}"),
                }
            })
        })
        .collect();
    let mut tokens = 0;
    for task in tasks {
        tokens += task.await.expect("a stream");
    }
    tokens as f64 / begun.elapsed().as_secs_f64()
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = std::fs::canonicalize(arguments.next().expect("a model's folder")).expect("the folder");
    let precision = match arguments.next().as_deref() {
        Some("fp32") => Precision::Fp32,
        Some("int4") => Precision::Int4,
        _ => Precision::Int8,
    };
    let new_tokens = arguments.next().map_or(128, |argument| argument.parse().expect("a number of tokens"));
    let prompts: Vec<String> = serde_json::from_reader(std::io::stdin()).expect("a JSON list of prompts");
    let library = std::env::var_os("ORT_DYLIB_PATH").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/onnxruntime/lib/libonnxruntime.so.1.31.1"),
        PathBuf::from,
    );
    // As the server is set up for this benchmark: see `Tertulia` in bench/engine/systems.py.
    let models = LocalModels::new(LocalModelsConfig {
        bundled_folder: folder.clone(),
        hub: None,
        onnxruntime_library: library,
        digest_cache: None,
        model: ModelOptions { precision, spin: std::env::var("SPIN").as_deref() != Ok("false"), ..ModelOptions::default() },
        engine: EngineConfig { max_running_per_user: 64, max_queued_generations: 256, ..EngineConfig::default() },
        idle_after: None,
    })
    .expect("settings");
    let engine = models.open_engine(&LlmId::Folder(folder.display().to_string())).await.expect("a model");
    let other_texts = prompts.iter().map(|prompt| prompt.chars().rev().collect()).collect();
    tokens_per_second(&engine, other_texts, 16).await;
    println!("{{\"tokens_per_second\": {:.1}}}", tokens_per_second(&engine, prompts, new_tokens).await);
    models.shutdown().await;
}
