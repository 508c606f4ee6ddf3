//! Pictures: making them, and those that were made.

use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, delete, get, post, web};
use domain::{MediaId, MediaKind, MediaRecord};
use services::MediaService;
use utoipa_actix_web::service_config::ServiceConfig;

use super::Answer;
use crate::dto::{DownloadQuery, DownloadResponse, ImagePage, ImageRequest, ImageResponse, MediaLinks, PageQuery};
use crate::edge::OwnUrl;
use crate::extractors::{Admin, Authenticated, JsonBody, MaybeAuthenticated, PathId, Query};

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
    own_url: OwnUrl,
    body: JsonBody<ImageRequest>,
) -> Answer<HttpResponse> {
    let record = media.draw(caller.as_ref(), body.0.into()).await?;
    let location = format!("/image/{}", record.id);
    let response = with_links(&media, &own_url, record).await?;
    Ok(HttpResponse::Created().insert_header((LOCATION, location)).json(response))
}

/// List one's own pictures, newest first.
#[utoipa::path(tag = "images", params(PageQuery), responses(
    (status = 200, description = "A page of pictures", body = ImagePage),
    (status = 400, description = "The limit is out of range (E012)"),
))]
#[get("/image")]
async fn list(
    Authenticated(caller): Authenticated,
    media: web::Data<MediaService>,
    own_url: OwnUrl,
    query: Query<PageQuery>,
) -> Answer<web::Json<ImagePage>> {
    let page = media.list(&caller, MediaKind::Image, query.0.try_into()?).await?;
    Ok(web::Json(ImagePage::of(page.next, all_with_links(&media, &own_url, page.items).await?)))
}

/// List everybody's pictures, newest first.
#[utoipa::path(tag = "admin", params(PageQuery), responses(
    (status = 200, description = "A page of pictures", body = ImagePage),
    (status = 400, description = "The limit is out of range (E012)"),
))]
#[get("/admin/images")]
async fn list_all(
    Admin(caller): Admin,
    media: web::Data<MediaService>,
    own_url: OwnUrl,
    query: Query<PageQuery>,
) -> Answer<web::Json<ImagePage>> {
    let page = media.list_all(&caller, MediaKind::Image, query.0.try_into()?).await?;
    Ok(web::Json(ImagePage::of(page.next, all_with_links(&media, &own_url, page.items).await?)))
}

/// Read a picture's record.
#[utoipa::path(tag = "images", params(("id" = String, Path, description = "The picture")), responses(
    (status = 200, description = "The picture", body = ImageResponse),
    (status = 404, description = "No such picture, or another user's (E047)"),
))]
#[get("/image/{id}")]
async fn read(
    MaybeAuthenticated(caller): MaybeAuthenticated,
    media: web::Data<MediaService>,
    own_url: OwnUrl,
    id: PathId<MediaId>,
) -> Answer<web::Json<ImageResponse>> {
    let record = media.get(caller.as_ref(), MediaKind::Image, id.0).await?;
    Ok(web::Json(with_links(&media, &own_url, record).await?))
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
    media: web::Data<MediaService>,
    own_url: OwnUrl,
    id: PathId<MediaId>,
    query: Query<DownloadQuery>,
) -> Answer<HttpResponse> {
    let link = media.download(caller.as_ref(), MediaKind::Image, id.0).await?;
    Ok(answer_link(own_url.complete(link).into(), query.0.redirect))
}

/// Delete a picture, its small copy and its record.
#[utoipa::path(tag = "images", params(("id" = String, Path, description = "The picture")), responses(
    (status = 204, description = "It is gone"),
    (status = 404, description = "No such picture, or another user's (E047)"),
))]
#[delete("/image/{id}")]
async fn remove(
    MaybeAuthenticated(caller): MaybeAuthenticated,
    media: web::Data<MediaService>,
    id: PathId<MediaId>,
) -> Answer<HttpResponse> {
    media.remove(caller.as_ref(), MediaKind::Image, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A link as JSON, or as a redirect.
pub(super) fn answer_link(link: DownloadResponse, redirect: bool) -> HttpResponse {
    if redirect {
        HttpResponse::TemporaryRedirect().insert_header((LOCATION, link.url())).finish()
    } else {
        HttpResponse::Ok().json(link)
    }
}

async fn with_links(media: &MediaService, own_url: &OwnUrl, record: MediaRecord) -> Answer<ImageResponse> {
    let content = media.link(&record).await?.map(|link| own_url.complete(link));
    let thumbnail = media.thumbnail_link(&record).await?.map(|link| own_url.complete(link));
    Ok(ImageResponse::new(record, MediaLinks { content, thumbnail }))
}

async fn all_with_links(media: &MediaService, own_url: &OwnUrl, records: Vec<MediaRecord>) -> Answer<Vec<ImageResponse>> {
    let mut responses = Vec::with_capacity(records.len());
    for record in records {
        responses.push(with_links(media, own_url, record).await?);
    }
    Ok(responses)
}
