//! The bundled model behind the engine: the contract of `TextGenerator`, and that a person's text depends on nobody else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod text_generator_contract;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use adapters_ml::text::engine_config::EngineConfig;
use adapters_ml::text::local_models::{LocalModels, LocalModelsConfig};
use adapters_ml::text::model::{ModelOptions, Precision};
use domain::LlmId;
use futures_util::StreamExt;
use ports::{
    GenerationError, HubModel, LanguageModels, LlmState, ModelRepository, PullStream, RepositoryError, StoredModel, TokenEvent,
};
use rstest::rstest;
use text_generator_contract::{Events, collect, logprobs_of, owner, request, text_of};

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
        hub: None,
        onnxruntime_library: onnxruntime_library(),
        digest_cache: None,
        model,
        engine,
        idle_after: None,
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
async fn a_text_is_the_same_alone_and_among_strangers(
    #[values(Precision::Fp32, Precision::Int8, Precision::Int4)] precision: Precision,
) {
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
        request.logprobs = Some(2).filter(|_| number.is_multiple_of(2));
        request
    };
    let told = |events: &Events| (text_of(events), logprobs_of(events));
    let mut alone = Vec::new();
    for number in 0..24 {
        alone.push(told(&collect(&generator, make(number)).await));
    }
    let crowd: Vec<_> = (0..24)
        .map(|number| {
            let (generator, request) = (Arc::clone(&generator), make(number));
            tokio::spawn(async move { told(&collect(&generator, request).await) })
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
    #[values(Precision::Fp32, Precision::Int8, Precision::Int4)] precision: Precision,
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
        hub: None,
        onnxruntime_library: onnxruntime_library(),
        digest_cache: None,
        model,
        engine,
        idle_after: None,
    };
    let models = LocalModels::new(config).unwrap();
    let first = models.open(&bundled()).await.unwrap();
    let second = LlmId::Folder(bundled_folder().join("fairy-tales").to_str().unwrap().to_owned());
    let refusal = models.open(&second).await.err().unwrap().to_string();
    assert!(refusal.contains("are taken by models in use: bundled:fairy-tales ("), "{refusal}");
    // A generation uses its model too, although nobody holds the generator any more.
    let stream = first.generate(request("Endless", |r| r.max_new_tokens = Some(400))).await.unwrap();
    drop(first);
    assert!(models.open(&second).await.is_err());
    drop(stream);
    while models.open(&second).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let unloaded = LlmState { loaded: false, context_length: Some(512) };
    assert_eq!((models.state(&bundled()), models.state(&second).loaded), (unloaded, true));
    // And back again, the other way round.
    let first = models.open(&bundled()).await.unwrap();
    assert!(models.state(&bundled()).loaded && !models.state(&second).loaded);
    assert!(!text_of(&collect(&first, request("Once", |_| {})).await).is_empty());
    models.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_nobody_uses_goes_after_its_time_and_comes_back_when_it_is_asked_for() {
    let idle_after = Duration::from_millis(300);
    let config = LocalModelsConfig {
        bundled_folder: bundled_folder(),
        hub: None,
        onnxruntime_library: onnxruntime_library(),
        digest_cache: None,
        model: ModelOptions { intra_threads: 1, spin: false, max_slots: 2, ..ModelOptions::default() },
        engine: EngineConfig::default(),
        idle_after: Some(idle_after),
    };
    let models = LocalModels::new(config).unwrap();
    let generator = models.open(&bundled()).await.unwrap();
    let text = text_of(&collect(&generator, request("Once upon a time", |_| {})).await);
    tokio::time::sleep(3 * idle_after).await;
    assert!(models.state(&bundled()).loaded, "somebody holds it");
    drop(generator);
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while models.state(&bundled()).loaded {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("it is unloaded");
    assert_eq!(models.state(&bundled()).context_length, Some(512));
    let again = models.open(&bundled()).await.unwrap();
    assert_eq!(text_of(&collect(&again, request("Once upon a time", |_| {})).await), text);
    models.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_models_that_take_turns_in_one_place_fail_nobody_who_has_one() {
    let config = LocalModelsConfig {
        bundled_folder: bundled_folder(),
        hub: None,
        onnxruntime_library: onnxruntime_library(),
        digest_cache: None,
        // Room for one of them.
        model: ModelOptions { memory_bytes: 60 << 20, intra_threads: 1, spin: false, ..ModelOptions::default() },
        engine: EngineConfig::default(),
        idle_after: Some(Duration::from_millis(20)),
    };
    let models = Arc::new(LocalModels::new(config).unwrap());
    let other = LlmId::Folder(bundled_folder().join("fairy-tales").to_str().unwrap().to_owned());
    let visitors: Vec<_> = (0..8u64)
        .map(|visitor| {
            let models = Arc::clone(&models);
            let llm = if visitor % 2 == 0 { bundled() } else { other.clone() };
            tokio::spawn(async move {
                let mut served = 0;
                while served < 3 {
                    match models.open(&llm).await {
                        Ok(generator) => {
                            let stream = generator.generate(request("Once", |r| r.max_new_tokens = Some(5))).await.unwrap();
                            drop(generator);
                            assert!(matches!(stream.collect::<Events>().await.last(), Some(Ok(TokenEvent::Finished(_)))));
                            served += 1;
                        }
                        Err(GenerationError::ModelUnavailable(problem)) => assert!(problem.contains("in use"), "{problem}"),
                        Err(other) => panic!("{other}"),
                    }
                    tokio::time::sleep(Duration::from_millis(3 * visitor)).await;
                }
            })
        })
        .collect();
    for visitor in visitors {
        tokio::time::timeout(Duration::from_mins(1), visitor).await.expect("nobody waits for ever").unwrap();
    }
    models.shutdown().await;
    assert_eq!(models.open(&other).await.err(), Some(GenerationError::ShuttingDown));
}

/// A hub with one model, which lies in the bundled model's folder.
struct OneModel;

#[async_trait::async_trait]
impl ModelRepository for OneModel {
    async fn pull(&self, _: &HubModel) -> Result<PullStream, RepositoryError> {
        Err(RepositoryError::Unreachable("not in this test".to_owned()))
    }

    fn find(&self, model: &HubModel) -> Option<StoredModel> {
        let folder = bundled_folder().join("fairy-tales");
        let stored = StoredModel { model: model.clone(), commit: "0".repeat(40), folder, bytes: 1 };
        (model.repository == "org/tales").then_some(stored)
    }

    async fn list(&self) -> Result<Vec<StoredModel>, RepositoryError> {
        Ok(Vec::new())
    }

    async fn remove(&self, model: &HubModel) -> Result<(), RepositoryError> {
        Err(RepositoryError::NotFound(model.repository.clone()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_of_the_hub_runs_once_it_is_here_and_before_that_the_caller_is_told_how_to_fetch_it() {
    let config = LocalModelsConfig {
        bundled_folder: bundled_folder(),
        hub: Some(Arc::new(OneModel)),
        onnxruntime_library: onnxruntime_library(),
        digest_cache: None,
        model: ModelOptions { intra_threads: 1, spin: false, ..ModelOptions::default() },
        engine: EngineConfig::default(),
        idle_after: None,
    };
    let models = LocalModels::new(config).unwrap();
    let open = async |name: &str| models.open(&LlmId::parse(name).unwrap()).await;
    assert!(open("org/tales").await.is_ok());
    let GenerationError::ModelUnavailable(problem) = open("hf:org/other@v2").await.err().unwrap() else {
        panic!("it is not here")
    };
    assert_eq!(
        problem,
        "hf:org/other@v2 is not on this machine yet: `tertulia models pull hf:org/other@v2` or POST /models/pull fetches it"
    );
    models.shutdown().await;
}
