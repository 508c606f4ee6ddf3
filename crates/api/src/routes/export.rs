//! Everything of the caller, to take along: JSON Lines in a ZIP archive, made as it is sent.

use std::io;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, get, web};
use domain::{PageLimit, PageRequest};
use futures_util::{Stream, stream};
use serde::Serialize;
use services::{AccountService, ApiKeyService, Caller, ModelService, SessionService, TextService};
use utoipa_actix_web::service_config::ServiceConfig;

use super::Answer;
use crate::ApiError;
use crate::dto::{ApiKeyListResponse, ModelListResponse, SessionListResponse, TextGenerationResponse, UserResponse};
use crate::extractors::Authenticated;
use crate::zip_stream::ZipStream;

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(export);
}

/// Take everything along.
///
/// A ZIP archive with one file a kind of record and one JSON object a line: the account, its sessions, keys (without what only their owner
/// knows), models with the caller's defaults, and every text.
#[utoipa::path(tag = "users", responses(
    (status = 200, description = "The archive", body = Vec<u8>, content_type = "application/zip"),
))]
#[get("/users/me/export")]
async fn export(
    Authenticated(caller): Authenticated,
    accounts: web::Data<AccountService>,
    sessions: web::Data<SessionService>,
    api_keys: web::Data<ApiKeyService>,
    models: web::Data<ModelService>,
    texts: web::Data<TextService>,
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
    let texts = TextPages { zip, texts: texts.get_ref().clone(), caller, page: Some(first_page()?) };
    Ok(HttpResponse::Ok()
        .content_type("application/zip")
        .insert_header((CONTENT_DISPOSITION, "attachment; filename=\"tertulia-export.zip\""))
        .insert_header((CACHE_CONTROL, "no-store"))
        .streaming(texts.into_stream()))
}

fn first_page() -> Answer<PageRequest> {
    Ok(PageRequest { after: None, limit: PageLimit::new(i64::from(PageLimit::MAX))? })
}

/// The texts, a page at a time: an archive of any length takes the memory of one page. Dropping it ends the reading.
struct TextPages {
    zip: ZipStream,
    texts: TextService,
    caller: Caller,
    /// The page to be read next; `None` once the archive is finished.
    page: Option<PageRequest>,
}

impl TextPages {
    fn into_stream(self) -> impl Stream<Item = actix_web::Result<Bytes>> {
        stream::try_unfold(self, async |mut pages| {
            let Some(page) = pages.page.take() else { return Ok(None) };
            let found = pages.texts.list(&pages.caller, page).await.map_err(ApiError::from)?;
            pages.page = found.next.map(|after| PageRequest { after: Some(after), ..page });
            for text in found.items {
                write_line(&mut pages.zip, &TextGenerationResponse::from(text)).map_err(ApiError::internal)?;
            }
            if pages.page.is_none() {
                pages.zip.finish().map_err(ApiError::internal)?;
            }
            let bytes = pages.zip.take();
            Ok(Some((bytes, pages)))
        })
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
