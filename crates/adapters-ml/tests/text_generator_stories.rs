//! The bundled model keeps the contract that every generator keeps, whoever runs it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod model_support;

use std::sync::Arc;

use adapters_ml::text::engine_config::EngineConfig;
use adapters_ml::text::generator::{ModelIdentity, TextEngine};
use adapters_ml::text::model::{LoadedModel, Precision};
use model_support::{model_folder, options, runtime};
use test_support::contracts::text_generator::Subject;

/// The bundled model.
#[expect(clippy::unused_async, reason = "the stories wait for what they are told of")]
async fn bundled() -> Subject {
    runtime();
    let folder = model_folder("bundled");
    let model = LoadedModel::load(&folder, &options(Precision::Int8)).unwrap();
    let identity = ModelIdentity { name: "bundled".into(), weights_digest: None, reproducible: true };
    Arc::new(TextEngine::start(Box::new(model), &folder, identity, &EngineConfig::default()).unwrap())
}

test_support::text_generator_contract!(bundled);
