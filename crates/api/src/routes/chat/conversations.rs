//! Conversations, without their messages.

use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, delete, get, patch, post, web};
use domain::ConversationId;
use services::ChatService;
use utoipa_actix_web::service_config::ServiceConfig;

use super::super::Answer;
use crate::dto::chat::{
    ConversationChangeRequest, ConversationListQuery, ConversationPage, ConversationRequest, ConversationResponse,
};
use crate::extractors::{Authenticated, JsonBody, PathId, Query};

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(list).service(create).service(read).service(change).service(remove);
}

/// List one's own conversations.
///
/// The one in which something happened last comes first; `search` looks into titles and messages.
#[utoipa::path(tag = "chat", params(ConversationListQuery), responses(
    (status = 200, description = "A page of conversations", body = ConversationPage),
    (status = 400, description = "The limit, or what is searched for, is out of range (E012)"),
))]
#[get("/conversations")]
async fn list(
    Authenticated(caller): Authenticated,
    chats: web::Data<ChatService>,
    query: Query<ConversationListQuery>,
) -> Answer<web::Json<ConversationPage>> {
    let (query, page) = query.0.read()?;
    let page = chats.list_conversations(&caller, query, page).await?;
    Ok(web::Json(page.into()))
}

/// Begin a conversation.
#[utoipa::path(tag = "chat", request_body = ConversationRequest, responses(
    (status = 201, description = "The conversation", body = ConversationResponse, headers(("Location" = String, description = "Its path"))),
    (status = 400, description = "A value is refused (E005, E006, E007, E012)"),
))]
#[post("/conversations")]
async fn create(
    Authenticated(caller): Authenticated,
    chats: web::Data<ChatService>,
    body: JsonBody<ConversationRequest>,
) -> Answer<HttpResponse> {
    let conversation = chats.create_conversation(&caller, body.0.into()).await?;
    let location = format!("/conversations/{}", conversation.id);
    Ok(HttpResponse::Created().insert_header((LOCATION, location)).json(ConversationResponse::from(conversation)))
}

/// Read a conversation, without its messages.
#[utoipa::path(tag = "chat", params(("id" = Uuid, Path, description = "The conversation")), responses(
    (status = 200, description = "The conversation", body = ConversationResponse),
    (status = 404, description = "No such conversation, or another user's (E044)"),
))]
#[get("/conversations/{id}")]
async fn read(
    Authenticated(caller): Authenticated,
    chats: web::Data<ChatService>,
    id: PathId<ConversationId>,
) -> Answer<web::Json<ConversationResponse>> {
    let conversation = chats.conversation(&caller, id.0).await?;
    Ok(web::Json(conversation.into()))
}

/// Rename, pin or set up a conversation, or go on at another branch.
#[utoipa::path(tag = "chat", params(("id" = Uuid, Path, description = "The conversation")), request_body = ConversationChangeRequest, responses(
    (status = 200, description = "The conversation as it is now", body = ConversationResponse),
    (status = 400, description = "A value is refused (E005, E006, E007, E012)"),
    (status = 404, description = "No such conversation, or another user's (E044), or no such message in it (E045)"),
))]
#[patch("/conversations/{id}")]
async fn change(
    Authenticated(caller): Authenticated,
    chats: web::Data<ChatService>,
    id: PathId<ConversationId>,
    body: JsonBody<ConversationChangeRequest>,
) -> Answer<web::Json<ConversationResponse>> {
    let conversation = chats.change_conversation(&caller, id.0, body.0.into()).await?;
    Ok(web::Json(conversation.into()))
}

/// Remove a conversation with all its messages.
///
/// What is being answered there ends.
#[utoipa::path(tag = "chat", params(("id" = Uuid, Path, description = "The conversation")), responses(
    (status = 204, description = "It is gone"),
    (status = 404, description = "No such conversation, or another user's (E044)"),
))]
#[delete("/conversations/{id}")]
async fn remove(
    Authenticated(caller): Authenticated,
    chats: web::Data<ChatService>,
    id: PathId<ConversationId>,
) -> Answer<HttpResponse> {
    chats.remove_conversation(&caller, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
