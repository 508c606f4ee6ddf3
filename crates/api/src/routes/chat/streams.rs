//! An answer while it is made: asked for, taken up, stopped.

use actix_web::http::header::HeaderName;
use actix_web::{HttpRequest, HttpResponse, delete, get, post, web};
use domain::{ChatStreamId, ConversationId};
use services::{Addressed, ChatService, Resumed, SessionService, Stopped};
use utoipa_actix_web::service_config::ServiceConfig;

use super::super::Answer;
use super::respond;
use crate::config::ApiConfig;
use crate::dto::chat::{ChatStreamRequest, ChatWire, EventId};
use crate::extractors::{Authenticated, JsonBody, PathId};
use crate::sse::{self, Pulse};
use crate::{ApiError, RequestId};

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(create).service(resume).service(stop);
}

/// Say something and hear the answer as it is made.
///
/// The answer is `text/event-stream`: `data: <text>` for each piece, as plain text, and at the end `data: [DONE]`. A newline inside a
/// piece becomes a further `data:` line; no line but the last is exactly `[DONE]`. Comments (`: X-Queue-Position: 3`, `: still here`) keep the
/// connection alive; an error on the way is `event: error` with the problem, and then the end. What is said is stored before the model is
/// asked, the answer when it ends. What is refused with a status stores nothing; once the stream has begun, what was said stays.
///
/// An answer that is still being made to what was said before is stopped first, and stored as far as it came.
///
/// If the connection is lost the answer goes on for a while (`STREAM_RESUME_SECONDS`): `GET /chat/streams/{id}` takes it up. `X-Stream-Id`
/// names it, as does the `id:` of every event; `X-Conversation-Id`, `X-User-Message-Id` and `X-Assistant-Message-Id` name what it belongs to,
/// and `X-Context-Messages-Used`, `X-Context-Messages-Dropped` and `X-Context-Prompt-Tokens` tell what the model was given.
#[utoipa::path(tag = "chat", request_body = ChatStreamRequest, responses(
    (status = 200, description = "The answer, piece by piece", body = String, content_type = "text/event-stream",
        headers(("X-Stream-Id" = String, description = "Names the stream"))),
    (status = 400, description = "A value is refused (E004, E005, E006, E007, E012, E014, E029)"),
    (status = 404, description = "No such model (E001) or conversation (E044)"),
    (status = 502, description = "A provider answered badly (E031)"),
    (status = 503, description = "Overloaded, stopping, or the model cannot be used (E025, E027, E028, E030)"),
    (status = 504, description = "It ran past its deadline (E026)"),
))]
#[post("/chat/stream")]
async fn create(
    Authenticated(caller): Authenticated,
    chats: web::Data<ChatService>,
    sessions: web::Data<SessionService>,
    config: web::Data<ApiConfig>,
    request_id: RequestId,
    body: JsonBody<ChatStreamRequest>,
) -> Answer<HttpResponse> {
    let addressed = body.0.conversation_id.map_or(Addressed::Default, |id| Addressed::Conversation(ConversationId::new(id)));
    let turn = chats.send(&caller, addressed, body.0.into()).await?;
    respond(turn, caller, &sessions, &config, request_id).await
}

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Take an answer up where the connection was lost.
///
/// `Last-Event-ID` names the last event that arrived; what follows it comes at once, and the rest as it is made. Without it everything
/// comes. Only its user can take an answer up: while it is made, and for `STREAM_RESUME_SECONDS` after its end, at any replica.
#[utoipa::path(tag = "chat", params(
    ("id" = Uuid, Path, description = "The stream"),
    ("Last-Event-ID" = Option<String>, Header, description = "The `id:` of the last event that arrived"),
), responses(
    (status = 200, description = "The rest of the answer", body = String, content_type = "text/event-stream"),
    (status = 204, description = "There is no more: the last event was its end"),
    (status = 404, description = "No such stream, or another user's, or it ended too long ago (E046)"),
))]
#[get("/chat/streams/{id}")]
async fn resume(
    Authenticated(caller): Authenticated,
    chats: web::Data<ChatService>,
    sessions: web::Data<SessionService>,
    config: web::Data<ApiConfig>,
    request_id: RequestId,
    id: PathId<ChatStreamId>,
    request: HttpRequest,
) -> Answer<HttpResponse> {
    let last = match request.headers().get(LAST_EVENT_ID) {
        None => EventId { stream: id.0, number: 0 },
        Some(value) => value
            .to_str()
            .ok()
            .and_then(EventId::parse)
            .filter(|last| last.stream == id.0)
            .ok_or_else(|| ApiError::malformed("Last-Event-ID: is not the id of an event of this stream"))?,
    };
    match chats.resume(&caller, id.0, last.number).await? {
        Resumed::Over => Ok(HttpResponse::NoContent().finish()),
        Resumed::Events(events) => {
            let pulse = Pulse::of(caller, &sessions, config.heartbeat);
            Ok(sse::respond(sse::Begun::now(events), ChatWire::after(last, request_id), pulse))
        }
    }
}

/// Stop an answer.
///
/// What was said until then is kept, as `interrupted`. One that has ended is as good as stopped.
#[utoipa::path(tag = "chat", params(("id" = Uuid, Path, description = "The stream")), responses(
    (status = 202, description = "It was told to stop, and had not within three seconds: the server that makes it has been silent"),
    (status = 204, description = "It has stopped"),
    (status = 404, description = "No such stream, or another user's (E046)"),
))]
#[delete("/chat/streams/{id}")]
async fn stop(
    Authenticated(caller): Authenticated,
    chats: web::Data<ChatService>,
    id: PathId<ChatStreamId>,
) -> Answer<HttpResponse> {
    Ok(match chats.stop(&caller, id.0).await? {
        Stopped::Now => HttpResponse::NoContent().finish(),
        Stopped::Soon => HttpResponse::Accepted().finish(),
    })
}
