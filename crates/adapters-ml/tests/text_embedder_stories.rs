//! The bundled model keeps the contract that every embedder keeps, whoever runs it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod model_support;

use std::sync::Arc;

use adapters_ml::text::engine_config::EngineConfig;
use adapters_ml::text::generator::{ModelIdentity, TextEngine};
use adapters_ml::text::model::{LoadedModel, Precision};
use model_support::{model_folder, options, runtime};
use test_support::contracts::text_embedder::Subject;

fn bundled(precision: Precision) -> Subject {
    runtime();
    let folder = model_folder("bundled");
    let model = LoadedModel::load(&folder, &options(precision)).unwrap();
    let identity = ModelIdentity { name: "bundled".into(), weights_digest: None, reproducible: true };
    Arc::new(TextEngine::start(Box::new(model), &folder, identity, &EngineConfig::default()).unwrap())
}

mod in_32_bits {
    use super::*;

    #[expect(clippy::unused_async, reason = "the stories wait for what they are told of")]
    async fn subject() -> Subject {
        bundled(Precision::Fp32)
    }

    test_support::text_embedder_contract!(subject);
}

mod in_8_bits {
    use super::*;

    #[expect(clippy::unused_async, reason = "the stories wait for what they are told of")]
    async fn subject() -> Subject {
        bundled(Precision::Int8)
    }

    test_support::text_embedder_contract!(subject);
}
