//! Loads and unloads a model again and again and prints what the process keeps in memory: unloading must give back what loading took.
//!
//! `residency FOLDER [int8|int4|fp32] [rounds]`. Each round opens the model, makes a short text, and waits until the model has gone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a tool, not the server")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use adapters_ml::text::engine_config::EngineConfig;
use adapters_ml::text::local_models::{LocalModels, LocalModelsConfig};
use adapters_ml::text::model::{ModelOptions, Precision};
use domain::{LlmId, ModelDefaults, Prompt, SamplingParameters, SamplingRequest, Seed};
use futures_util::StreamExt;
use ports::{GenerationInput, GenerationRequest, LanguageModels, Owner};

/// Resident memory, in MB, as Linux counts it.
fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line of resident memory");
    line.trim().split(' ').next().and_then(|kb| kb.parse::<u64>().ok()).expect("a number") / 1024
}

fn request() -> GenerationRequest {
    let sampling = SamplingRequest { max_new_tokens: Some(64), temperature: Some(0.0), ..SamplingRequest::default() };
    let parameters = SamplingParameters::resolve(sampling, &ModelDefaults::default(), Seed::from_random_bits(1)).unwrap();
    let prompt = Prompt::new("Once upon a time ".repeat(40), 10_000).unwrap();
    GenerationRequest::new(GenerationInput::Text(prompt), parameters, Owner::Guests)
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
    let rounds: u32 = arguments.next().map_or(4, |argument| argument.parse().expect("a number of rounds"));
    let library = std::env::var_os("ORT_DYLIB_PATH").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/onnxruntime/lib/libonnxruntime.so.1.31.1"),
        PathBuf::from,
    );
    let models = LocalModels::new(LocalModelsConfig {
        bundled_folder: folder.clone(),
        hub: None,
        onnxruntime_library: library,
        digest_cache: None,
        model: ModelOptions { precision, ..ModelOptions::default() },
        engine: EngineConfig::default(),
        idle_after: Some(Duration::from_millis(300)),
    })
    .expect("settings");
    let llm = LlmId::Folder(folder.display().to_string());
    println!("before anything: {} MB", resident_mb());
    for round in 1..=rounds {
        let generator = models.open(&llm).await.expect("a model");
        let loaded = resident_mb();
        generator.generate(request()).await.expect("a place").collect::<Vec<_>>().await;
        let used = resident_mb();
        drop(generator);
        while models.state(&llm).loaded {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        println!("round {round}: loaded {loaded} MB, after a text {used} MB, unloaded {} MB", resident_mb());
    }
    models.shutdown().await;
}
