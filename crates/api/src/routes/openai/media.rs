//! Pictures and speech. Unlike texts they are kept in the caller's history: a link must lead to something.

use actix_web::{HttpResponse, post, web};
use domain::MediaRecord;
use futures_util::TryStreamExt;
use services::{Caller, ImageOrder, MediaService, ServiceError};

use super::Answer;
use crate::ApiError;
use crate::dto::openai::{Handover, ImageDatum, ImagesRequest, ImagesResponse, SpeechCreationRequest};
use crate::edge::OwnUrl;
use crate::extractors::{Authenticated, JsonBody};
use crate::middleware::log_error;
use crate::revocable::Revocable;
use crate::routes::speech::play;

/// Make pictures, as OpenAI does.
///
/// They are kept in the caller's history. Links work without a token until they expire. Where the server can make some of them and not
/// all, the answer holds those.
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
    revocable: Revocable,
    body: JsonBody<ImagesRequest>,
) -> Answer<web::Json<ImagesResponse>> {
    let (order, count, handover) = body.0.read()?;
    let records = revocable.run(draw_all(&media, &caller, &order, count)).await?;
    let created = records.first().map(|record| record.created_at).unwrap_or_default();
    let mut data = Vec::with_capacity(records.len());
    for record in records {
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
    Ok(web::Json(ImagesResponse::new(created, data)))
}

/// Draws one picture after the other. What is made is kept and paid for: where a later one fails, the earlier ones are the answer.
async fn draw_all(media: &MediaService, caller: &Caller, order: &ImageOrder, count: usize) -> Answer<Vec<MediaRecord>> {
    let mut records = Vec::with_capacity(count);
    for _ in 0..count {
        match media.draw(Some(caller), order.clone()).await {
            Ok(record) => records.push(record),
            Err(error) if records.is_empty() => return Err(error.into()),
            Err(error) => {
                log_error(&error.into());
                break;
            }
        }
    }
    Ok(records)
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
    revocable: Revocable,
    body: JsonBody<SpeechCreationRequest>,
) -> Answer<HttpResponse> {
    let order = body.0.read(media.speech_model().as_str())?;
    let speech = revocable.run(media.speak_stream(Some(&caller), order)).await.map_err(in_openais_words)?;
    Ok(play(speech, revocable))
}

/// The same error, about the field by the name that it has here.
fn in_openais_words(error: ApiError) -> ApiError {
    match error.param() {
        Some("prompt") => error.about("input"),
        Some("format") => error.about("response_format"),
        _ => error,
    }
}
