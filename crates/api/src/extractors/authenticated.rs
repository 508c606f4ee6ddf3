//! Who calls: the caller that the [`authorise`](crate::middleware::authorise) middleware has proven.
//!
//! A handler that asks for a caller at a route that the table leaves open gets none, and answers 500: a table and a signature that
//! contradict each other are a fault, and the safe side of it.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use services::Caller;

use crate::ApiError;

/// A signed-in user.
pub(crate) struct Authenticated(pub(crate) Caller);

/// A signed-in admin.
pub(crate) struct Admin(pub(crate) Caller);

/// A signed-in user, or a guest where the table lets both pass.
pub(crate) struct MaybeAuthenticated(pub(crate) Option<Caller>);

impl FromRequest for MaybeAuthenticated {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // Whoever came with a token that proves nothing was turned away before.
        ready(Ok(Self(request.extensions().get::<Caller>().cloned())))
    }
}

impl FromRequest for Authenticated {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(proven(request).map(Self))
    }
}

impl FromRequest for Admin {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(proven(request).and_then(|caller| caller.require_admin().map(|()| Self(caller)).map_err(Into::into)))
    }
}

fn proven(request: &HttpRequest) -> Result<Caller, ApiError> {
    let caller = request.extensions().get::<Caller>().cloned();
    caller.ok_or_else(|| ApiError::internal("a handler asks for a caller at a route that the table leaves open"))
}
