//! Messages of a conversation: read, said, edited, answered again.

use actix_web::{HttpResponse, get, patch, post, web};
use domain::{ConversationId, MessageId, PageRequest};
use services::{Addressed, ChatService, SessionService};
use utoipa_actix_web::service_config::ServiceConfig;

use super::super::Answer;
use super::respond;
use crate::RequestId;
use crate::config::ApiConfig;
use crate::dto::chat::{
    AnswerResponse, HistoryPage, MessageEditRequest, MessageListQuery, MessageRequest, MessageResponse, RegenerationRequest,
};
use crate::extractors::{Authenticated, JsonBody, PathId, PathMessageId, Query};

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(list).service(create).service(edit).service(regenerate);
}

/// Read the last messages of a conversation.
///
/// The oldest of them first, on the branch that is active; the cursor leads back in time. `siblings` of a message lead to other branches.
#[utoipa::path(tag = "chat", params(("id" = Uuid, Path, description = "The conversation"), MessageListQuery), responses(
    (status = 200, description = "The messages", body = HistoryPage),
    (status = 400, description = "The limit is out of range (E012)"),
    (status = 404, description = "No such conversation, or another user's (E044)"),
))]
#[get("/conversations/{id}/messages")]
async fn list(
    Authenticated(caller): Authenticated,
    chats: web::Data<ChatService>,
    id: PathId<ConversationId>,
    query: Query<MessageListQuery>,
) -> Answer<web::Json<HistoryPage>> {
    let page = PageRequest::try_from(&query.0)?;
    let page = chats.messages(&caller, id.0, query.0.leaf.map(MessageId::new), page).await?;
    Ok(web::Json(page.into()))
}

/// Say something in a conversation.
///
/// With `"stream": true` the answer is `text/event-stream`, as that of `/chat/stream`. Either way it goes on for a while if the connection
/// is lost, and is stored. An answer that is still being made to what was said before is stopped first, and stored as far as it came.
#[utoipa::path(tag = "chat", params(("id" = Uuid, Path, description = "The conversation")), request_body = MessageRequest, responses(
    (status = 201, description = "What was said, and the answer", body = AnswerResponse),
    (status = 200, description = "The answer, piece by piece, with `\"stream\": true`", body = String, content_type = "text/event-stream"),
    (status = 400, description = "A value is refused (E004, E005, E006, E007, E012, E014, E029)"),
    (status = 404, description = "No such model (E001) or conversation (E044)"),
    (status = 502, description = "A provider answered badly (E031)"),
    (status = 503, description = "Overloaded, stopping, or the model cannot be used (E025, E027, E028, E030)"),
    (status = 504, description = "It ran past its deadline (E026)"),
))]
#[post("/conversations/{id}/messages")]
async fn create(
    Authenticated(caller): Authenticated,
    chats: web::Data<ChatService>,
    sessions: web::Data<SessionService>,
    config: web::Data<ApiConfig>,
    request_id: RequestId,
    id: PathId<ConversationId>,
    body: JsonBody<MessageRequest>,
) -> Answer<HttpResponse> {
    let stream = body.0.stream;
    let turn = chats.send(&caller, Addressed::Conversation(id.0), body.0.into()).await?;
    if stream {
        return respond(turn, caller, &sessions, &config, request_id).await;
    }
    Ok(HttpResponse::Created().json(AnswerResponse::from(turn.whole().await?)))
}

/// Say something else in a message's place.
///
/// The new message stands beside the old one, which stays with all that followed it; the conversation goes on at the new one. Nothing is
/// answered: `POST …/regenerate` on the new message does that.
#[utoipa::path(tag = "chat", params(
    ("id" = Uuid, Path, description = "The conversation"),
    ("message_id" = Uuid, Path, description = "The message"),
), request_body = MessageEditRequest, responses(
    (status = 200, description = "The new message", body = MessageResponse),
    (status = 400, description = "A value is refused (E004, E014), or the conversation is full (E012)"),
    (status = 404, description = "No such conversation, or another user's (E044), or no such message in it (E045)"),
))]
#[patch("/conversations/{id}/messages/{message_id}")]
async fn edit(
    Authenticated(caller): Authenticated,
    chats: web::Data<ChatService>,
    id: PathId<ConversationId>,
    message_id: PathMessageId,
    body: JsonBody<MessageEditRequest>,
) -> Answer<web::Json<MessageResponse>> {
    let message = chats.edit_message(&caller, id.0, message_id.0, body.0.content).await?;
    Ok(web::Json(message.into()))
}

/// Answer a message again.
///
/// Of an answer another one is made, beside it; what a user said is answered. The old answer stays.
#[utoipa::path(tag = "chat", params(
    ("id" = Uuid, Path, description = "The conversation"),
    ("message_id" = Uuid, Path, description = "The message"),
), request_body = RegenerationRequest, responses(
    (status = 201, description = "What was said, and the new answer", body = AnswerResponse),
    (status = 200, description = "The new answer, piece by piece, with `\"stream\": true`", body = String, content_type = "text/event-stream"),
    (status = 400, description = "A value is refused (E005, E006, E007, E012, E014, E029)"),
    (status = 404, description = "No such model (E001), conversation (E044) or message (E045)"),
    (status = 502, description = "A provider answered badly (E031)"),
    (status = 503, description = "Overloaded, stopping, or the model cannot be used (E025, E027, E028, E030)"),
    (status = 504, description = "It ran past its deadline (E026)"),
))]
#[post("/conversations/{id}/messages/{message_id}/regenerate")]
#[expect(clippy::too_many_arguments, reason = "each is an extractor")]
async fn regenerate(
    Authenticated(caller): Authenticated,
    chats: web::Data<ChatService>,
    sessions: web::Data<SessionService>,
    config: web::Data<ApiConfig>,
    request_id: RequestId,
    id: PathId<ConversationId>,
    message_id: PathMessageId,
    body: JsonBody<RegenerationRequest>,
) -> Answer<HttpResponse> {
    let stream = body.0.stream;
    let turn = chats.regenerate(&caller, id.0, message_id.0, body.0.into()).await?;
    if stream {
        return respond(turn, caller, &sessions, &config, request_id).await;
    }
    Ok(HttpResponse::Created().json(AnswerResponse::from(turn.whole().await?)))
}
