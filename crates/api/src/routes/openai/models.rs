//! Models, as OpenAI lists them.

use actix_web::{get, web};
use services::ModelService;

use super::{Answer, no_such_model};
use crate::dto::openai::{OpenAiModel, OpenAiModelList};
use crate::extractors::{Authenticated, PathName};

/// List the models, as OpenAI does.
#[utoipa::path(tag = "OpenAI-compatible", responses((status = 200, description = "All models", body = OpenAiModelList)))]
#[get("/v1/models")]
pub(super) async fn list(
    Authenticated(caller): Authenticated,
    models: web::Data<ModelService>,
) -> Answer<web::Json<OpenAiModelList>> {
    let models = models.list(&caller).await?;
    Ok(web::Json(models.into()))
}

/// Read a model, as OpenAI tells of it.
#[utoipa::path(tag = "OpenAI-compatible", params(("name" = String, Path, description = "The model; may contain `/`")), responses(
    (status = 200, description = "The model", body = OpenAiModel),
    (status = 404, description = "No such model (`model_not_found`)"),
))]
#[get("/v1/models/{name:.+}")]
pub(super) async fn read(
    Authenticated(caller): Authenticated,
    models: web::Data<ModelService>,
    name: PathName,
) -> Answer<web::Json<OpenAiModel>> {
    let models = models.list(&caller).await?;
    let model = models.into_iter().find(|view| view.model.name.as_str() == name.0);
    model.map(|view| web::Json(view.into())).ok_or_else(|| no_such_model(&name.0))
}
