//! What handlers take instead of a bare request: a caller who has been proven, a body that has been read and bounded, an identifier.
//!
//! A route that takes neither [`Authenticated`] nor [`Admin`] is open to anyone, and its signature shows it.

mod authenticated;
mod body;
mod client;
mod path_and_query;

pub(crate) use authenticated::{Admin, Authenticated};
pub(crate) use body::{FormBody, JsonBody};
pub(crate) use client::Client;
pub(crate) use path_and_query::{PathId, PathName, Query};

use std::pin::Pin;

use crate::ApiError;

/// What an extractor answers with.
type Extraction<T> = Pin<Box<dyn Future<Output = Result<T, ApiError>>>>;
