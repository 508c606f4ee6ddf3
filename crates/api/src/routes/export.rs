//! Everything of the caller, to take along: JSON Lines in a ZIP archive, made as it is sent.

use std::io;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, get, web};
use domain::{MediaKind, PageLimit, PageRequest};
use futures_util::{Stream, TryStreamExt, stream};
use ports::ObjectBytes;
use serde::Serialize;
use services::{AccountService, ApiKeyService, Caller, ChatService, MediaService, ModelService, SessionService, TextService};
use utoipa_actix_web::service_config::ServiceConfig;

use super::Answer;
use crate::ApiError;
use crate::dto::chat::ExportedConversation;
use crate::dto::{
    ApiKeyListResponse, ImageResponse, MediaLinks, ModelListResponse, SessionListResponse, SpeechResponse,
    TextGenerationResponse, UserResponse,
};
use crate::extractors::Authenticated;
use crate::zip_stream::ZipStream;

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(export);
}

/// Take everything along.
///
/// A ZIP archive with one file a kind of record and one JSON object a line: the account, its sessions, keys (without what only their owner
/// knows), models with the caller's defaults, every text, every conversation with all its messages, as the import of conversations reads
/// them, every picture and recording, and below `requests/` those themselves.
#[utoipa::path(tag = "users", responses(
    (status = 200, description = "The archive", body = Vec<u8>, content_type = "application/zip"),
))]
#[get("/users/me/export")]
#[allow(clippy::too_many_arguments, reason = "one for each service that has something of the user's")]
async fn export(
    Authenticated(caller): Authenticated,
    accounts: web::Data<AccountService>,
    sessions: web::Data<SessionService>,
    api_keys: web::Data<ApiKeyService>,
    models: web::Data<ModelService>,
    texts: web::Data<TextService>,
    chats: web::Data<ChatService>,
    media: web::Data<MediaService>,
) -> Answer<HttpResponse> {
    let session_id = caller.require_session()?;
    let mut zip = ZipStream::default();
    let sessions = SessionListResponse::new(sessions.list(&caller).await?, session_id);
    let api_keys = ApiKeyListResponse::from(api_keys.list(&caller).await?);
    let models = ModelListResponse::from(models.list(&caller).await?);
    accounts.note_export(&caller).await;
    let small = |zip: &mut ZipStream| -> io::Result<()> {
        zip.begin("account.jsonl")?;
        write_line(zip, &UserResponse::from(caller.user.clone()))?;
        write_items(zip, "sessions.jsonl", &sessions)?;
        write_items(zip, "api_keys.jsonl", &api_keys)?;
        write_items(zip, "models.jsonl", &models)?;
        zip.begin("text_generations.jsonl")
    };
    small(&mut zip).map_err(ApiError::internal)?;
    let next = Some(Part::Texts(first_page(PageLimit::MAX)?));
    let (texts, chats, media) = (texts.get_ref().clone(), chats.get_ref().clone(), media.get_ref().clone());
    let pages = Pages { zip, texts, chats, media, caller, next };
    Ok(HttpResponse::Ok()
        .content_type("application/zip")
        .insert_header((CONTENT_DISPOSITION, "attachment; filename=\"tertulia-export.zip\""))
        .insert_header((CACHE_CONTROL, "no-store"))
        .streaming(pages.into_stream()))
}

fn first_page(limit: u32) -> Answer<PageRequest> {
    Ok(PageRequest { after: None, limit: PageLimit::new(i64::from(limit))? })
}

/// A conversation may hold many messages, so that few of them are held at a time.
const CONVERSATIONS_A_PAGE: u32 = 20;

/// What comes next in the archive.
enum Part {
    Texts(PageRequest),
    Conversations(PageRequest),
    /// The records of pictures, then those of speech.
    Media(MediaKind, PageRequest),
    /// What they are of, one at a time.
    Objects(MediaKind, PageRequest),
    /// The bytes of one, and what comes after it.
    Bytes(ObjectBytes, Option<(MediaKind, PageRequest)>),
}

/// Records of which there may be many, a page at a time: an archive of any length takes the memory of one page. Dropping it ends the
/// reading.
struct Pages {
    zip: ZipStream,
    texts: TextService,
    chats: ChatService,
    media: MediaService,
    caller: Caller,
    /// `None` once the archive is finished.
    next: Option<Part>,
}

impl Pages {
    fn into_stream(self) -> impl Stream<Item = actix_web::Result<Bytes>> {
        stream::try_unfold(self, async |mut pages| {
            let Some(part) = pages.next.take() else { return Ok(None) };
            pages.next = pages.write(part).await?;
            if pages.next.is_none() {
                pages.zip.finish().map_err(ApiError::internal)?;
            }
            let bytes = pages.zip.take();
            Ok(Some((bytes, pages)))
        })
    }

    /// Writes a page and answers what follows it.
    async fn write(&mut self, part: Part) -> Answer<Option<Part>> {
        match part {
            Part::Texts(page) => {
                let found = self.texts.list(&self.caller, page).await?;
                for text in found.items {
                    write_line(&mut self.zip, &TextGenerationResponse::from(text)).map_err(ApiError::internal)?;
                }
                if let Some(after) = found.next {
                    return Ok(Some(Part::Texts(PageRequest { after: Some(after), ..page })));
                }
                self.zip.begin("conversations.jsonl").map_err(ApiError::internal)?;
                Ok(Some(Part::Conversations(first_page(CONVERSATIONS_A_PAGE)?)))
            }
            Part::Conversations(page) => {
                let found = self.chats.export_page(&self.caller, page).await?;
                for exported in found.items {
                    write_line(&mut self.zip, &ExportedConversation::from(exported)).map_err(ApiError::internal)?;
                }
                if let Some(after) = found.next {
                    return Ok(Some(Part::Conversations(PageRequest { after: Some(after), ..page })));
                }
                self.zip.begin("images.jsonl").map_err(ApiError::internal)?;
                Ok(Some(Part::Media(MediaKind::Image, first_page(PageLimit::MAX)?)))
            }
            Part::Media(kind, page) => self.write_records(kind, page).await,
            Part::Objects(kind, page) => self.begin_object(kind, page).await,
            Part::Bytes(mut bytes, next) => match bytes.try_next().await.map_err(ApiError::from)? {
                Some(piece) => {
                    self.zip.write(&piece).map_err(ApiError::internal)?;
                    Ok(Some(Part::Bytes(bytes, next)))
                }
                None => Ok(next.map(|(kind, page)| Part::Objects(kind, page))),
            },
        }
    }
}

impl Pages {
    async fn write_records(&mut self, kind: MediaKind, page: PageRequest) -> Answer<Option<Part>> {
        let found = self.media.list(&self.caller, kind, page).await?;
        for record in found.items {
            let written = match kind {
                MediaKind::Image => write_line(&mut self.zip, &ImageResponse::new(record, MediaLinks::default())),
                MediaKind::Speech => write_line(&mut self.zip, &SpeechResponse::new(record, MediaLinks::default())),
            };
            written.map_err(ApiError::internal)?;
        }
        if let Some(after) = found.next {
            return Ok(Some(Part::Media(kind, PageRequest { after: Some(after), ..page })));
        }
        Ok(Some(match kind {
            MediaKind::Image => {
                self.zip.begin("speeches.jsonl").map_err(ApiError::internal)?;
                Part::Media(MediaKind::Speech, first_page(PageLimit::MAX)?)
            }
            MediaKind::Speech => Part::Objects(MediaKind::Image, first_page(1)?),
        }))
    }

    /// Begins the file of the next object, under its own name. One that has none, or whose record went meanwhile, is passed over.
    async fn begin_object(&mut self, kind: MediaKind, page: PageRequest) -> Answer<Option<Part>> {
        let found = self.media.list(&self.caller, kind, page).await?;
        let next = match (found.next, kind) {
            (Some(after), kind) => Some((kind, PageRequest { after: Some(after), ..page })),
            (None, MediaKind::Image) => Some((MediaKind::Speech, first_page(1)?)),
            (None, MediaKind::Speech) => None,
        };
        if let Some(record) = found.items.into_iter().next()
            && let Some(bytes) = self.media.content(&record).await?
        {
            self.zip.begin(record.content_key().to_string()).map_err(ApiError::internal)?;
            return Ok(Some(Part::Bytes(bytes, next)));
        }
        Ok(next.map(|(kind, page)| Part::Objects(kind, page)))
    }
}

fn write_line(zip: &mut ZipStream, record: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(record).map_err(io::Error::other)?;
    line.push(b'\n');
    zip.write(&line)
}

/// A file with a line for each of a list's items.
fn write_items(zip: &mut ZipStream, name: &'static str, list: &impl Serialize) -> io::Result<()> {
    zip.begin(name)?;
    let list = serde_json::to_value(list).map_err(io::Error::other)?;
    let items = list.get("items").and_then(serde_json::Value::as_array);
    items.into_iter().flatten().try_for_each(|item| write_line(zip, item))
}
