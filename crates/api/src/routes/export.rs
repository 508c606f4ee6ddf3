//! Everything of the caller, to take along: JSON Lines in a ZIP archive, made as it is sent.

use std::io;
use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, get, web};
use domain::{MediaKind, PageLimit, PageRequest, SessionId};
use futures_util::{Stream, TryStreamExt, stream};
use ports::ObjectBytes;
use serde::Serialize;
use services::{
    AccountService, ApiKeyService, Caller, ChatService, ConversationsReader, MediaService, ModelService, SessionService,
    TextService,
};
use tokio::time::{Instant, timeout_at};
use utoipa_actix_web::service_config::ServiceConfig;

use super::Answer;
use super::objects::broken_off;
use crate::dto::chat::{ConversationText, ExportFormat};
use crate::dto::{
    ApiKeyListResponse, ImageResponse, MediaLinks, ModelListResponse, SessionResponse, SpeechResponse, TextGenerationResponse,
    UserResponse,
};
use crate::extractors::Authenticated;
use crate::revocable::Revocable;
use crate::zip_stream::ZipStream;
use crate::{ApiError, ErrorCode};

/// How long an archive may take to be sent; whoever reads more slowly is cut off. Gigabytes arrive by then over a telephone line.
const LONGEST: Duration = Duration::from_hours(6);

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
#[expect(clippy::too_many_arguments, reason = "one for each service that has something of the user's")]
async fn export(
    Authenticated(caller): Authenticated,
    accounts: web::Data<AccountService>,
    sessions: web::Data<SessionService>,
    api_keys: web::Data<ApiKeyService>,
    models: web::Data<ModelService>,
    texts: web::Data<TextService>,
    chats: web::Data<ChatService>,
    media: web::Data<MediaService>,
    revocable: Revocable,
) -> Answer<HttpResponse> {
    let session_id = caller.require_session()?;
    let mut zip = ZipStream::default();
    let sessions = all_sessions(&sessions, &caller, session_id).await?;
    let api_keys = ApiKeyListResponse::from(api_keys.list(&caller).await?);
    let models = ModelListResponse::from(models.list(&caller).await?);
    accounts.note_export(&caller).await;
    let small = |zip: &mut ZipStream| -> io::Result<()> {
        zip.begin("account.jsonl")?;
        write_line(zip, &UserResponse::from(caller.user.clone()))?;
        zip.begin("sessions.jsonl")?;
        sessions.iter().try_for_each(|session| write_line(zip, session))?;
        write_items(zip, "api_keys.jsonl", &api_keys)?;
        write_items(zip, "models.jsonl", &models)?;
        zip.begin("text_generations.jsonl")
    };
    small(&mut zip).map_err(ApiError::internal)?;
    let next = Some(Part::Texts(first_page(PageLimit::MAX)?));
    let (texts, chats, media) = (texts.get_ref().clone(), chats.get_ref().clone(), media.get_ref().clone());
    let pages = Pages { zip, texts, chats, media, caller, next, ends_at: Instant::now() + LONGEST };
    Ok(HttpResponse::Ok()
        .content_type("application/zip")
        .insert_header((CONTENT_DISPOSITION, "attachment; filename=\"tertulia-export.zip\""))
        .insert_header((CACHE_CONTROL, "no-store"))
        .streaming(revocable.pieces(pages.into_stream()).map_err(broken_off)))
}

/// A user has as many sessions as the server's setting allows, and no more.
async fn all_sessions(sessions: &SessionService, caller: &Caller, current: SessionId) -> Answer<Vec<SessionResponse>> {
    let (mut all, mut page) = (Vec::new(), first_page(PageLimit::MAX)?);
    loop {
        let found = sessions.list(caller, page).await?;
        all.extend(found.items.into_iter().map(|session| SessionResponse::new(session, current)));
        page.after = found.next;
        if page.after.is_none() {
            return Ok(all);
        }
    }
}

fn first_page(limit: u32) -> Answer<PageRequest> {
    Ok(PageRequest { after: None, limit: PageLimit::new(i64::from(limit))? })
}

/// What comes next in the archive.
enum Part {
    Texts(PageRequest),
    /// Those that are left, and the one that is being written.
    Conversations(Box<ConversationsReader>, Option<Box<ConversationText>>),
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
    ends_at: Instant,
}

impl Pages {
    /// The archive, piece by piece; it breaks off where it takes too long.
    fn into_stream(self) -> impl Stream<Item = Answer<Bytes>> {
        stream::try_unfold(self, async |mut pages| {
            let Some(part) = pages.next.take() else { return Ok(None) };
            let written = timeout_at(pages.ends_at, pages.write(part)).await;
            pages.next = written.map_err(|_| ApiError::titled(ErrorCode::DeadlineExceeded))??;
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
                Ok(Some(Part::Conversations(Box::new(self.chats.read_conversations(&self.caller)), None)))
            }
            Part::Conversations(rest, Some(mut conversation)) => {
                let text = conversation.next().await?;
                self.zip.write(text.as_deref().unwrap_or("\n").as_bytes()).map_err(ApiError::internal)?;
                Ok(Some(Part::Conversations(rest, text.map(|_| conversation))))
            }
            Part::Conversations(mut rest, None) => {
                if let Some(reader) = rest.next(ExportFormat::Json.order()).await? {
                    let conversation = ConversationText::of(reader, ExportFormat::Json);
                    return Ok(Some(Part::Conversations(rest, Some(Box::new(conversation)))));
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
