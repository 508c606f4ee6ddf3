//! Named models, and the caller's own defaults for them.

use actix_web::{HttpResponse, delete, get, post, put, web};
use services::ModelService;
use utoipa_actix_web::service_config::ServiceConfig;

use super::Answer;
use crate::dto::{DefaultsRequest, ModelListResponse, ModelRequest, ModelResponse, NoQuery};
use crate::extractors::{Admin, Authenticated, JsonBody, PathName, Query};

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(list).service(set_defaults).service(add).service(replace).service(remove);
}

/// List the models, with the caller's own defaults.
#[utoipa::path(tag = "models", responses((status = 200, description = "All models", body = ModelListResponse)))]
#[get("/models")]
async fn list(
    Authenticated(caller): Authenticated,
    models: web::Data<ModelService>,
    _: Query<NoQuery>,
) -> Answer<web::Json<ModelListResponse>> {
    let models = models.list(&caller).await?;
    Ok(web::Json(models.into()))
}

/// Set one's own defaults for a model.
///
/// Nobody else's change.
#[utoipa::path(tag = "models", request_body = DefaultsRequest, responses(
    (status = 200, description = "The defaults as they are now", body = ModelResponse),
    (status = 400, description = "A value is out of range (E005, E006, E007)"),
    (status = 404, description = "No such model (E001)"),
))]
#[put("/models")]
async fn set_defaults(
    Authenticated(caller): Authenticated,
    models: web::Data<ModelService>,
    body: JsonBody<DefaultsRequest>,
) -> Answer<web::Json<ModelResponse>> {
    let model = models.set_defaults(&caller, body.0.into()).await?;
    Ok(web::Json(model.into()))
}

/// Add a model.
///
/// It is loaded when it is first asked for.
#[utoipa::path(tag = "models", params(("name" = String, Path, description = "What it is to be asked for by; may contain `/`")), request_body = ModelRequest, responses(
    (status = 201, description = "The model", body = ModelResponse),
    (status = 400, description = "A value is refused (E005, E006, E007, E012)"),
    (status = 409, description = "The name is taken (E016)"),
))]
#[post("/models/{name:.+}")]
async fn add(
    Admin(caller): Admin,
    models: web::Data<ModelService>,
    name: PathName,
    body: JsonBody<ModelRequest>,
) -> Answer<HttpResponse> {
    let model = models.add(&caller, body.0.added_as(name.0)?).await?;
    Ok(HttpResponse::Created().json(ModelResponse::from(model)))
}

/// Change a model, or what stands behind its name.
///
/// Generations that run on what stood there before end there. Users' own defaults stay.
#[utoipa::path(tag = "models", params(("name" = String, Path, description = "The model; may contain `/`")), request_body = ModelRequest, responses(
    (status = 200, description = "The model as it is now", body = ModelResponse),
    (status = 400, description = "A value is refused, or the default model would be renamed (E023)"),
    (status = 404, description = "No such model (E001)"),
    (status = 409, description = "The new name is taken (E016)"),
))]
#[put("/models/{name:.+}")]
async fn replace(
    Admin(caller): Admin,
    models: web::Data<ModelService>,
    name: PathName,
    body: JsonBody<ModelRequest>,
) -> Answer<web::Json<ModelResponse>> {
    let spec = body.0.replacing(&name.0);
    let model = models.replace(&caller, name.0, spec).await?;
    Ok(web::Json(model.into()))
}

/// Remove a model and everybody's defaults for it.
///
/// Texts that were made with it stay.
#[utoipa::path(tag = "models", params(("name" = String, Path, description = "The model; may contain `/`")), responses(
    (status = 204, description = "It is gone"),
    (status = 400, description = "It is the default model (E023)"),
    (status = 404, description = "No such model (E001)"),
))]
#[delete("/models/{name:.+}")]
async fn remove(Admin(caller): Admin, models: web::Data<ModelService>, name: PathName) -> Answer<HttpResponse> {
    models.remove(&caller, name.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
