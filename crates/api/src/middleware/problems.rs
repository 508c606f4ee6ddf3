//! The boundary: where an error stops being ours and becomes the client's.
//!
//! Every error of a handler or an extractor, and every one that the framework raised by itself, gets its problem body here, with the
//! request's id (or, under `/v1`, the body that OpenAI's clients read), and its cause is logged here and nowhere else.

use actix_web::Error;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::CONTENT_TYPE;
use actix_web::middleware::Next;

use crate::openai_error::{OpenAiError, is_openais};
use crate::problem::Problem;
use crate::{ApiError, ErrorCode, RequestId};

/// Gives every error its body. A response that brings its own (a readiness report, say) is left as it is.
pub(crate) async fn problems<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let response = next.call(request).await?;
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return Ok(response.map_into_boxed_body());
    }
    let error = match response.response().error() {
        Some(raised) => raised.as_error::<ApiError>().cloned().unwrap_or_else(|| foreign(raised)),
        None if response.headers().contains_key(CONTENT_TYPE) => return Ok(response.map_into_boxed_body()),
        None => ApiError::titled(ErrorCode::from_status(status)).with_status(status),
    };
    log_error(&error);
    let (request, _) = response.into_parts();
    let body = if is_openais(request.match_info().as_str()) {
        OpenAiError::response(&error)
    } else {
        Problem::response(&error, &RequestId::of(&request))
    };
    Ok(ServiceResponse::new(request, body))
}

/// An error that the framework raised: its status is true, its text was not written for clients.
fn foreign(raised: &Error) -> ApiError {
    let status = raised.as_response_error().status_code();
    ApiError::titled(ErrorCode::from_status(status)).with_status(status).caused_by(raised)
}

/// One line for a fault of ours or of what we stand on. What a client did wrong is in the request's own line already.
pub(crate) fn log_error(error: &ApiError) {
    let code = error.code().code();
    let cause = error.cause().unwrap_or(error.detail());
    if error.code() == ErrorCode::Internal {
        tracing::error!(code, cause, "request failed");
    } else if error.code().status().is_server_error() {
        tracing::warn!(code, cause, "request refused");
    } else {
        tracing::debug!(code, cause, "request refused");
    }
}
