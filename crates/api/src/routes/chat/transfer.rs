//! Conversations as files.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, HttpResponseBuilder, get, post, web};
use domain::ConversationId;
use futures_util::{Stream, stream};
use services::{ChatService, ConversationsReader};
use utoipa_actix_web::service_config::ServiceConfig;

use super::super::Answer;
use crate::dto::chat::{
    ConversationImport, ConversationResponse, ConversationText, ExportFormat, ExportQuery, ExportedConversations, ImportResponse,
};
use crate::extractors::{Authenticated, ImportBody, PathId, Query};

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(export_all).service(import).service(export);
}

/// Take all conversations along.
///
/// In the order in which they were begun.
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
    let format = query.0.format;
    let all = ExportedFile { format, current: None, rest: Some(chats.read_conversations(&caller)), place: FilePlace::Head };
    Ok(file(format, "conversations").streaming(all.into_stream()))
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
    let format = query.0.format;
    let reader = chats.read_conversation(&caller, id.0, format.order()).await?;
    let one = ExportedFile { format, current: Some(ConversationText::of(reader, format)), rest: None, place: FilePlace::Head };
    Ok(file(format, &format!("conversation-{}", id.0)).streaming(one.into_stream()))
}

/// Bring conversations in.
///
/// The body is what the export writes as JSON, of this server or another. They become new conversations of the caller's, with identifiers
/// of their own: all of them, or, where one is refused, none.
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

/// A file of conversations, made as it is sent: of any length, it takes the memory of one page of messages. Dropping it ends the reading.
struct ExportedFile {
    format: ExportFormat,
    /// The conversation that is being written.
    current: Option<ConversationText>,
    /// Where those after it come from.
    rest: Option<ConversationsReader>,
    place: FilePlace,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FilePlace {
    Head,
    /// Whether a conversation was written already.
    Conversations(bool),
    Over,
}

impl ExportedFile {
    fn into_stream(self) -> impl Stream<Item = actix_web::Result<Bytes>> {
        stream::try_unfold(self, async |mut file| {
            let text = file.next().await?;
            Ok(text.map(|text| (Bytes::from(text), file)))
        })
    }

    /// What follows; `None` at the end.
    async fn next(&mut self) -> Answer<Option<String>> {
        let is_json = matches!(self.format, ExportFormat::Json);
        let begun = match self.place {
            FilePlace::Over => return Ok(None),
            FilePlace::Head => {
                let begun = self.current.is_some();
                self.place = FilePlace::Conversations(begun);
                return Ok(Some(if is_json { "{\"conversations\":[".to_owned() } else { String::new() }));
            }
            FilePlace::Conversations(begun) => begun,
        };
        if let Some(text) = &mut self.current {
            if let Some(text) = text.next().await? {
                return Ok(Some(text));
            }
            self.current = None;
        }
        if let Some(rest) = &mut self.rest
            && let Some(reader) = rest.next(self.format.order()).await?
        {
            self.current = Some(ConversationText::of(reader, self.format));
            self.place = FilePlace::Conversations(true);
            let separator = if is_json { ",\n" } else { "\n" };
            return Ok(Some(if begun { separator.to_owned() } else { String::new() }));
        }
        self.place = FilePlace::Over;
        Ok(Some(if is_json { "]}".to_owned() } else { String::new() }))
    }
}
