//! Objects by signed links, where this server serves them itself.

use std::ops::Range;

use actix_web::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_RANGE, RANGE,
};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, get, web};
use domain::{ObjectKey, Timestamp};
use futures_util::TryStreamExt;
use services::{MediaService, OpenedObject, ServiceError};
use utoipa_actix_web::service_config::ServiceConfig;

use super::Answer;
use crate::ApiError;
use crate::dto::LinkQuery;
use crate::extractors::{PathName, Query};
use crate::middleware::log_error;

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(open);
}

/// Follow a signed link.
///
/// Open to whoever has the link, until it expires. Parts can be asked for (`Range`), so that a download can be resumed and a recording
/// played from its middle.
#[utoipa::path(tag = "objects", params(("name" = String, Path, description = "The object"), LinkQuery), responses(
    (status = 200, description = "The object", body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 206, description = "The part that was asked for", body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 403, description = "The link is not valid, or no longer (E049)"),
    (status = 416, description = "The object has no such part"),
))]
#[get("/objects/{name:.+}")]
async fn open(
    request: HttpRequest,
    media: web::Data<MediaService>,
    name: PathName,
    query: Query<LinkQuery>,
) -> Answer<HttpResponse> {
    let invalid = || ApiError::from(ServiceError::LinkInvalid);
    let key = ObjectKey::parse(name.0).map_err(|_| invalid())?;
    let expires_at = Timestamp::from_timestamp(query.0.expires, 0).ok_or_else(invalid)?;
    let object = media.open_link(&key, expires_at, &query.0.signature).await?;
    let size = object.info.size_bytes;
    let etag = format!("\"{size:x}-{:x}\"", object.info.modified_at.timestamp_micros());
    let (status, range) = match asked_range(&request, &etag, size) {
        Asked::Whole => (StatusCode::OK, 0..size),
        Asked::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Asked::Outside => return Ok(no_such_part(size)),
    };
    let mut response = HttpResponse::build(status);
    response
        .content_type(content_type(&key))
        .insert_header((ACCEPT_RANGES, "bytes"))
        .insert_header((ETAG, etag))
        .insert_header((CONTENT_DISPOSITION, "inline"))
        .insert_header((CACHE_CONTROL, cache_control(&object)));
    if status == StatusCode::PARTIAL_CONTENT {
        response.insert_header((CONTENT_RANGE, format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1))));
    }
    let length = range.end - range.start;
    if request.method() == Method::HEAD {
        response.insert_header((CONTENT_LENGTH, length));
        return Ok(response.finish());
    }
    let bytes = media.read(&object, Some(range)).await?;
    let bytes = bytes.map_err(|error| broken_off(ServiceError::Store(error).into()));
    Ok(response.no_chunking(length).streaming(bytes))
}

/// An answer whose head is sent can only be broken off; the log says why.
pub(super) fn broken_off(error: ApiError) -> actix_web::Error {
    log_error(&error);
    error.into()
}

fn no_such_part(size: u64) -> HttpResponse {
    HttpResponse::RangeNotSatisfiable()
        .insert_header((CONTENT_RANGE, format!("bytes */{size}")))
        .content_type("text/plain")
        .finish()
}

/// An object never changes under its name; who may keep a copy may keep it for as long as the link works.
fn cache_control(object: &OpenedObject) -> String {
    let seconds = (object.expires_at - object.info.modified_at).num_seconds().clamp(0, 3600);
    format!("private, max-age={seconds}")
}

fn content_type(key: &ObjectKey) -> &'static str {
    match key.as_str().rsplit_once('.').map(|(_, extension)| extension) {
        Some("png") => "image/png",
        Some("webp") => "image/webp",
        Some("mp3") => "audio/mpeg",
        Some("wav") => "audio/wav",
        Some("opus") => "audio/ogg",
        Some("flac") => "audio/flac",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    Part(Range<u64>),
    Outside,
}

/// Which part is asked for. A range that cannot be read, and several at once, may be answered with the whole (RFC 9110, section 14.2); so
/// is one of an older version (section 13.1.5).
fn asked_range(request: &HttpRequest, etag: &str, size: u64) -> Asked {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let is_other_version = request.headers().contains_key(IF_RANGE) && header(IF_RANGE) != Some(etag);
    match header(RANGE) {
        Some(range) if !is_other_version => parse_range(range, size).unwrap_or(Asked::Whole),
        _ => Asked::Whole,
    }
}

fn parse_range(text: &str, size: u64) -> Option<Asked> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let range = match (first, last) {
        ("", suffix) => size.saturating_sub(number(suffix)?)..size,
        (first, "") => number(first)?..size,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return None;
            }
            first..size.min(last.saturating_add(1))
        }
    };
    Some(if range.start < range.end { Asked::Part(range) } else { Asked::Outside })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_rfc_9110_writes_it() {
        let part = |range| Some(Asked::Part(range));
        assert_eq!(parse_range("bytes=0-0", 10), part(0..1));
        assert_eq!(parse_range("bytes=3-6", 10), part(3..7));
        assert_eq!(parse_range("bytes=3-", 10), part(3..10));
        assert_eq!(parse_range("bytes=3-99999", 10), part(3..10));
        assert_eq!(parse_range("bytes=-3", 10), part(7..10));
        assert_eq!(parse_range("bytes=-30", 10), part(0..10));
        assert_eq!(parse_range("bytes=0-18446744073709551615", 10), part(0..10));
        for outside in ["bytes=10-", "bytes=10-12", "bytes=-0"] {
            assert_eq!(parse_range(outside, 10), Some(Asked::Outside), "{outside}");
        }
        assert_eq!(parse_range("bytes=0-", 0), Some(Asked::Outside));
        for unreadable in
            ["", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-3", "bytes=0-1,3-4", "lines=0-1", "bytes=+1-2", "bytes=1"]
        {
            assert_eq!(parse_range(unreadable, 10), None, "{unreadable}");
        }
    }
}
