//! Models, as OpenAI lists them.

use serde::Serialize;
use services::ModelView;
use utoipa::ToSchema;

/// A model that can be asked for.
#[derive(Serialize, ToSchema)]
pub(crate) struct OpenAiModel {
    /// What it is asked for by.
    #[schema(example = "default")]
    id: String,
    /// Always `model`.
    #[schema(example = "model")]
    object: &'static str,
    /// Always 0: it is not kept.
    #[schema(example = 0)]
    created: i64,
    /// What runs it.
    #[schema(example = "onnxruntime")]
    owned_by: &'static str,
}

impl From<ModelView> for OpenAiModel {
    fn from(view: ModelView) -> Self {
        Self { id: view.model.name.to_string(), object: "model", created: 0, owned_by: view.model.llm.backend() }
    }
}

/// All models.
#[derive(Serialize, ToSchema)]
pub(crate) struct OpenAiModelList {
    /// Always `list`.
    #[schema(example = "list")]
    object: &'static str,
    /// The models, by name.
    data: Vec<OpenAiModel>,
}

impl From<Vec<ModelView>> for OpenAiModelList {
    fn from(models: Vec<ModelView>) -> Self {
        Self { object: "list", data: models.into_iter().map(Into::into).collect() }
    }
}
