//! What the routes of pictures and of recordings do alike.

use std::future::{Ready, ready};
use std::marker::PhantomData;

use actix_web::dev::Payload;
use actix_web::http::header::LOCATION;
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use domain::{Cursor, MediaId, MediaKind, MediaRecord};
use serde::Serialize;
use services::{Caller, MediaService};

use super::Answer;
use crate::ApiError;
use crate::dto::{DownloadQuery, DownloadResponse, ImagePage, ImageResponse, MediaLinks, PageQuery, SpeechPage, SpeechResponse};
use crate::edge::OwnUrl;
use crate::extractors::{PathId, Query};

/// One of the two kinds, as its routes name and answer it.
pub(super) trait Kind {
    const KIND: MediaKind;
    /// Where its records are.
    const PATH: &str;
    type Response: Serialize;
    type Page: Serialize;

    fn response(record: MediaRecord, links: MediaLinks) -> Self::Response;
    fn page(next: Option<Cursor>, items: Vec<Self::Response>) -> Self::Page;
}

pub(super) struct Pictures;

impl Kind for Pictures {
    const KIND: MediaKind = MediaKind::Image;
    const PATH: &str = "/image";
    type Response = ImageResponse;
    type Page = ImagePage;

    fn response(record: MediaRecord, links: MediaLinks) -> ImageResponse {
        ImageResponse::new(record, links)
    }

    fn page(next: Option<Cursor>, items: Vec<ImageResponse>) -> ImagePage {
        ImagePage::of(next, items)
    }
}

pub(super) struct Recordings;

impl Kind for Recordings {
    const KIND: MediaKind = MediaKind::Speech;
    const PATH: &str = "/tts";
    type Response = SpeechResponse;
    type Page = SpeechPage;

    fn response(record: MediaRecord, links: MediaLinks) -> SpeechResponse {
        SpeechResponse::new(record, links)
    }

    fn page(next: Option<Cursor>, items: Vec<SpeechResponse>) -> SpeechPage {
        SpeechPage::of(next, items)
    }
}

/// The records of one kind, answered with links that lead where the request came to.
pub(super) struct Shelf<K> {
    media: web::Data<MediaService>,
    own_url: OwnUrl,
    kind: PhantomData<K>,
}

impl<K: Kind> Shelf<K> {
    /// That a record was made.
    pub(super) async fn created(&self, record: MediaRecord) -> Answer<HttpResponse> {
        let location = format!("{}/{}", K::PATH, record.id);
        let response = self.with_links(record).await?;
        Ok(HttpResponse::Created().insert_header((LOCATION, location)).json(response))
    }

    pub(super) async fn list(&self, caller: &Caller, query: Query<PageQuery>) -> Answer<web::Json<K::Page>> {
        let page = self.media.list(caller, K::KIND, query.0.try_into()?).await?;
        self.page(page.next, page.items).await
    }

    pub(super) async fn list_all(&self, caller: &Caller, query: Query<PageQuery>) -> Answer<web::Json<K::Page>> {
        let page = self.media.list_all(caller, K::KIND, query.0.try_into()?).await?;
        self.page(page.next, page.items).await
    }

    pub(super) async fn read(&self, caller: Option<&Caller>, id: PathId<MediaId>) -> Answer<web::Json<K::Response>> {
        let record = self.media.get(caller, K::KIND, id.0).await?;
        Ok(web::Json(self.with_links(record).await?))
    }

    /// A link as JSON, or as a redirect.
    pub(super) async fn download(
        &self,
        caller: Option<&Caller>,
        id: PathId<MediaId>,
        query: Query<DownloadQuery>,
    ) -> Answer<HttpResponse> {
        let link = self.own_url.complete(self.media.download(caller, K::KIND, id.0).await?);
        Ok(if query.0.redirect {
            HttpResponse::TemporaryRedirect().insert_header((LOCATION, link.url)).finish()
        } else {
            HttpResponse::Ok().json(DownloadResponse::from(link))
        })
    }

    pub(super) async fn remove(&self, caller: Option<&Caller>, id: PathId<MediaId>) -> Answer<HttpResponse> {
        self.media.remove(caller, K::KIND, id.0).await?;
        Ok(HttpResponse::NoContent().finish())
    }

    async fn page(&self, next: Option<Cursor>, records: Vec<MediaRecord>) -> Answer<web::Json<K::Page>> {
        let mut items = Vec::with_capacity(records.len());
        for record in records {
            items.push(self.with_links(record).await?);
        }
        Ok(web::Json(K::page(next, items)))
    }

    async fn with_links(&self, record: MediaRecord) -> Answer<K::Response> {
        let content = self.media.link(&record).await?.map(|link| self.own_url.complete(link));
        let thumbnail = self.media.thumbnail_link(&record).await?.map(|link| self.own_url.complete(link));
        Ok(K::response(record, MediaLinks { content, thumbnail }))
    }
}

impl<K> FromRequest for Shelf<K> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let Some(media) = request.app_data::<web::Data<MediaService>>().cloned() else {
            return ready(Err(ApiError::internal("the server has no pictures and recordings")));
        };
        let Ok(own_url) = OwnUrl::from_request(request, payload).into_inner();
        ready(Ok(Self { media, own_url, kind: PhantomData }))
    }
}
