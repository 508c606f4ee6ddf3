//! The bundled model behind the engine: the contract of `TextGenerator`, and that a person's text depends on nobody else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod text_generator_contract;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use adapters_ml::text::engine_config::EngineConfig;
use adapters_ml::text::local_models::{LocalModels, LocalModelsConfig};
use adapters_ml::text::model::{ModelOptions, Precision};
use domain::LlmId;
use ports::{GenerationError, LanguageModels, LlmState};
use rstest::rstest;
use text_generator_contract::{collect, owner, request, text_of};

fn bundled_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models")
}

fn onnxruntime_library() -> PathBuf {
    let fetched = || bundled_folder().join("../.cache/onnxruntime/lib/libonnxruntime.so.1.31.1");
    std::env::var_os("ORT_DYLIB_PATH").map_or_else(fetched, PathBuf::from)
}

fn models_with(precision: Precision, engine: EngineConfig) -> LocalModels {
    let model = ModelOptions { precision, max_slots: 16, intra_threads: 1, spin: false, ..ModelOptions::default() };
    let config = LocalModelsConfig {
        bundled_folder: bundled_folder(),
        onnxruntime_library: onnxruntime_library(),
        digest_cache: None,
        model,
        engine,
    };
    LocalModels::new(config).unwrap()
}

fn bundled() -> LlmId {
    LlmId::Bundled("fairy-tales".to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bundled_model_keeps_the_contract() {
    let models = models_with(Precision::Auto, EngineConfig::default());
    let generator = models.open(&bundled()).await.unwrap();
    assert_eq!(generator.describe().weights_digest.map(|digest| digest.len()), Some(64));
    text_generator_contract::holds_for(&generator).await;
    models.shutdown().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_is_the_same_alone_and_among_strangers(#[values(Precision::Fp32, Precision::Int8)] precision: Precision) {
    let engine = EngineConfig { max_running_per_user: 4, prefill_chunk_tokens: 16, ..EngineConfig::default() };
    let models = models_with(precision, engine);
    let generator = models.open(&bundled()).await.unwrap();
    let tale = "Once upon a time there was a king who had three sons, and the eldest of them said: ";
    let make = |number: usize| {
        let prompt = [&tale.repeat(1 + number % 3), "Wolf! Wolf!", "The old woman and her goose"][number % 3].to_owned();
        let mut request = request(&prompt, |r| {
            (r.max_new_tokens, r.temperature, r.top_p) = (Some(40), Some(1.0), Some(0.95));
            r.seed = i64::try_from(number).ok();
        });
        request.owner = owner(number as u128 % 7);
        request
    };
    let mut alone = Vec::new();
    for number in 0..24 {
        alone.push(text_of(&collect(&generator, make(number)).await));
    }
    let crowd: Vec<_> = (0..24)
        .map(|number| {
            let (generator, request) = (Arc::clone(&generator), make(number));
            tokio::spawn(async move { text_of(&collect(&generator, request).await) })
        })
        .collect();
    for (alone, among) in alone.into_iter().zip(crowd) {
        assert_eq!(alone, among.await.unwrap());
    }
    models.shutdown().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_is_the_same_from_a_warm_cache_and_in_chunks_of_any_size(
    #[values(Precision::Fp32, Precision::Int8)] precision: Precision,
) {
    let plain = EngineConfig { share_prefixes: false, speculate: false, ..EngineConfig::default() };
    let small = EngineConfig { prefill_chunk_tokens: 16, idle_prefill_chunk_tokens: 17, ..EngineConfig::default() };
    let mut texts = Vec::new();
    for config in [plain, small, EngineConfig::default()] {
        let models = models_with(precision, config);
        let generator = models.open(&bundled()).await.unwrap();
        let mut conversation = "Once upon a time there lived a miller and his daughter, and the miller was poor.".to_owned();
        for turn in ["\nThen the king asked:", "\nAnd the daughter answered:", "\nSo they went on, and"] {
            conversation.push_str(turn);
            let request = request(&conversation, |r| (r.max_new_tokens, r.temperature) = (Some(50), Some(0.9)));
            conversation.push_str(&text_of(&collect(&generator, request).await));
        }
        texts.push(conversation);
    }
    assert_eq!(texts[0], texts[1]);
    assert_eq!(texts[0], texts[2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_is_loaded_once_however_many_ask_for_it() {
    let models = Arc::new(models_with(Precision::Auto, EngineConfig::default()));
    assert_eq!(models.state(&bundled()), LlmState::default());
    let asking: Vec<_> = (0..8)
        .map(|_| {
            let models = Arc::clone(&models);
            tokio::spawn(async move { models.open_engine(&bundled()).await.unwrap() })
        })
        .collect();
    // One that goes away at once stops nobody.
    let _ = tokio::time::timeout(std::time::Duration::ZERO, models.open_engine(&bundled())).await;
    let mut engines = Vec::new();
    for engine in asking {
        engines.push(engine.await.unwrap());
    }
    assert!(engines.iter().all(|engine| Arc::ptr_eq(engine, &engines[0])));
    assert_eq!(models.state(&bundled()), LlmState { loaded: true, context_length: Some(512) });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_failed_is_tried_again() {
    let models = models_with(Precision::Auto, EngineConfig::default());
    let folder = tempfile::tempdir().unwrap();
    let llm = LlmId::Folder(folder.path().join("model").to_str().unwrap().to_owned());
    let refusal = models.open(&llm).await.err().unwrap();
    let GenerationError::ModelUnavailable(problem) = refusal else { panic!("{refusal:?}") };
    assert!(problem.contains("config.json"), "{problem}");
    std::os::unix::fs::symlink(bundled_folder().join("fairy-tales"), folder.path().join("model")).unwrap();
    assert!(models.open(&llm).await.is_ok());
}

#[tokio::test]
async fn what_does_not_run_here_is_refused_by_name() {
    let models = models_with(Precision::Auto, EngineConfig::default());
    for name in ["gpt2", "openai:gpt-4o-mini", "ollama:llama3.1:8b"] {
        let refusal = models.open(&LlmId::parse(name).unwrap()).await.err().unwrap();
        assert!(matches!(&refusal, GenerationError::ModelUnavailable(problem) if problem.contains(name)), "{refusal:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_model_gets_only_the_memory_that_the_first_left() {
    let limit = 60 << 20;
    let model = ModelOptions { memory_bytes: limit, intra_threads: 1, spin: false, ..ModelOptions::default() };
    let engine = EngineConfig::default();
    let config = LocalModelsConfig {
        bundled_folder: bundled_folder(),
        onnxruntime_library: onnxruntime_library(),
        digest_cache: None,
        model,
        engine,
    };
    let models = LocalModels::new(config).unwrap();
    models.open(&bundled()).await.unwrap();
    let second = LlmId::Folder(bundled_folder().join("fairy-tales").to_str().unwrap().to_owned());
    let refusal = models.open(&second).await.err().unwrap().to_string();
    assert!(refusal.contains("are taken by other models"), "{refusal}");
}
