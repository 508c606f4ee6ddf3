//! The name of a request, by which a client's complaint finds its lines in the log.

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use uuid::Uuid;

/// Carries the name in both directions.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request's name: the caller's own, if it is 1–128 letters, digits, `.`, `_` or `-`, else a new UUID of version 7.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    const MAX_BYTES: usize = 128;

    /// The name that a request brings, or a new one. What is not acceptable is replaced, not refused: a name is never worth an error,
    /// and what goes into the log must not be able to forge a line of it.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        headers
            .get(X_REQUEST_ID)
            .and_then(|value| value.to_str().ok())
            .filter(|text| Self::is_acceptable(text))
            .map_or_else(Self::fresh, |text| Self(text.to_owned()))
    }

    fn is_acceptable(text: &str) -> bool {
        (1..=Self::MAX_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    }

    /// A new name.
    pub fn fresh() -> Self {
        Self(Uuid::now_v7().to_string())
    }

    /// The name of the request that is being served; a fresh one where the middleware that gives names is absent.
    pub fn of(request: &HttpRequest) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_else(Self::fresh)
    }

    /// The name as a header's value.
    pub(crate) fn header_value(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).unwrap_or_else(|_| HeaderValue::from_static("invalid"))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromRequest for RequestId {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::of(request)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept(value: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_str(value).unwrap());
        RequestId::from_headers(&headers).0 == value
    }

    #[test]
    fn a_callers_own_name_is_kept_if_it_is_short_and_plain() {
        assert!(kept("a"));
        assert!(kept("Abc-1.2_3"));
        assert!(kept(&"x".repeat(128)));
        assert!(!kept(&"x".repeat(129)));
        assert!(!kept(""));
        assert!(!kept("two words"));
        assert!(!kept("a\tb"));
        assert!(!kept("a=b"));
    }

    proptest! {
        #[test]
        fn whatever_a_caller_names_its_request_the_name_forges_no_line(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Ok(()) };
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, value);
            let name = RequestId::from_headers(&headers);
            prop_assert!(RequestId::is_acceptable(&name.0));
            let header = name.header_value();
            prop_assert_eq!(header.to_str().ok(), Some(name.0.as_str()));
        }
    }

    #[test]
    fn a_new_name_is_a_uuid_of_version_7() {
        let name = RequestId::from_headers(&HeaderMap::new());
        assert_eq!(Uuid::parse_str(&name.0).unwrap().get_version_num(), 7);
    }
}
