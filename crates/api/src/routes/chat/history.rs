//! The conversation that a user talks in without naming any.

use actix_web::{HttpResponse, delete, get, web};
use services::ChatService;
use utoipa_actix_web::service_config::ServiceConfig;

use super::super::Answer;
use crate::dto::PageQuery;
use crate::dto::chat::HistoryPage;
use crate::extractors::{Authenticated, Query};

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(read).service(empty);
}

/// Read the last messages of the default conversation.
///
/// The oldest of them first; the cursor leads back in time.
#[utoipa::path(tag = "chat", params(PageQuery), responses(
    (status = 200, description = "The messages", body = HistoryPage),
    (status = 400, description = "The limit is out of range (E012)"),
))]
#[get("/chat/history")]
async fn read(
    Authenticated(caller): Authenticated,
    chats: web::Data<ChatService>,
    query: Query<PageQuery>,
) -> Answer<web::Json<HistoryPage>> {
    let page = chats.history(&caller, query.0.try_into()?).await?;
    Ok(web::Json(page.into()))
}

/// Empty the default conversation.
///
/// What is being answered there ends.
#[utoipa::path(tag = "chat", responses((status = 204, description = "It is empty")))]
#[delete("/chat/history")]
async fn empty(Authenticated(caller): Authenticated, chats: web::Data<ChatService>) -> Answer<HttpResponse> {
    chats.empty_history(&caller).await?;
    Ok(HttpResponse::NoContent().finish())
}
