//! The body of every error: `application/problem+json` (RFC 9457).

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{ApiError, RequestId};

/// The media type of [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What went wrong (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// Identifies the kind of problem; one for each code.
    #[serde(rename = "type")]
    #[schema(example = "urn:tertulia:error:E008")]
    kind: String,
    /// What the code means, the same for every occurrence.
    #[schema(example = "Username already exists")]
    title: &'static str,
    /// The status of the response.
    #[schema(example = 400)]
    status: u16,
    /// What happened this time, for people; begins with the code.
    #[schema(example = "[E008] User with username johndoe already exists")]
    detail: String,
    /// What a program may switch on.
    #[schema(example = "E008")]
    code: &'static str,
    /// Names this request in the server's log.
    #[schema(example = "0197a1b2-0000-7000-8000-000000000000")]
    request_id: String,
}

impl Problem {
    /// The body for an error of this request.
    pub(crate) fn new(error: &ApiError, request_id: &RequestId) -> Self {
        Self {
            kind: format!("urn:tertulia:error:{}", error.code().code()),
            title: error.code().title(),
            status: actix_web::ResponseError::status_code(error).as_u16(),
            detail: error.detail().to_owned(),
            code: error.code().code(),
            request_id: request_id.to_string(),
        }
    }

    /// The whole response for an error of this request.
    pub(crate) fn response(error: &ApiError, request_id: &RequestId) -> HttpResponse {
        let body = serde_json::to_string(&Self::new(error, request_id)).unwrap_or_default();
        error.head().content_type(PROBLEM_JSON).body(body)
    }
}
