//! Named models.

use domain::NamedModel;
use serde::{Deserialize, Serialize};
use services::{DefaultsChange, ModelSpec, ModelView};
use utoipa::ToSchema;

use super::integer;
use crate::ApiError;

/// A model that can be asked for, as its caller sees it.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelListItem {
    /// What it is asked for by.
    #[schema(example = "default")]
    name: String,
    /// What stands behind the name.
    #[schema(example = "bundled:fairy-tales")]
    llm: String,
    /// What runs it.
    #[schema(example = "onnxruntime")]
    backend: &'static str,
    /// The most tokens of prompt and text together; `null` where it is not known before the model is loaded.
    #[schema(example = 1024, required)]
    context_length: Option<u32>,
    /// Whether it can generate at once.
    loaded: bool,
    /// Whether it applies where a request names none.
    default: bool,
    /// The caller's own default.
    #[schema(example = 200)]
    max_length: u32,
    /// The caller's own default.
    #[schema(example = 0.8)]
    temperature: f64,
    /// The caller's own default.
    #[schema(example = 0.95)]
    top_p: f64,
}

impl From<ModelView> for ModelListItem {
    fn from(view: ModelView) -> Self {
        let ModelView { model, state, default } = view;
        Self {
            name: model.name.to_string(),
            llm: model.llm.to_string(),
            backend: model.llm.backend(),
            context_length: state.context_length,
            loaded: state.loaded,
            default,
            max_length: model.defaults.max_length,
            temperature: model.defaults.temperature,
            top_p: model.defaults.top_p,
        }
    }
}

/// All models, by name. There are few, so the list has one page.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelListResponse {
    /// The models.
    items: Vec<ModelListItem>,
    /// Always `null`.
    #[schema(required)]
    next_cursor: Option<String>,
}

impl From<Vec<ModelView>> for ModelListResponse {
    fn from(models: Vec<ModelView>) -> Self {
        Self { items: models.into_iter().map(Into::into).collect(), next_cursor: None }
    }
}

/// The caller's own defaults for a model.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DefaultsRequest {
    /// Which model; the default one if absent.
    #[schema(example = "default")]
    name: Option<String>,
    /// Total tokens, prompt included.
    #[schema(example = 120, minimum = 1, maximum = 1_048_576)]
    #[serde(deserialize_with = "integer::required")]
    max_length: i64,
    /// 0 always takes the most likely token.
    #[schema(example = 0.7, minimum = 0, maximum = 2)]
    temperature: f64,
    /// The smallest set of most likely tokens whose probabilities reach this sum is chosen from.
    #[schema(example = 0.9, minimum = 0, maximum = 1)]
    top_p: f64,
}

impl From<DefaultsRequest> for DefaultsChange {
    fn from(request: DefaultsRequest) -> Self {
        let DefaultsRequest { name, max_length, temperature, top_p } = request;
        Self { name, max_length, temperature, top_p }
    }
}

/// A model as an admin describes it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelRequest {
    /// The path's name, or when a model is changed, its new one.
    #[schema(example = "tales", max_length = 128)]
    name: Option<String>,
    /// What stands behind the name.
    #[schema(example = "bundled:fairy-tales", max_length = 512)]
    llm: String,
    /// Total tokens where a request and its user say nothing. Absent, it stays what it is; of a new model it is 200.
    #[schema(example = 200, minimum = 1, maximum = 1_048_576)]
    #[serde(default, deserialize_with = "integer::optional")]
    max_length: Option<i64>,
    /// What applies where a request and its user say nothing. Absent, it stays what it is; of a new model it is 0.8.
    #[schema(example = 0.8, minimum = 0, maximum = 2)]
    temperature: Option<f64>,
    /// What applies where a request and its user say nothing. Absent, it stays what it is; of a new model it is 0.95.
    #[schema(example = 0.95, minimum = 0, maximum = 1)]
    top_p: Option<f64>,
}

impl ModelRequest {
    /// The model to add under the path's name; the body may repeat that name and not contradict it.
    pub(crate) fn added_as(self, path_name: String) -> Result<ModelSpec, ApiError> {
        if self.name.as_ref().is_some_and(|name| *name != path_name) {
            return Err(domain::Refusal::field("name", "must be the name in the path").into());
        }
        Ok(self.under(path_name))
    }

    /// What the model of the path's name is to become; the body may give it a new name.
    pub(crate) fn replacing(mut self, path_name: &str) -> ModelSpec {
        let name = self.name.take().unwrap_or_else(|| path_name.to_owned());
        self.under(name)
    }

    fn under(self, name: String) -> ModelSpec {
        ModelSpec { name, llm: self.llm, max_length: self.max_length, temperature: self.temperature, top_p: self.top_p }
    }
}

/// A model with the defaults that were set.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelResponse {
    /// What it is asked for by.
    #[schema(example = "default")]
    name: String,
    /// What stands behind the name.
    #[schema(example = "bundled:fairy-tales")]
    llm: String,
    /// Total tokens, prompt included.
    #[schema(example = 120)]
    max_length: u32,
    /// 0–2.
    #[schema(example = 0.7)]
    temperature: f64,
    /// 0–1.
    #[schema(example = 0.9)]
    top_p: f64,
}

impl From<NamedModel> for ModelResponse {
    fn from(model: NamedModel) -> Self {
        Self {
            name: model.name.to_string(),
            llm: model.llm.to_string(),
            max_length: model.defaults.max_length,
            temperature: model.defaults.temperature,
            top_p: model.defaults.top_p,
        }
    }
}
