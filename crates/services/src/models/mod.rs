//! Named models: which there are, and what applies where a request is silent.

mod defaults;
mod manage;
mod pull;

use std::sync::Arc;

use domain::{LlmId, ModelName, NamedModel};
use ports::{LanguageModels, LlmState, ModelStore, StoreError};

use crate::{AuditTrail, ServiceError};

pub use defaults::DefaultsChange;
pub use manage::ModelSpec;
pub use pull::{ModelPullService, PullPieces};

/// A model as one caller sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelView {
    /// The model, with the defaults that apply for the caller.
    pub model: NamedModel,
    /// What is known of it without loading it.
    pub state: LlmState,
    /// Whether it applies where a request names none.
    pub default: bool,
}

/// The use cases around named models.
#[derive(Clone)]
pub struct ModelService {
    store: Arc<dyn ModelStore>,
    language_models: Arc<dyn LanguageModels>,
    default_name: ModelName,
    audit: AuditTrail,
}

impl ModelService {
    /// Takes what it needs; `default_name` is the model that applies where a request names none.
    pub fn new(
        store: Arc<dyn ModelStore>,
        language_models: Arc<dyn LanguageModels>,
        default_name: ModelName,
        audit: AuditTrail,
    ) -> Self {
        Self { store, language_models, default_name, audit }
    }

    fn view(&self, model: NamedModel) -> ModelView {
        let state = self.language_models.state(&model.llm);
        let default = model.name == self.default_name;
        ModelView { model, state, default }
    }
}

/// A name from outside. One that could not be a name is no model's.
pub(crate) fn model_name(name: String) -> Result<ModelName, ServiceError> {
    ModelName::new(name.clone()).map_err(|_| ServiceError::ModelNotFound { name })
}

/// Reads a store's failure about the model `name`.
pub(crate) fn model_error(error: StoreError, name: &ModelName) -> ServiceError {
    match error {
        StoreError::NotFound => ServiceError::ModelNotFound { name: name.to_string() },
        StoreError::Conflict { .. } => ServiceError::ModelNameTaken { name: name.to_string() },
        other => ServiceError::Store(other),
    }
}

/// Reads an identifier that a setting or an admin gave.
fn llm_id(text: &str) -> Result<LlmId, ServiceError> {
    Ok(LlmId::parse(text)?)
}
