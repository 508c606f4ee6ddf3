//! Every metric that the engine's table documents exists, and no other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod text_generator_contract;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use adapters_ml::text::engine_config::EngineConfig;
use adapters_ml::text::local_models::{LocalModels, LocalModelsConfig};
use adapters_ml::text::model::ModelOptions;
use domain::LlmId;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use ports::LanguageModels;
use text_generator_contract::{collect, request};

/// Remembers which metrics were registered, as `name kind`.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<BTreeSet<String>>>);

impl Names {
    fn add(&self, key: &Key, kind: &str) {
        assert!(key.labels().any(|label| label.key() == "model"), "{} lacks the label `model`", key.name());
        self.0.lock().unwrap().insert(format!("{} {kind}", key.name()));
    }
}

impl Recorder for Names {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

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

/// The rows of the table at the top of `metrics.rs`.
fn documented() -> BTreeSet<String> {
    let rows = include_str!("../src/text/metrics.rs").lines().filter_map(|line| line.strip_prefix("//! | `"));
    rows.map(|row| {
        let (name, rest) = row.split_once("` | ").unwrap();
        format!("{name} {}", rest.split_once(' ').unwrap().0)
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_of_metrics_is_complete_and_true() {
    let names = Names::default();
    metrics::set_global_recorder(names.clone()).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let fetched = root.join(".cache/onnxruntime/lib/libonnxruntime.so.1.31.1");
    let models = LocalModels::new(LocalModelsConfig {
        bundled_folder: root.join("models"),
        onnxruntime_library: std::env::var_os("ORT_DYLIB_PATH").map_or(fetched, PathBuf::from),
        digest_cache: None,
        model: ModelOptions { intra_threads: 1, spin: false, ..ModelOptions::default() },
        engine: EngineConfig::default(),
    })
    .unwrap();
    let generator = models.open(&LlmId::Bundled("fairy-tales".to_owned())).await.unwrap();
    collect(&generator, request("Once upon a time", |_| {})).await;
    models.shutdown().await;
    assert_eq!(*names.0.lock().unwrap(), documented());
}
