//! The routes of existing services, so that their clients move over by changing only their base URL. Each is a shape of its own over a use
//! case that a native route has too; unknown fields are ignored, because those clients send them.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, delete, get, post, put, web};
use domain::TextGenerationId;
use services::{AccountService, SessionService, TextService};
use utoipa_actix_web::scope;
use utoipa_actix_web::service_config::ServiceConfig;

use super::Answer;
use crate::dto::{
    AliasGenerationRequest, AliasGenerationResponse, AliasLoginRequest, AliasRegistrationRequest, AliasRegistrationResponse,
    AliasTokenResponse, HistoryResponse, StoredTextChangeRequest, StoredTextRequest, StoredTextResponse,
};
use crate::extractors::{Authenticated, Client, JsonBody, PathId};
use crate::revocable::Revocable;
use crate::{ApiError, ErrorCode};

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(register).service(log_in).service(generate).service(history);
    config.service(scope("/api/auth").service(register).service(log_in));
    config.service(scope("/api/llm").service(generate).service(history));
    config.service(generate_text).service(read).service(edit).service(remove);
}

/// Register an account.
#[utoipa::path(tag = "aliases", request_body = AliasRegistrationRequest, responses(
    (status = 201, description = "The account", body = AliasRegistrationResponse),
    (status = 400, description = "The name or the email is taken (E008, E015), or a value is refused (E012)"),
    (status = 403, description = "Registration is not open (E039)"),
))]
#[post("/register")]
async fn register(
    accounts: web::Data<AccountService>,
    Client(client): Client,
    body: JsonBody<AliasRegistrationRequest>,
) -> Answer<HttpResponse> {
    let registered = accounts.register(body.0.sent_from(client.address)).await.map_err(|error| match ApiError::from(error) {
        taken if taken.code() == ErrorCode::EmailTaken => taken.with_status(StatusCode::BAD_REQUEST),
        other => other,
    });
    Ok(HttpResponse::Created().json(AliasRegistrationResponse::from(registered?)))
}

/// Sign in.
#[utoipa::path(tag = "aliases", request_body = AliasLoginRequest, responses(
    (status = 200, description = "An access token", body = AliasTokenResponse),
    (status = 401, description = "Wrong name or password (E003), or inactive account (E009)"),
))]
#[post("/login")]
async fn log_in(
    sessions: web::Data<SessionService>,
    Client(client): Client,
    body: JsonBody<AliasLoginRequest>,
) -> Answer<web::Json<AliasTokenResponse>> {
    let signed_in = sessions.log_in(body.0.into(), client).await?;
    Ok(web::Json(signed_in.into()))
}

/// Make a text.
#[utoipa::path(tag = "aliases", request_body = AliasGenerationRequest, responses(
    (status = 200, description = "The text", body = AliasGenerationResponse),
    (status = 400, description = "A value is refused (E004, E005, E006, E007, E014)"),
    (status = 503, description = "Overloaded, stopping, or the model cannot be used (E025, E027, E028, E030)"),
))]
#[post("/generate")]
async fn generate(
    Authenticated(caller): Authenticated,
    texts: web::Data<TextService>,
    revocable: Revocable,
    body: JsonBody<AliasGenerationRequest>,
) -> Answer<web::Json<AliasGenerationResponse>> {
    let record = revocable.run(texts.generate(&caller, body.0.into())).await?;
    Ok(web::Json(record.into()))
}

/// All of one's own texts, newest first.
#[utoipa::path(tag = "aliases", responses(
    (status = 200, description = "The texts, up to the server's limit", body = HistoryResponse),
))]
#[get("/history")]
async fn history(Authenticated(caller): Authenticated, texts: web::Data<TextService>) -> Answer<web::Json<HistoryResponse>> {
    let all = texts.list_all(&caller).await?;
    Ok(web::Json(all.into()))
}

/// Make a text and answer its record.
#[utoipa::path(tag = "aliases", request_body = StoredTextRequest, responses(
    (status = 201, description = "The record", body = StoredTextResponse),
    (status = 400, description = "The prompt is refused (E004, E014)"),
    (status = 502, description = "A provider cannot be reached, or answered badly (E030, E031)"),
    (status = 503, description = "Overloaded, stopping, or the model cannot be used (E025, E027, E028)"),
))]
#[post("/generate-text")]
async fn generate_text(
    Authenticated(caller): Authenticated,
    texts: web::Data<TextService>,
    revocable: Revocable,
    body: JsonBody<StoredTextRequest>,
) -> Answer<HttpResponse> {
    let record = revocable.run(texts.generate(&caller, body.0.into())).await.map_err(provider_failure)?;
    Ok(HttpResponse::Created().json(StoredTextResponse::from(record)))
}

/// To this route's clients a provider that cannot be reached has failed like any other.
fn provider_failure(error: ApiError) -> ApiError {
    if error.code() == ErrorCode::ProviderUnreachable { error.with_status(StatusCode::BAD_GATEWAY) } else { error }
}

/// Read a text.
#[utoipa::path(tag = "aliases", params(("id" = Uuid, Path, description = "The text")), responses(
    (status = 200, description = "The record", body = StoredTextResponse),
    (status = 404, description = "No such text, or another user's (E002)"),
))]
#[get("/generated-text/{id}")]
async fn read(
    Authenticated(caller): Authenticated,
    texts: web::Data<TextService>,
    id: PathId<TextGenerationId>,
) -> Answer<web::Json<StoredTextResponse>> {
    let record = texts.get(&caller, id.0).await?;
    Ok(web::Json(record.into()))
}

/// Edit a text's words.
#[utoipa::path(tag = "aliases", params(("id" = Uuid, Path, description = "The text")), request_body = StoredTextChangeRequest, responses(
    (status = 200, description = "The record as it is now", body = StoredTextResponse),
    (status = 400, description = "A value is refused (E004, E012, E014)"),
    (status = 404, description = "No such text, or another user's (E002)"),
))]
#[put("/generated-text/{id}")]
async fn edit(
    Authenticated(caller): Authenticated,
    texts: web::Data<TextService>,
    id: PathId<TextGenerationId>,
    body: JsonBody<StoredTextChangeRequest>,
) -> Answer<web::Json<StoredTextResponse>> {
    let record = texts.edit(&caller, id.0, body.0.into()).await?;
    Ok(web::Json(record.into()))
}

/// Remove a text.
#[utoipa::path(tag = "aliases", params(("id" = Uuid, Path, description = "The text")), responses(
    (status = 204, description = "It is gone"),
    (status = 404, description = "No such text, or another user's (E002)"),
))]
#[delete("/generated-text/{id}")]
async fn remove(
    Authenticated(caller): Authenticated,
    texts: web::Data<TextService>,
    id: PathId<TextGenerationId>,
) -> Answer<HttpResponse> {
    texts.remove(&caller, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
