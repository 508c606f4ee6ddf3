//! Identifiers and names in paths, and queries: what does not fit is a 422 that names it.

use std::fmt::Display;
use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::DeserializeOwned;

use super::body::at_field;
use crate::ApiError;

/// The identifier in a route's `{id}`.
pub(crate) struct PathId<T>(pub(crate) T);

/// The identifier in a route's `{message_id}`.
pub(crate) struct PathMessageId(pub(crate) domain::MessageId);

impl FromRequest for PathMessageId {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = request.match_info().get("message_id").unwrap_or_default();
        ready(id.parse().map(Self).map_err(|error| ApiError::malformed(format!("message_id: {error}"))))
    }
}

/// The name in a route's `{name}`, decoded.
pub(crate) struct PathName(pub(crate) String);

/// A query string.
pub(crate) struct Query<T>(pub(crate) T);

impl<T> FromRequest for PathId<T>
where
    T: FromStr + 'static,
    T::Err: Display,
{
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = request.match_info().get("id").unwrap_or_default();
        let id = id.parse().map(Self).map_err(|error| ApiError::malformed(format!("id: {error}")));
        ready(id)
    }
}

impl FromRequest for PathName {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let name = web::Path::<String>::from_request(request, payload).into_inner();
        let name = name.map(|name| Self(name.into_inner())).map_err(|error| ApiError::malformed(format!("name: {error}")));
        ready(name)
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for Query<T> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let parser = serde_urlencoded::Deserializer::new(form_urlencoded::parse(request.query_string().as_bytes()));
        let query = serde_path_to_error::deserialize(parser).map(Self).map_err(|error| at_field(&error));
        ready(query)
    }
}
