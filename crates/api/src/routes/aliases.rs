//! The routes of existing services, so that their clients move over by changing only their base URL. Each is a shape of its own over a use
//! case that a native route has too; unknown fields are ignored, because those clients send them.

use actix_web::{HttpResponse, delete, get, post, put, web};
use domain::TextGenerationId;
use services::{AccountService, SessionService, TextService};
use utoipa_actix_web::scope;
use utoipa_actix_web::service_config::ServiceConfig;

use super::Answer;
use crate::dto::{
    AliasGenerationRequest, AliasGenerationResponse, AliasLoginRequest, AliasRegistrationRequest, AliasRegistrationResponse,
    AliasTokenResponse, HistoryItem, HistoryResponse, StoredTextChangeRequest, StoredTextRequest, StoredTextResponse,
};
use crate::extractors::{Authenticated, Client, JsonBody, PathId};
use crate::revocable::Revocable;
use crate::unpaged::{self, Frame};
use crate::{ApiError, Dialect};

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
    let registered = accounts.register(body.0.sent_from(client.address)).await;
    let registered = registered.map_err(|error| ApiError::from(error).told_in(Dialect::Register))?;
    Ok(HttpResponse::Created().json(AliasRegistrationResponse::from(registered)))
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
///
/// `X-Truncated: true` says that there are more than the server lists at once (`MAX_UNPAGED_RECORDS`).
#[utoipa::path(tag = "aliases", responses(
    (status = 200, description = "The texts, up to the server's limit", body = HistoryResponse, headers(
        ("X-Truncated" = String, description = "`true` where there are more; absent otherwise"),
    )),
))]
#[get("/history")]
async fn history(Authenticated(caller): Authenticated, texts: web::Data<TextService>) -> Answer<HttpResponse> {
    const FRAME: Frame = Frame { before: "{\"historical_requests\":[", after: "]}" };
    Ok(unpaged::respond(texts.list_all(&caller).await?, FRAME, HistoryItem::from))
}

/// Make a text and answer its record.
#[utoipa::path(tag = "aliases", request_body = StoredTextRequest, responses(
    (status = 201, description = "The record", body = StoredTextResponse),
    (status = 400, description = "The prompt is refused (E004, E014)"),
    (status = 502, description = "The model's provider cannot be reached, is busy, answered badly, took too long or has no such model (E026, E028, E030, E031, E042)"),
    (status = 503, description = "Overloaded, stopping, or a model of this machine cannot be used (E025, E027, E028)"),
    (status = 504, description = "A model of this machine ran past its deadline (E026)"),
))]
#[post("/generate-text")]
async fn generate_text(
    Authenticated(caller): Authenticated,
    texts: web::Data<TextService>,
    revocable: Revocable,
    body: JsonBody<StoredTextRequest>,
) -> Answer<HttpResponse> {
    match revocable.run(texts.generate(&caller, body.0.into())).await {
        Ok(record) => Ok(HttpResponse::Created().json(StoredTextResponse::from(record))),
        Err(error) => {
            let at_provider = texts.asks_a_provider(&caller).await;
            Err(error.told_in(Dialect::GenerateText { at_provider }))
        }
    }
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
