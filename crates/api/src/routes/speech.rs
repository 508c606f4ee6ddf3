//! Speech: speaking texts, and the recordings that were made.

use actix_web::http::header::CONTENT_LOCATION;
use actix_web::{HttpResponse, delete, get, post, web};
use domain::MediaId;
use futures_util::TryStreamExt;
use services::{MediaService, SpeechStream};
use utoipa_actix_web::service_config::ServiceConfig;

use super::Answer;
use super::media::{Recordings, Shelf};
use super::objects::broken_off;
use crate::dto::{
    DownloadQuery, DownloadResponse, PageQuery, SpeechPage, SpeechRequest, SpeechResponse, VoiceListResponse, VoicesQuery,
};
use crate::extractors::{Admin, Authenticated, JsonBody, MaybeAuthenticated, PathId, Query};
use crate::revocable::Revocable;

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
    shelf: Shelf<Recordings>,
    revocable: Revocable,
    body: JsonBody<SpeechRequest>,
) -> Answer<HttpResponse> {
    if body.0.stream {
        let speech = revocable.run(media.speak_stream(caller.as_ref(), body.0.into())).await?;
        return Ok(play(speech, revocable));
    }
    let record = revocable.run(media.speak(caller.as_ref(), body.0.into())).await?;
    shelf.created(record).await
}

/// The sound, while it is made. An error breaks the answer off: there is no other way to tell once the first byte is sent.
pub(super) fn play(speech: SpeechStream, revocable: Revocable) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(speech.record.content_type())
        .insert_header((CONTENT_LOCATION, format!("/tts/{}", speech.record.id)))
        .streaming(revocable.pieces(speech.audio).map_err(broken_off))
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
    shelf: Shelf<Recordings>,
    query: Query<PageQuery>,
) -> Answer<web::Json<SpeechPage>> {
    shelf.list(&caller, query).await
}

/// List everybody's recordings, newest first.
#[utoipa::path(tag = "administration", params(PageQuery), responses(
    (status = 200, description = "A page of recordings", body = SpeechPage),
    (status = 400, description = "The limit is out of range (E012)"),
))]
#[get("/admin/audios")]
async fn list_all(Admin(caller): Admin, shelf: Shelf<Recordings>, query: Query<PageQuery>) -> Answer<web::Json<SpeechPage>> {
    shelf.list_all(&caller, query).await
}

/// Read a recording's record.
#[utoipa::path(tag = "speech", params(("id" = String, Path, description = "The recording")), responses(
    (status = 200, description = "The recording", body = SpeechResponse),
    (status = 404, description = "No such recording, or another user's (E048)"),
))]
#[get("/tts/{id}")]
async fn read(
    MaybeAuthenticated(caller): MaybeAuthenticated,
    shelf: Shelf<Recordings>,
    id: PathId<MediaId>,
) -> Answer<web::Json<SpeechResponse>> {
    shelf.read(caller.as_ref(), id).await
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
    shelf: Shelf<Recordings>,
    id: PathId<MediaId>,
    query: Query<DownloadQuery>,
) -> Answer<HttpResponse> {
    shelf.download(caller.as_ref(), id, query).await
}

/// Delete a recording and its record.
#[utoipa::path(tag = "speech", params(("id" = String, Path, description = "The recording")), responses(
    (status = 204, description = "It is gone"),
    (status = 404, description = "No such recording, or another user's (E048)"),
))]
#[delete("/tts/{id}")]
async fn remove(
    MaybeAuthenticated(caller): MaybeAuthenticated,
    shelf: Shelf<Recordings>,
    id: PathId<MediaId>,
) -> Answer<HttpResponse> {
    shelf.remove(caller.as_ref(), id).await
}
