//! The body of every error under `/v1`, in the shape that OpenAI's clients read
//! (<https://platform.openai.com/docs/guides/error-codes/api-errors>).
//!
//! It is made from the same [`ApiError`] as every other error. `code` is OpenAI's where OpenAI has a word for it, and ours otherwise.

use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{ApiError, Dialect, ErrorCode};

/// Whether a path is one of those that speak OpenAI's language. It must be the one that the router reads, decoded.
pub(crate) fn is_openais(path: &str) -> bool {
    path == "/v1" || path.starts_with("/v1/")
}

/// An error as OpenAI's clients read it.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct OpenAiError {
    /// What went wrong.
    error: OpenAiErrorBody,
}

/// What went wrong.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct OpenAiErrorBody {
    /// What happened this time, for people.
    #[schema(example = "tools is not supported by this server")]
    message: String,
    /// The kind of error.
    #[serde(rename = "type")]
    #[schema(example = "invalid_request_error")]
    kind: &'static str,
    /// The field that it is about, if it is about one.
    #[schema(example = "tools", required)]
    param: Option<String>,
    /// What a program may switch on: OpenAI's word where there is one, otherwise a code of this server's table of errors.
    #[schema(example = "unsupported_parameter", required)]
    code: &'static str,
}

impl OpenAiError {
    /// The body for an error.
    pub(crate) fn new(error: &ApiError) -> Self {
        let param = error.param().map(str::to_owned);
        let error = OpenAiErrorBody { message: error.message().to_owned(), kind: kind(error), param, code: code(error.code()) };
        Self { error }
    }

    /// The whole response for an error.
    pub(crate) fn response(error: &ApiError) -> HttpResponse {
        let malformed = error.code() == ErrorCode::Malformed;
        let error = if malformed { &error.clone().told_in(Dialect::OpenAi) } else { error };
        let mut response = error.head();
        if error.code() == ErrorCode::QuotaExceeded {
            // OpenAI's clients repeat a 429 by themselves; the day will not have ended by then.
            response.insert_header(("X-Should-Retry", "false"));
        }
        response.json(Self::new(error))
    }
}

fn kind(error: &ApiError) -> &'static str {
    match error.code() {
        ErrorCode::QuotaExceeded => "insufficient_quota",
        ErrorCode::TooManyRequests => "requests",
        _ if error.status_code().is_server_error() => "server_error",
        _ => "invalid_request_error",
    }
}

fn code(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::ModelNotFound => "model_not_found",
        ErrorCode::PromptTooLong => "context_length_exceeded",
        ErrorCode::InvalidToken => "invalid_api_key",
        ErrorCode::Forbidden => "insufficient_permissions",
        ErrorCode::RouteNotFound => "unknown_url",
        ErrorCode::MethodNotAllowed => "method_not_supported",
        ErrorCode::Unsupported => "unsupported_parameter",
        ErrorCode::TooManyRequests => "rate_limit_exceeded",
        ErrorCode::QuotaExceeded => "insufficient_quota",
        ErrorCode::EmptyPrompt
        | ErrorCode::LengthOutOfRange
        | ErrorCode::TemperatureOutOfRange
        | ErrorCode::TopPOutOfRange
        | ErrorCode::ValueRefused => "invalid_value",
        other => other.code(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_under_v1_speak_openais_language() {
        for path in ["/v1", "/v1/", "/v1/models", "/v1/nowhere"] {
            assert!(is_openais(path), "{path}");
        }
        for path in ["/", "/v10/models", "/models", "/api/v1/models"] {
            assert!(!is_openais(path), "{path}");
        }
    }

    #[test]
    fn an_error_says_what_about_which_field_in_words_that_clients_know() {
        let error = ApiError::new(ErrorCode::Unsupported, "tools is not supported").about("tools");
        let body = serde_json::to_value(OpenAiError::new(&error)).unwrap();
        let expected = serde_json::json!({"error": {
            "message": "tools is not supported", "type": "invalid_request_error", "param": "tools", "code": "unsupported_parameter",
        }});
        assert_eq!(body, expected);
    }

    #[test]
    fn a_malformed_body_is_a_bad_request_and_what_must_wait_is_told_how_long() {
        assert_eq!(OpenAiError::response(&ApiError::malformed("n: not a number")).status(), 400);
        let busy = OpenAiError::response(&ApiError::titled(ErrorCode::Overloaded));
        assert_eq!(busy.status(), 503);
        assert!(busy.headers().contains_key("retry-after") && !busy.headers().contains_key("x-should-retry"));
        let spent = OpenAiError::response(&ApiError::titled(ErrorCode::QuotaExceeded));
        assert_eq!(spent.headers().get("x-should-retry").unwrap(), "false");
    }
}
