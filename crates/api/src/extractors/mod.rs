//! What handlers take instead of a bare request: a caller who has been proven, a body that has been read and bounded, an identifier.
//!
//! Whether a caller may pass is decided before any of them runs; the signature of a handler shows who calls it.

mod authenticated;
mod body;
mod client;
mod path_and_query;

pub(crate) use authenticated::{Admin, Authenticated, MaybeAuthenticated};
pub(crate) use body::{FormBody, ImportBody, JsonBody};
pub(crate) use client::Client;
pub(crate) use path_and_query::{PathId, PathMessageId, PathName, Query};

use std::pin::Pin;

use crate::ApiError;

/// What an extractor answers with.
type Extraction<T> = Pin<Box<dyn Future<Output = Result<T, ApiError>>>>;
