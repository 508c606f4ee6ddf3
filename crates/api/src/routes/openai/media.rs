//! Pictures and speech. Unlike texts they are kept in the caller's history: a link must lead to something.

use actix_web::{HttpResponse, post, web};
use futures_util::TryStreamExt;
use services::{MediaService, ServiceError};

use super::Answer;
use crate::dto::openai::{Handover, ImageDatum, ImagesRequest, ImagesResponse, SpeechCreationRequest};
use crate::edge::OwnUrl;
use crate::extractors::{Authenticated, JsonBody};
use crate::routes::speech::play;

/// Make pictures, as OpenAI does.
///
/// They are kept in the caller's history. Links work without a token until they expire.
#[utoipa::path(tag = "OpenAI-compatible", request_body = ImagesRequest, responses(
    (status = 200, description = "The pictures", body = ImagesResponse),
    (status = 400, description = "A value is refused (`invalid_value`), or a field is not supported (`unsupported_parameter`)"),
    (status = 502, description = "The provider answered badly, or with what is no picture"),
    (status = 503, description = "Overloaded, or the provider or the storage cannot be reached"),
    (status = 504, description = "It ran past its deadline"),
))]
#[post("/v1/images/generations")]
pub(super) async fn draw(
    Authenticated(caller): Authenticated,
    media: web::Data<MediaService>,
    own_url: OwnUrl,
    body: JsonBody<ImagesRequest>,
) -> Answer<web::Json<ImagesResponse>> {
    let (order, count, handover) = body.0.read()?;
    let (mut data, mut created) = (Vec::with_capacity(count), None);
    for _ in 0..count {
        let record = media.draw(Some(&caller), order.clone()).await?;
        created = created.or(Some(record.created_at));
        data.push(match handover {
            Handover::Links => {
                let link = media.link(&record).await?.ok_or(ServiceError::ImageNotFound)?;
                ImageDatum::link(own_url.complete(link).url)
            }
            Handover::Bytes => {
                let content = media.content(&record).await?.ok_or(ServiceError::ImageNotFound)?;
                let pieces: Vec<_> = content.try_collect().await.map_err(ServiceError::Store)?;
                ImageDatum::bytes(&pieces.concat())
            }
        });
    }
    Ok(web::Json(ImagesResponse::new(created.unwrap_or_default(), data)))
}

/// Speak a text, as OpenAI does.
///
/// The answer is the sound, while it is made. It is kept in the caller's history; `Content-Location` names the record.
#[utoipa::path(tag = "OpenAI-compatible", request_body = SpeechCreationRequest, responses(
    (status = 200, description = "The sound", body = Vec<u8>, content_type = "audio/mpeg"),
    (status = 400, description = "A value is refused (`invalid_value`), or a field is not supported (`unsupported_parameter`)"),
    (status = 502, description = "The provider answered badly"),
    (status = 503, description = "Overloaded, or the engine, the provider or the storage cannot be used"),
    (status = 504, description = "It ran past its deadline"),
))]
#[post("/v1/audio/speech")]
pub(super) async fn speak(
    Authenticated(caller): Authenticated,
    media: web::Data<MediaService>,
    body: JsonBody<SpeechCreationRequest>,
) -> Answer<HttpResponse> {
    let order = body.0.read(media.speech_model().as_str())?;
    Ok(play(media.speak_stream(Some(&caller), order).await?))
}
