//! What answers a path that no route knows.

use actix_web::HttpResponse;

use super::Answer;
use crate::{ApiError, ErrorCode};

/// 404. The path is not repeated in the answer: it is the client's text, and the client has it.
pub(crate) async fn no_such_route() -> Answer<HttpResponse> {
    Err(ApiError::titled(ErrorCode::RouteNotFound))
}
