//! Which web pages' scripts may read answers: those of the origins that a setting lists (<https://fetch.spec.whatwg.org/#http-cors-protocol>).

use std::time::Duration;

use actix_cors::Cors;
use actix_web::http::Method;
use actix_web::http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use actix_web::middleware::Condition;

use super::rate_headers;
use crate::dto::chat::wire;
use crate::edge::Origin;
use crate::request_id::X_REQUEST_ID;
use crate::unpaged;

/// How long a browser may keep what it was told. No browser keeps it for longer than two hours.
const MAX_AGE: Duration = Duration::from_hours(2);

/// What scripts may read beside the few headers that they always may.
const EXPOSED: [HeaderName; 17] = [
    wire::X_STREAM_ID,
    wire::X_CONVERSATION_ID,
    wire::X_USER_MESSAGE_ID,
    wire::X_ASSISTANT_MESSAGE_ID,
    wire::X_CONTEXT_MESSAGES_USED,
    wire::X_CONTEXT_MESSAGES_DROPPED,
    wire::X_CONTEXT_PROMPT_TOKENS,
    CONTENT_DISPOSITION,
    LOCATION,
    RETRY_AFTER,
    WWW_AUTHENTICATE,
    X_REQUEST_ID,
    rate_headers::LIMIT,
    rate_headers::REMAINING,
    rate_headers::RESET,
    rate_headers::POLICY,
    unpaged::TRUNCATED,
];

/// What OpenAI's official client for JavaScript adds to each request, also in a browser. Nothing here reads them.
const OF_OPENAIS_CLIENT: [&str; 10] = [
    "openai-organization",
    "openai-project",
    "x-stainless-arch",
    "x-stainless-lang",
    "x-stainless-os",
    "x-stainless-package-version",
    "x-stainless-retry-count",
    "x-stainless-runtime",
    "x-stainless-runtime-version",
    "x-stainless-timeout",
];

/// Answers preflights and marks answers for these origins; does nothing where there are none. Credentials in the browser's sense (cookies)
/// are never allowed, because tokens are sent in a header.
pub(crate) fn cors(origins: &[Origin]) -> Condition<Cors> {
    let allowed = origins.iter().fold(Cors::default(), |cors, origin| cors.allowed_origin(origin.as_str()));
    let cors = allowed
        .allowed_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allowed_headers([ACCEPT, AUTHORIZATION, CONTENT_TYPE, X_REQUEST_ID, HeaderName::from_static("last-event-id")])
        .allowed_headers(OF_OPENAIS_CLIENT)
        .expose_headers(&EXPOSED)
        .max_age(usize::try_from(MAX_AGE.as_secs()).ok());
    Condition::new(!origins.is_empty(), cors)
}
