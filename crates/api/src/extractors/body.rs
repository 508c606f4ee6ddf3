//! Bodies: read within a size and a time, then parsed with the name of the field that does not fit.

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::{FromRequest, HttpRequest, web};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::Extraction;
use crate::config::ApiConfig;
use crate::{ApiError, ErrorCode};

/// A JSON object.
pub(crate) struct JsonBody<T>(pub(crate) T);

/// A form, as OAuth2 sends it (`application/x-www-form-urlencoded`).
pub(crate) struct FormBody<T>(pub(crate) T);

impl<T: DeserializeOwned + 'static> FromRequest for JsonBody<T> {
    type Error = ApiError;
    type Future = Extraction<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = |essence: &str| essence == "application/json" || essence.ends_with("+json");
        let head = check_head(request, "application/json", is_json, |config| config.json_body_bytes);
        let payload = web::Payload::from_request(request, payload);
        Box::pin(async move { parse_json(&read(payload.await, head?).await?).map(Self) })
    }
}

/// A JSON object that holds many records, and may be larger than others.
pub(crate) struct ImportBody<T>(pub(crate) T);

impl<T: DeserializeOwned + 'static> FromRequest for ImportBody<T> {
    type Error = ApiError;
    type Future = Extraction<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = |essence: &str| essence == "application/json" || essence.ends_with("+json");
        let head = check_head(request, "application/json", is_json, |config| config.import_body_bytes);
        let payload = web::Payload::from_request(request, payload);
        Box::pin(async move { parse_json(&read(payload.await, head?).await?).map(Self) })
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for FormBody<T> {
    type Error = ApiError;
    type Future = Extraction<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        const FORM: &str = "application/x-www-form-urlencoded";
        let head = check_head(request, FORM, |essence| essence == FORM, |config| config.form_body_bytes);
        let payload = web::Payload::from_request(request, payload);
        Box::pin(async move { parse_form(&read(payload.await, head?).await?).map(Self) })
    }
}

/// How much of a body is read, and for how long.
#[derive(Clone, Copy)]
struct Bounds {
    size_bytes: usize,
    wait: Duration,
}

/// Checks what the headers tell of a body before any of it is read.
fn check_head(
    request: &HttpRequest,
    expected: &str,
    is_expected: impl Fn(&str) -> bool,
    limit: impl Fn(&ApiConfig) -> usize,
) -> Result<Bounds, ApiError> {
    let config = request.app_data::<web::Data<ApiConfig>>().ok_or_else(|| ApiError::internal("no ApiConfig is registered"))?;
    let bounds = Bounds { size_bytes: limit(config), wait: config.body_timeout };
    let header = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
    let content_type = header(CONTENT_TYPE).unwrap_or_default();
    let mut parts = content_type.split(';').map(|part| part.trim().to_ascii_lowercase());
    let charset_fits = |part: &String| part.strip_prefix("charset=").is_none_or(|name| name.trim_matches('"') == "utf-8");
    if !parts.next().is_some_and(|essence| is_expected(&essence)) || !parts.all(|part| charset_fits(&part)) {
        return Err(ApiError::new(ErrorCode::UnsupportedMediaType, format!("The body must be {expected} in UTF-8")));
    }
    if header(CONTENT_ENCODING).is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(ApiError::new(ErrorCode::UnsupportedMediaType, "The body must not be compressed"));
    }
    match header(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if usize::try_from(length).is_ok_and(|length| length <= bounds.size_bytes) => Ok(bounds),
        Some(_) => Err(too_large(bounds)),
        None => Ok(bounds),
    }
}

fn too_large(bounds: Bounds) -> ApiError {
    ApiError::new(ErrorCode::PayloadTooLarge, format!("The body must have at most {} bytes", bounds.size_bytes))
}

async fn read(payload: Result<web::Payload, actix_web::Error>, bounds: Bounds) -> Result<Bytes, ApiError> {
    let broken = |error| ApiError::new(ErrorCode::BadRequest, "The body broke off").caused_by(error);
    let payload = payload.map_err(broken)?;
    match tokio::time::timeout(bounds.wait, payload.to_bytes_limited(bounds.size_bytes)).await {
        Ok(Ok(bytes)) => bytes.map_err(broken),
        Ok(Err(_)) => Err(too_large(bounds)),
        Err(_) => Err(ApiError::titled(ErrorCode::RequestTimeout)),
    }
}

fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    // serde reads a struct from an array too, field by field; nobody who sends one means that.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(ApiError::malformed("The body must be a JSON object"));
    }
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut parser).map_err(|error| at_field(&error))?;
    parser.end().map_err(ApiError::malformed)?;
    Ok(value)
}

fn parse_form<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let parser = serde_urlencoded::Deserializer::new(form_urlencoded::parse(bytes));
    serde_path_to_error::deserialize(parser).map_err(|error| at_field(&error))
}

/// The problem, led by the field it is at, where that is not the whole.
pub(super) fn at_field<E: std::fmt::Display>(error: &serde_path_to_error::Error<E>) -> ApiError {
    let path = error.path().to_string();
    if path == "." {
        ApiError::malformed(error.inner())
    } else {
        ApiError::malformed(format!("{path}: {}", error.inner())).about(path)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        name: String,
        temperature: Option<f64>,
    }

    fn problem(body: &str) -> String {
        parse_json::<Sample>(body.as_bytes()).unwrap_err().detail().to_owned()
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_field() {
        assert!(problem(r#"{"name": "a", "temperature": "hot"}"#).contains("temperature: invalid type"));
        assert!(problem("{}").contains("missing field `name`"));
        assert!(problem(r#"{"name": "a", "colour": 1}"#).contains("unknown field `colour`"));
        assert!(problem(r#"{"name": "a", "name": "b"}"#).contains("duplicate field `name`"));
    }

    #[test]
    fn only_one_whole_object_is_a_body() {
        for body in ["", "null", "[\"a\", 1.0]", "{\"name\": \"a\"} {}", "{\"name\": \"a\"", "\"a\""] {
            assert!(problem(body).starts_with("[E013]"), "{body}");
        }
        let sample = parse_json::<Sample>(b" {\"name\": \"a\", \"temperature\": 1} ").unwrap();
        assert_eq!((sample.name.as_str(), sample.temperature), ("a", Some(1.0)));
    }

    #[test]
    fn a_form_names_its_field_too() {
        let error = parse_form::<Sample>(b"name=a&temperature=hot").unwrap_err();
        assert!(error.detail().contains("temperature"), "{}", error.detail());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_json::<Sample>(&bytes);
            let _ = parse_form::<Sample>(&bytes);
        }
    }
}
