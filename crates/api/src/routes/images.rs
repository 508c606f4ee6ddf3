//! Pictures: making them, and those that were made.

use actix_web::{HttpResponse, delete, get, post, web};
use domain::MediaId;
use services::MediaService;
use utoipa_actix_web::service_config::ServiceConfig;

use super::Answer;
use super::media::{Pictures, Shelf};
use crate::dto::{DownloadQuery, DownloadResponse, ImagePage, ImageRequest, ImageResponse, PageQuery};
use crate::extractors::{Admin, Authenticated, JsonBody, MaybeAuthenticated, PathId, Query};
use crate::revocable::Revocable;

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(create).service(list).service(list_all).service(read).service(download).service(remove);
}

/// Make a picture.
///
/// Without signing in it belongs to whoever knows its id. The answer comes when the picture is kept.
#[utoipa::path(tag = "images", request_body = ImageRequest, responses(
    (status = 201, description = "The picture", body = ImageResponse, headers(("Location" = String, description = "The record's path"))),
    (status = 400, description = "A value is refused (E004, E012, E014)"),
    (status = 502, description = "The provider answered badly, or with what is no picture (E031)"),
    (status = 503, description = "Overloaded, or the provider or the storage cannot be reached (E025, E028, E030, E032, E042)"),
    (status = 504, description = "It ran past its deadline (E026)"),
))]
#[post("/image/generate")]
async fn create(
    MaybeAuthenticated(caller): MaybeAuthenticated,
    media: web::Data<MediaService>,
    shelf: Shelf<Pictures>,
    revocable: Revocable,
    body: JsonBody<ImageRequest>,
) -> Answer<HttpResponse> {
    let record = revocable.run(media.draw(caller.as_ref(), body.0.into())).await?;
    shelf.created(record).await
}

/// List one's own pictures, newest first.
#[utoipa::path(tag = "images", params(PageQuery), responses(
    (status = 200, description = "A page of pictures", body = ImagePage),
    (status = 400, description = "The limit is out of range (E012)"),
))]
#[get("/image")]
async fn list(
    Authenticated(caller): Authenticated,
    shelf: Shelf<Pictures>,
    query: Query<PageQuery>,
) -> Answer<web::Json<ImagePage>> {
    shelf.list(&caller, query).await
}

/// List everybody's pictures, newest first.
#[utoipa::path(tag = "administration", params(PageQuery), responses(
    (status = 200, description = "A page of pictures", body = ImagePage),
    (status = 400, description = "The limit is out of range (E012)"),
))]
#[get("/admin/images")]
async fn list_all(Admin(caller): Admin, shelf: Shelf<Pictures>, query: Query<PageQuery>) -> Answer<web::Json<ImagePage>> {
    shelf.list_all(&caller, query).await
}

/// Read a picture's record.
#[utoipa::path(tag = "images", params(("id" = String, Path, description = "The picture")), responses(
    (status = 200, description = "The picture", body = ImageResponse),
    (status = 404, description = "No such picture, or another user's (E047)"),
))]
#[get("/image/{id}")]
async fn read(
    MaybeAuthenticated(caller): MaybeAuthenticated,
    shelf: Shelf<Pictures>,
    id: PathId<MediaId>,
) -> Answer<web::Json<ImageResponse>> {
    shelf.read(caller.as_ref(), id).await
}

/// Get a link to a picture.
///
/// It works without a token until it expires.
#[utoipa::path(tag = "images", params(("id" = String, Path, description = "The picture"), DownloadQuery), responses(
    (status = 200, description = "The link", body = DownloadResponse),
    (status = 307, description = "To the picture itself, with `redirect=true`"),
    (status = 404, description = "No such picture, another user's, or one that is not done (E047)"),
))]
#[get("/image/{id}/download")]
async fn download(
    MaybeAuthenticated(caller): MaybeAuthenticated,
    shelf: Shelf<Pictures>,
    id: PathId<MediaId>,
    query: Query<DownloadQuery>,
) -> Answer<HttpResponse> {
    shelf.download(caller.as_ref(), id, query).await
}

/// Delete a picture, its small copy and its record.
#[utoipa::path(tag = "images", params(("id" = String, Path, description = "The picture")), responses(
    (status = 204, description = "It is gone"),
    (status = 404, description = "No such picture, or another user's (E047)"),
))]
#[delete("/image/{id}")]
async fn remove(
    MaybeAuthenticated(caller): MaybeAuthenticated,
    shelf: Shelf<Pictures>,
    id: PathId<MediaId>,
) -> Answer<HttpResponse> {
    shelf.remove(caller.as_ref(), id).await
}
