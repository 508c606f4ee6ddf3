//! Keys by which programs call.

use actix_web::{HttpResponse, delete, get, post, web};
use domain::ApiKeyId;
use services::ApiKeyService;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::Answer;
use crate::dto::{ApiKeyCreationRequest, ApiKeyListResponse, IssuedApiKeyResponse, NoQuery};
use crate::extractors::{Authenticated, JsonBody, PathId, Query};

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(create).service(list).service(remove);
}

/// Make an API key.
///
/// A program sends it where a person sends an access token. It is shown this once: the server keeps only its hash.
#[utoipa::path(tag = "API keys", request_body = ApiKeyCreationRequest, responses(
    (status = 201, description = "The key", body = IssuedApiKeyResponse),
    (status = 400, description = "A value is refused, or there are too many keys (E012)"),
    (status = 403, description = "The caller came with a key, or asks for a scope that is not theirs to give (E022)"),
))]
#[post("/auth/api-keys")]
async fn create(
    Authenticated(caller): Authenticated,
    keys: web::Data<ApiKeyService>,
    body: JsonBody<ApiKeyCreationRequest>,
) -> Answer<HttpResponse> {
    let issued = keys.create(&caller, body.0.try_into()?).await?;
    Ok(HttpResponse::Created().json(IssuedApiKeyResponse::from(issued)))
}

/// List one's own API keys, newest first.
#[utoipa::path(tag = "API keys", responses((status = 200, description = "The keys", body = ApiKeyListResponse)))]
#[get("/auth/api-keys")]
async fn list(
    Authenticated(caller): Authenticated,
    keys: web::Data<ApiKeyService>,
    _: Query<NoQuery>,
) -> Answer<web::Json<ApiKeyListResponse>> {
    let keys = keys.list(&caller).await?;
    Ok(web::Json(keys.into()))
}

/// End one of one's own API keys.
#[utoipa::path(tag = "API keys", params(("id" = Uuid, Path, description = "The key's identifier")), responses(
    (status = 204, description = "It no longer works"),
    (status = 404, description = "No such key (E037)"),
))]
#[delete("/auth/api-keys/{id}")]
async fn remove(Authenticated(caller): Authenticated, keys: web::Data<ApiKeyService>, id: PathId<Uuid>) -> Answer<HttpResponse> {
    keys.remove(&caller, ApiKeyId::new(id.0)).await?;
    Ok(HttpResponse::NoContent().finish())
}
