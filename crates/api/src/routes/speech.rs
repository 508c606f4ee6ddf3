//! Speech: speaking texts, and the recordings that were made.

use actix_web::http::header::{CONTENT_LOCATION, LOCATION};
use actix_web::{HttpResponse, delete, get, post, web};
use domain::{MediaId, MediaKind, MediaRecord};
use futures_util::TryStreamExt;
use services::{MediaService, SpeechStream};
use utoipa_actix_web::service_config::ServiceConfig;

use super::Answer;
use super::images::answer_link;
use super::objects::broken_off;
use crate::dto::{
    DownloadQuery, DownloadResponse, MediaLinks, PageQuery, SpeechPage, SpeechRequest, SpeechResponse, VoiceListResponse,
    VoicesQuery,
};
use crate::edge::OwnUrl;
use crate::extractors::{Admin, Authenticated, JsonBody, MaybeAuthenticated, PathId, Query};

/// Literal paths come before patterns they fit: `/tts/voices` is nobody's identifier.
pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(create).service(voices).service(list).service(list_all).service(read).service(download).service(remove);
}

/// Speak a text.
///
/// Without signing in the recording belongs to whoever knows its id. The answer comes when the recording is kept; with `"stream": true` it
/// is the sound itself, while it is made, and `Content-Location` names the record. Closing the connection breaks the recording off.
#[utoipa::path(tag = "speech", request_body = SpeechRequest, responses(
    (status = 201, description = "The recording", body = SpeechResponse, headers(("Location" = String, description = "The record's path"))),
    (status = 200, description = "The sound, with `\"stream\": true`", body = Vec<u8>, content_type = "audio/mpeg", headers(("Content-Location" = String, description = "The record's path"))),
    (status = 400, description = "A value is refused (E004, E012, E014, E029)"),
    (status = 502, description = "The provider answered badly (E031)"),
    (status = 503, description = "Overloaded, or the engine, the provider or the storage cannot be used (E025, E028, E030, E032, E042)"),
    (status = 504, description = "It ran past its deadline (E026)"),
))]
#[post("/tts/generate")]
async fn create(
    MaybeAuthenticated(caller): MaybeAuthenticated,
    media: web::Data<MediaService>,
    own_url: OwnUrl,
    body: JsonBody<SpeechRequest>,
) -> Answer<HttpResponse> {
    if body.0.stream {
        let speech = media.speak_stream(caller.as_ref(), body.0.into()).await?;
        return Ok(play(speech));
    }
    let record = media.speak(caller.as_ref(), body.0.into()).await?;
    let location = format!("/tts/{}", record.id);
    let response = with_links(&media, &own_url, record).await?;
    Ok(HttpResponse::Created().insert_header((LOCATION, location)).json(response))
}

/// The sound, while it is made. An error breaks the answer off: there is no other way to tell once the first byte is sent.
pub(super) fn play(speech: SpeechStream) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(speech.record.content_type())
        .insert_header((CONTENT_LOCATION, format!("/tts/{}", speech.record.id)))
        .streaming(speech.audio.map_err(broken_off))
}

/// List the voices.
#[utoipa::path(tag = "speech", params(VoicesQuery), responses(
    (status = 200, description = "The voices of the synthesizer", body = VoiceListResponse),
    (status = 400, description = "There is no such synthesizer (E012)"),
    (status = 503, description = "The engine is not installed (E028)"),
))]
#[get("/tts/voices")]
async fn voices(media: web::Data<MediaService>, query: Query<VoicesQuery>) -> Answer<web::Json<VoiceListResponse>> {
    Ok(web::Json(media.voices(query.0.model).await?.into()))
}

/// List one's own recordings, newest first.
#[utoipa::path(tag = "speech", params(PageQuery), responses(
    (status = 200, description = "A page of recordings", body = SpeechPage),
    (status = 400, description = "The limit is out of range (E012)"),
))]
#[get("/tts")]
async fn list(
    Authenticated(caller): Authenticated,
    media: web::Data<MediaService>,
    own_url: OwnUrl,
    query: Query<PageQuery>,
) -> Answer<web::Json<SpeechPage>> {
    let page = media.list(&caller, MediaKind::Speech, query.0.try_into()?).await?;
    Ok(web::Json(SpeechPage::of(page.next, all_with_links(&media, &own_url, page.items).await?)))
}

/// List everybody's recordings, newest first.
#[utoipa::path(tag = "admin", params(PageQuery), responses(
    (status = 200, description = "A page of recordings", body = SpeechPage),
    (status = 400, description = "The limit is out of range (E012)"),
))]
#[get("/admin/audios")]
async fn list_all(
    Admin(caller): Admin,
    media: web::Data<MediaService>,
    own_url: OwnUrl,
    query: Query<PageQuery>,
) -> Answer<web::Json<SpeechPage>> {
    let page = media.list_all(&caller, MediaKind::Speech, query.0.try_into()?).await?;
    Ok(web::Json(SpeechPage::of(page.next, all_with_links(&media, &own_url, page.items).await?)))
}

/// Read a recording's record.
#[utoipa::path(tag = "speech", params(("id" = String, Path, description = "The recording")), responses(
    (status = 200, description = "The recording", body = SpeechResponse),
    (status = 404, description = "No such recording, or another user's (E048)"),
))]
#[get("/tts/{id}")]
async fn read(
    MaybeAuthenticated(caller): MaybeAuthenticated,
    media: web::Data<MediaService>,
    own_url: OwnUrl,
    id: PathId<MediaId>,
) -> Answer<web::Json<SpeechResponse>> {
    let record = media.get(caller.as_ref(), MediaKind::Speech, id.0).await?;
    Ok(web::Json(with_links(&media, &own_url, record).await?))
}

/// Get a link to a recording.
///
/// It works without a token until it expires.
#[utoipa::path(tag = "speech", params(("id" = String, Path, description = "The recording"), DownloadQuery), responses(
    (status = 200, description = "The link", body = DownloadResponse),
    (status = 307, description = "To the recording itself, with `redirect=true`"),
    (status = 404, description = "No such recording, another user's, or one that is not done (E048)"),
))]
#[get("/tts/{id}/download")]
async fn download(
    MaybeAuthenticated(caller): MaybeAuthenticated,
    media: web::Data<MediaService>,
    own_url: OwnUrl,
    id: PathId<MediaId>,
    query: Query<DownloadQuery>,
) -> Answer<HttpResponse> {
    let link = media.download(caller.as_ref(), MediaKind::Speech, id.0).await?;
    Ok(answer_link(own_url.complete(link).into(), query.0.redirect))
}

/// Delete a recording and its record.
#[utoipa::path(tag = "speech", params(("id" = String, Path, description = "The recording")), responses(
    (status = 204, description = "It is gone"),
    (status = 404, description = "No such recording, or another user's (E048)"),
))]
#[delete("/tts/{id}")]
async fn remove(
    MaybeAuthenticated(caller): MaybeAuthenticated,
    media: web::Data<MediaService>,
    id: PathId<MediaId>,
) -> Answer<HttpResponse> {
    media.remove(caller.as_ref(), MediaKind::Speech, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn with_links(media: &MediaService, own_url: &OwnUrl, record: MediaRecord) -> Answer<SpeechResponse> {
    let content = media.link(&record).await?.map(|link| own_url.complete(link));
    Ok(SpeechResponse::new(record, MediaLinks { content, thumbnail: None }))
}

async fn all_with_links(media: &MediaService, own_url: &OwnUrl, records: Vec<MediaRecord>) -> Answer<Vec<SpeechResponse>> {
    let mut responses = Vec::with_capacity(records.len());
    for record in records {
        responses.push(with_links(media, own_url, record).await?);
    }
    Ok(responses)
}
