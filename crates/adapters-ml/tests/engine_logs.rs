//! What is logged of a generation carries the identifiers of its request, although another thread logs it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod text_generator_contract;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use adapters_ml::text::engine_config::EngineConfig;
use adapters_ml::text::local_models::{LocalModels, LocalModelsConfig};
use adapters_ml::text::model::ModelOptions;
use domain::LlmId;
use ports::LanguageModels;
use serde_json::Value;
use text_generator_contract::{collect, request};
use tracing::{Instrument, info_span};

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_generation_is_logged_once_and_under_the_request_that_asked_for_it() {
    tracing_subscriber::fmt().json().flatten_event(true).with_writer(|| Lines).init();
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
    // Different lengths tell whose line is whose.
    let generations = (1..=4).map(|tokens: i64| {
        let span = info_span!("request", request_id = %format!("request-{tokens}"));
        let request = request("Once upon a time", |r| r.max_new_tokens = Some(tokens));
        async { collect(&generator, request).await }.instrument(span)
    });
    futures_util::future::join_all(generations).await;
    models.shutdown().await;
    let log = String::from_utf8(LOG.lock().unwrap().clone()).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ends: Vec<(String, u64)> = lines
        .filter(|line| line["message"] == "generation ended")
        .map(|line| (line["span"]["request_id"].as_str().unwrap().to_owned(), line["completion_tokens"].as_u64().unwrap()))
        .collect();
    let expected: BTreeMap<String, u64> = (1..=4).map(|tokens| (format!("request-{tokens}"), tokens)).collect();
    assert_eq!((ends.len(), ends.into_iter().collect::<BTreeMap<_, _>>()), (4, expected), "{log}");
}
