//! Every metric that the engine describes exists, and no other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod text_generator_contract;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use adapters_ml::text::engine_config::EngineConfig;
use adapters_ml::text::local_models::{LocalModels, LocalModelsConfig};
use adapters_ml::text::model::ModelOptions;
use domain::{LlmId, Prompt};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use ports::{EmbeddingInput, EmbeddingRequest, LanguageModels, Owner};
use text_generator_contract::{collect, request};

/// Remembers which metrics were registered and which were described, as `name kind`.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<BTreeSet<String>>>, Arc<Mutex<BTreeSet<String>>>);

impl Names {
    fn add(&self, key: &Key, kind: &str) {
        assert!(key.labels().any(|label| label.key() == "model"), "{} lacks the label `model`", key.name());
        self.0.lock().unwrap().insert(format!("{} {kind}", key.name()));
    }
}

impl Names {
    fn describe(&self, name: &KeyName, kind: &str, help: &str) {
        assert!(!help.is_empty());
        self.1.lock().unwrap().insert(format!("{} {kind}", name.as_str()));
    }
}

impl Recorder for Names {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, "counter", &help);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, "gauge", &help);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, "histogram", &help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.add(key, "counter");
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.add(key, "gauge");
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.add(key, "histogram");
        Histogram::noop()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_is_described_and_every_description_is_of_a_metric() {
    let names = Names::default();
    metrics::set_global_recorder(names.clone()).unwrap();
    adapters_ml::text::describe_metrics();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let fetched = root.join(".cache/onnxruntime/lib/libonnxruntime.so.1.31.1");
    let models = LocalModels::new(LocalModelsConfig {
        bundled_folder: root.join("models"),
        hub: None,
        onnxruntime_library: std::env::var_os("ORT_DYLIB_PATH").map_or(fetched, PathBuf::from),
        digest_cache: None,
        model: ModelOptions { intra_threads: 1, spin: false, ..ModelOptions::default() },
        engine: EngineConfig::default(),
        idle_after: None,
    })
    .unwrap();
    let generator = models.open(&LlmId::Bundled("fairy-tales".to_owned())).await.unwrap();
    collect(&generator, request("Once upon a time", |_| {})).await;
    let embedder = models.open_embedder(&LlmId::Bundled("fairy-tales".to_owned())).await.unwrap();
    let input = EmbeddingInput::Text(Prompt::new("Once upon a time", 100).unwrap());
    embedder.embed(EmbeddingRequest::new(vec![input], Owner::Guests)).await.unwrap();
    models.shutdown().await;
    assert_eq!(*names.0.lock().unwrap(), *names.1.lock().unwrap());
}
