//! Texts: making them, whole or piece by piece, and the history of those that were made.

use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, delete, get, post, route, web};
use domain::TextGenerationId;
use services::{SessionService, TextService};
use utoipa_actix_web::service_config::ServiceConfig;

use super::Answer;
use crate::RequestId;
use crate::config::ApiConfig;
use crate::dto::{
    PageQuery, ReplayResponse, TextChangeRequest, TextGenerationPage, TextGenerationRequest, TextGenerationResponse,
    TextPieceEvent,
};
use crate::extractors::{Authenticated, JsonBody, PathId, Query};
use crate::revocable::Revocable;
use crate::sse::{self, NativeText, Pulse};
use crate::unpaged::{self, Frame};

/// Literal paths come before patterns they fit: `/text_generations/all` is nobody's identifier.
pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(create).service(list).service(list_all).service(read).service(edit).service(remove).service(replay);
}

/// Make a text.
///
/// With `"stream": true` the answer is `text/event-stream`: `data: {"text": "…"}` for each piece, then `event: done` with the record. An
/// error on the way is `event: error` with the problem. Comments (`: X-Queue-Position: 3`) tell how many wait before. Closing the connection stops
/// the generation; what was made until then is kept, as `interrupted`.
#[utoipa::path(tag = "text generations", request_body = TextGenerationRequest, responses(
    (status = 201, description = "The text", body = TextGenerationResponse, headers(("Location" = String, description = "The record's path"))),
    (status = 200, description = "The pieces of the text, with `\"stream\": true`", body = TextPieceEvent, content_type = "text/event-stream"),
    (status = 400, description = "A value is refused (E004, E005, E006, E007, E012, E014, E029)"),
    (status = 404, description = "No such model (E001)"),
    (status = 502, description = "A provider answered badly (E031)"),
    (status = 503, description = "Overloaded, stopping, or the model cannot be used (E025, E027, E028, E030)"),
    (status = 504, description = "It ran past its deadline (E026)"),
))]
#[post("/text_generations")]
async fn create(
    Authenticated(caller): Authenticated,
    texts: web::Data<TextService>,
    sessions: web::Data<SessionService>,
    config: web::Data<ApiConfig>,
    request_id: RequestId,
    revocable: Revocable,
    body: JsonBody<TextGenerationRequest>,
) -> Answer<HttpResponse> {
    if body.0.stream {
        let pieces = texts.stream(&caller, body.0.into()).await?;
        let begun = sse::Begun::wait(pieces, config.heartbeat).await?;
        let pulse = Pulse::of(caller, &sessions, config.heartbeat);
        return Ok(sse::respond(begun, NativeText { request_id }, pulse));
    }
    let record = revocable.run(texts.generate(&caller, body.0.into())).await?;
    let location = format!("/text_generations/{}", record.id);
    Ok(HttpResponse::Created().insert_header((LOCATION, location)).json(TextGenerationResponse::from(record)))
}

/// List one's own texts, newest first.
#[utoipa::path(tag = "text generations", params(PageQuery), responses(
    (status = 200, description = "A page of texts", body = TextGenerationPage),
    (status = 400, description = "The limit is out of range (E012)"),
))]
#[get("/text_generations")]
async fn list(
    Authenticated(caller): Authenticated,
    texts: web::Data<TextService>,
    query: Query<PageQuery>,
) -> Answer<web::Json<TextGenerationPage>> {
    let page = texts.list(&caller, query.0.try_into()?).await?;
    Ok(web::Json(page.into()))
}

/// All of one's own texts at once, newest first, as a bare array.
///
/// `X-Truncated: true` says that there are more than the server lists at once (`MAX_UNPAGED_RECORDS`).
#[utoipa::path(tag = "text generations", responses(
    (status = 200, description = "The texts, up to the server's limit", body = Vec<TextGenerationResponse>, headers(
        ("X-Truncated" = String, description = "`true` where there are more; absent otherwise"),
    )),
))]
#[get("/text_generations/all")]
async fn list_all(Authenticated(caller): Authenticated, texts: web::Data<TextService>) -> Answer<HttpResponse> {
    const FRAME: Frame = Frame { before: "[", after: "]" };
    Ok(unpaged::respond(texts.list_all(&caller).await?, FRAME, TextGenerationResponse::from))
}

/// Read a text.
#[utoipa::path(tag = "text generations", params(("id" = Uuid, Path, description = "The text")), responses(
    (status = 200, description = "The text", body = TextGenerationResponse),
    (status = 404, description = "No such text, or another user's (E002)"),
))]
#[get("/text_generations/{id}")]
async fn read(
    Authenticated(caller): Authenticated,
    texts: web::Data<TextService>,
    id: PathId<TextGenerationId>,
) -> Answer<web::Json<TextGenerationResponse>> {
    let record = texts.get(&caller, id.0).await?;
    Ok(web::Json(record.into()))
}

/// Edit a text's words.
///
/// What it was made with stays. `PUT` and `PATCH` are the same.
#[utoipa::path(tag = "text generations", params(("id" = Uuid, Path, description = "The text")), request_body = TextChangeRequest, responses(
    (status = 200, description = "The text as it is now", body = TextGenerationResponse),
    (status = 400, description = "A value is refused (E004, E012, E014)"),
    (status = 404, description = "No such text, or another user's (E002)"),
))]
#[route("/text_generations/{id}", method = "PUT", method = "PATCH")]
async fn edit(
    Authenticated(caller): Authenticated,
    texts: web::Data<TextService>,
    id: PathId<TextGenerationId>,
    body: JsonBody<TextChangeRequest>,
) -> Answer<web::Json<TextGenerationResponse>> {
    let record = texts.edit(&caller, id.0, body.0.into()).await?;
    Ok(web::Json(record.into()))
}

/// Remove a text.
#[utoipa::path(tag = "text generations", params(("id" = Uuid, Path, description = "The text")), responses(
    (status = 204, description = "It is gone"),
    (status = 404, description = "No such text, or another user's (E002)"),
))]
#[delete("/text_generations/{id}")]
async fn remove(
    Authenticated(caller): Authenticated,
    texts: web::Data<TextService>,
    id: PathId<TextGenerationId>,
) -> Answer<HttpResponse> {
    texts.remove(&caller, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Make a text again.
///
/// From its record alone: the same prompt, parameters and seed. It costs what any generation costs, and is not stored. A text that was
/// interrupted is made to its end.
#[utoipa::path(tag = "text generations", params(("id" = Uuid, Path, description = "The text")), responses(
    (status = 200, description = "What came of it, and whether it is the same", body = ReplayResponse),
    (status = 404, description = "No such text, or another user's (E002)"),
    (status = 409, description = "It need not come out the same, for the reason that the detail gives: it was edited, a provider made it, its model is gone or has other weights, or its precision promises nothing (E043)"),
    (status = 503, description = "Overloaded or stopping (E025, E027)"),
    (status = 504, description = "It ran past its deadline (E026)"),
))]
#[post("/text_generations/{id}/replay")]
async fn replay(
    Authenticated(caller): Authenticated,
    texts: web::Data<TextService>,
    revocable: Revocable,
    id: PathId<TextGenerationId>,
) -> Answer<web::Json<ReplayResponse>> {
    let replay = revocable.run(texts.replay(&caller, id.0)).await?;
    Ok(web::Json(replay.into()))
}
