//! Conversations as files.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, HttpResponseBuilder, get, post, web};
use domain::{ConversationId, PageLimit, PageRequest};
use futures_util::{Stream, stream};
use services::{Caller, ChatService};
use utoipa_actix_web::service_config::ServiceConfig;

use super::super::Answer;
use crate::ApiError;
use crate::dto::chat::{
    ConversationImport, ConversationResponse, ExportFormat, ExportQuery, ExportedConversation, ExportedConversations,
    ImportResponse,
};
use crate::extractors::{Authenticated, ImportBody, PathId, Query};

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(export_all).service(import).service(export);
}

/// How many conversations are held in memory while all are exported.
const CONVERSATIONS_A_PAGE: i64 = 20;

/// Take all conversations along.
#[utoipa::path(tag = "chat", params(ExportQuery), responses(
    (status = 200, description = "The conversations", content(
        (ExportedConversations = "application/json"),
        (String = "text/markdown"),
    )),
))]
#[get("/conversations/export")]
async fn export_all(
    Authenticated(caller): Authenticated,
    chats: web::Data<ChatService>,
    query: Query<ExportQuery>,
) -> Answer<HttpResponse> {
    let page = PageRequest { after: None, limit: PageLimit::new(CONVERSATIONS_A_PAGE)? };
    let format = query.0.format;
    let pages = ExportPages { chats: chats.get_ref().clone(), caller, format, page: Some(page), is_first: true };
    Ok(file(format, "conversations").streaming(pages.into_stream()))
}

/// Take a conversation along.
#[utoipa::path(tag = "chat", params(("id" = Uuid, Path, description = "The conversation"), ExportQuery), responses(
    (status = 200, description = "The conversation", content(
        (ExportedConversations = "application/json"),
        (String = "text/markdown"),
    )),
    (status = 404, description = "No such conversation, or another user's (E044)"),
))]
#[get("/conversations/{id}/export")]
async fn export(
    Authenticated(caller): Authenticated,
    chats: web::Data<ChatService>,
    id: PathId<ConversationId>,
    query: Query<ExportQuery>,
) -> Answer<HttpResponse> {
    let exported = chats.export_conversation(&caller, id.0).await?;
    let name = format!("conversation-{}", id.0);
    Ok(match query.0.format {
        ExportFormat::Markdown => file(ExportFormat::Markdown, &name).body(exported.to_markdown()),
        ExportFormat::Json => {
            file(ExportFormat::Json, &name).json(ExportedConversations { conversations: vec![exported.into()] })
        }
    })
}

/// Bring conversations in.
///
/// The body is what the export writes as JSON, of this server or another. They become new conversations of the caller's, with identifiers
/// of their own; all are checked before the first is kept.
#[utoipa::path(tag = "chat", request_body = ConversationImport, responses(
    (status = 201, description = "The new conversations", body = ImportResponse),
    (status = 400, description = "A value is refused (E005, E006, E007, E012, E014)"),
    (status = 413, description = "The body is too large (E020)"),
))]
#[post("/conversations/import")]
async fn import(
    Authenticated(caller): Authenticated,
    chats: web::Data<ChatService>,
    body: ImportBody<ConversationImport>,
) -> Answer<HttpResponse> {
    let kept = chats.import(&caller, body.0.into()).await?;
    let items = kept.into_iter().map(ConversationResponse::from).collect();
    Ok(HttpResponse::Created().json(ImportResponse { items }))
}

/// The head of a file to be kept.
fn file(format: ExportFormat, name: &str) -> HttpResponseBuilder {
    let (content_type, ending) = match format {
        ExportFormat::Json => ("application/json", "json"),
        ExportFormat::Markdown => ("text/markdown; charset=utf-8", "md"),
    };
    let mut response = HttpResponse::Ok();
    response
        .content_type(content_type)
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.{ending}\"")))
        .insert_header((CACHE_CONTROL, "no-store"));
    response
}

/// All conversations, a page at a time. Dropping it ends the reading.
struct ExportPages {
    chats: ChatService,
    caller: Caller,
    format: ExportFormat,
    /// The page to be read next; `None` once the file is complete.
    page: Option<PageRequest>,
    is_first: bool,
}

impl ExportPages {
    fn into_stream(self) -> impl Stream<Item = actix_web::Result<Bytes>> {
        stream::try_unfold(self, async |mut pages| {
            let Some(page) = pages.page.take() else { return Ok(None) };
            let found = pages.chats.export_page(&pages.caller, page).await.map_err(ApiError::from)?;
            pages.page = found.next.map(|after| PageRequest { after: Some(after), ..page });
            let mut text = String::new();
            if pages.is_first && matches!(pages.format, ExportFormat::Json) {
                text.push_str("{\"conversations\":[");
            }
            for exported in found.items {
                let separator = if std::mem::take(&mut pages.is_first) { "" } else { ",\n" };
                match pages.format {
                    ExportFormat::Markdown => text.push_str(&(exported.to_markdown() + "\n")),
                    ExportFormat::Json => {
                        let json = serde_json::to_string(&ExportedConversation::from(exported)).map_err(ApiError::internal)?;
                        text.push_str(separator);
                        text.push_str(&json);
                    }
                }
            }
            if pages.page.is_none() && matches!(pages.format, ExportFormat::Json) {
                text.push_str("]}");
            }
            Ok(Some((Bytes::from(text), pages)))
        })
    }
}
