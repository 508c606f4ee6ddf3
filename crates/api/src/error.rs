//! What a handler answers when it cannot answer: one type, made from every error of the layers below, with its code and status.
//!
//! The body is not written here. A handler's error travels to the [`problems`](crate::middleware::problems) middleware, which knows the
//! request's id, logs the cause once and writes the `application/problem+json` body.

use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use domain::Refusal;
use ports::{GenerationError, HashingError, RepositoryError, StoreError};
use services::ServiceError;

use crate::ErrorCode;
use crate::error_code::{Dialect, status_for};

/// An error on its way to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    code: ErrorCode,
    status: StatusCode,
    detail: String,
    param: Option<String>,
    retry_after_seconds: Option<u32>,
    allow: Option<String>,
    cause: Option<String>,
}

/// What a client is told to wait where nothing better is known: long enough for a restart, short enough for a person.
const RETRY_AFTER_SECONDS: u32 = 5;

impl ApiError {
    /// An error with what to tell the client, as a sentence without the code.
    pub fn new(code: ErrorCode, detail: impl fmt::Display) -> Self {
        let status = code.status();
        Self {
            code,
            status,
            detail: format!("[{}] {detail}", code.code()),
            param: None,
            retry_after_seconds: is_temporary(status).then_some(RETRY_AFTER_SECONDS),
            allow: None,
            cause: None,
        }
    }

    /// An error of which there is no more to say than its title.
    pub fn titled(code: ErrorCode) -> Self {
        Self::new(code, code.title())
    }

    /// A request that is not what the route reads (422).
    pub fn malformed(problem: impl fmt::Display) -> Self {
        Self::new(ErrorCode::Malformed, problem)
    }

    /// A fault of the server: the client learns nothing of the cause, the log everything.
    pub fn internal(cause: impl fmt::Display) -> Self {
        let told = "The server failed; its log holds the cause under this request's id";
        Self::new(ErrorCode::Internal, told).caused_by(cause)
    }

    /// The same error, answered with another status than its code's.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self.retry_after_seconds = self.retry_after_seconds.filter(|_| is_temporary(status));
        self
    }

    /// The same error, as these clients know it.
    #[must_use]
    pub fn told_in(self, dialect: Dialect) -> Self {
        let status = status_for(dialect, self.code);
        self.with_status(status)
    }

    /// The same error, with the name of the field that it is about.
    #[must_use]
    pub fn about(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// The same error, with the wait to suggest.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// The same error, with the methods that the path knows.
    #[must_use]
    pub fn allowing(mut self, methods: impl Into<String>) -> Self {
        self.allow = Some(methods.into());
        self
    }

    /// The same error, with what the log is to say of it and the client is not to read.
    #[must_use]
    pub fn caused_by(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// Its code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// What the client is told.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// What the client is told, without the code in front.
    pub(crate) fn message(&self) -> &str {
        self.detail.split_once("] ").map_or(&self.detail, |(_, message)| message)
    }

    /// The field that it is about, if it is about one.
    pub(crate) fn param(&self) -> Option<&str> {
        self.param.as_deref()
    }

    /// What the log is told beyond that.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// A response with the status and the headers of this error, and no body yet.
    pub(crate) fn head(&self) -> HttpResponseBuilder {
        let mut response = HttpResponse::build(self.status);
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((WWW_AUTHENTICATE, "Bearer"));
        }
        if let Some(seconds) = self.retry_after_seconds {
            response.insert_header((RETRY_AFTER, seconds));
        }
        if let Some(methods) = &self.allow {
            response.insert_header((ALLOW, methods.as_str()));
        }
        response
    }
}

/// A wait as HTTP tells it: in seconds, never shorter than it is, and never nothing.
pub(crate) fn whole_seconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)
}

/// Whether who gets this status is told when to come back.
fn is_temporary(status: StatusCode) -> bool {
    matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
}

impl fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.detail)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        self.head().finish()
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let code = match &refusal {
            Refusal::EmptyPrompt => ErrorCode::EmptyPrompt,
            Refusal::PromptTooLong { .. } => ErrorCode::PromptTooLong,
            Refusal::LengthOutOfRange { .. } => ErrorCode::LengthOutOfRange,
            Refusal::TemperatureOutOfRange(_) => ErrorCode::TemperatureOutOfRange,
            Refusal::TopPOutOfRange(_) => ErrorCode::TopPOutOfRange,
            Refusal::Field { .. } => ErrorCode::ValueRefused,
        };
        let field = refusal.field_name();
        Self::new(code, refusal).about(field)
    }
}

impl From<GenerationError> for ApiError {
    fn from(error: GenerationError) -> Self {
        let code = match &error {
            GenerationError::PromptTooLong { .. } => ErrorCode::PromptTooLong,
            GenerationError::Overloaded { retry_after_seconds } => {
                return Self::new(ErrorCode::Overloaded, &error).retry_after((*retry_after_seconds).max(1));
            }
            GenerationError::DeadlineExceeded => ErrorCode::DeadlineExceeded,
            GenerationError::ShuttingDown => ErrorCode::ShuttingDown,
            GenerationError::ModelUnavailable(_) => ErrorCode::ModelUnavailable,
            GenerationError::InputRefused(_) => ErrorCode::ValueRefused,
            GenerationError::Unsupported { field } => return Self::new(ErrorCode::Unsupported, &error).about(*field),
            GenerationError::ProviderBusy { retry_after_seconds, .. } => {
                return Self::new(ErrorCode::ProviderBusy, &error).retry_after((*retry_after_seconds).max(1));
            }
            GenerationError::ProviderUnreachable { .. } => ErrorCode::ProviderUnreachable,
            GenerationError::ProviderFailed { provider, problem } => {
                return Self::new(ErrorCode::ProviderFailed, format!("{provider} answered badly")).caused_by(problem);
            }
            GenerationError::Failed(cause) => return Self::internal(cause),
        };
        Self::new(code, error)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable(cause) => {
                Self::new(ErrorCode::StoreUnavailable, "The store cannot answer now; try again").caused_by(cause)
            }
            // A use case reads the two first where they mean something; one that arrives here is a fault of ours.
            StoreError::NotFound | StoreError::Conflict { .. } | StoreError::Corrupt(_) => Self::internal(error),
        }
    }
}

impl From<RepositoryError> for ApiError {
    fn from(error: RepositoryError) -> Self {
        let code = match &error {
            RepositoryError::NotFound(_) => ErrorCode::ModelNotFound,
            RepositoryError::Unsupported(_) => ErrorCode::ValueRefused,
            RepositoryError::Unreachable(_) => ErrorCode::ProviderUnreachable,
            RepositoryError::Corrupt(_) => ErrorCode::ProviderFailed,
            // The text names folders of this machine.
            RepositoryError::Storage(cause) => {
                let told = "The disk that models are kept on is full or cannot be written; the server's log says more";
                return Self::new(ErrorCode::StoreUnavailable, told).caused_by(cause);
            }
        };
        Self::new(code, error)
    }
}

impl From<HashingError> for ApiError {
    fn from(error: HashingError) -> Self {
        match error {
            HashingError::Overloaded => Self::new(ErrorCode::Overloaded, error),
            HashingError::Failed(_) => Self::internal(error),
        }
    }
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        let code = match error {
            ServiceError::Refused(refusal) => return refusal.into(),
            ServiceError::Generation(error) => return error.into(),
            ServiceError::Store(error) => return error.into(),
            ServiceError::Repository(error) => return error.into(),
            ServiceError::Hashing(error) => return error.into(),
            ServiceError::Signing(_) => return Self::internal(error),
            ServiceError::StorageUnavailable { ref cause, .. } => {
                return Self::new(ErrorCode::StoreUnavailable, &error).caused_by(cause);
            }
            ServiceError::UsernameTaken { .. } => ErrorCode::UsernameTaken,
            ServiceError::EmailTaken => ErrorCode::EmailTaken,
            ServiceError::ModelNameTaken { .. } => ErrorCode::ModelNameTaken,
            ServiceError::InvalidCredentials => ErrorCode::InvalidCredentials,
            ServiceError::AccountInactive => ErrorCode::AccountInactive,
            ServiceError::InvalidToken => ErrorCode::InvalidToken,
            ServiceError::Forbidden => ErrorCode::Forbidden,
            ServiceError::UserNotFound => ErrorCode::UserNotFound,
            ServiceError::ModelNotFound { .. } => ErrorCode::ModelNotFound,
            ServiceError::TextGenerationNotFound => ErrorCode::TextGenerationNotFound,
            ServiceError::NotReplayable { .. } => ErrorCode::NotReplayable,
            ServiceError::ConversationNotFound => ErrorCode::ConversationNotFound,
            ServiceError::MessageNotFound => ErrorCode::MessageNotFound,
            ServiceError::StreamNotFound => ErrorCode::StreamNotFound,
            ServiceError::ImageNotFound => ErrorCode::ImageNotFound,
            ServiceError::SpeechNotFound => ErrorCode::SpeechNotFound,
            ServiceError::LinkInvalid => ErrorCode::LinkInvalid,
            ServiceError::SessionNotFound => ErrorCode::SessionNotFound,
            ServiceError::ApiKeyNotFound => ErrorCode::ApiKeyNotFound,
            ServiceError::InvalidCode => ErrorCode::InvalidCode,
            ServiceError::RegistrationClosed => ErrorCode::RegistrationClosed,
            ServiceError::SignInThrottled { retry_after_seconds } => {
                return Self::new(ErrorCode::SignInThrottled, &error).retry_after(retry_after_seconds.max(1));
            }
            ServiceError::RateLimited(decision) => {
                let seconds = decision.retry_after.map_or(1, whole_seconds);
                let detail = format!("{} requests a minute are allowed; try again in {seconds} s", decision.limit);
                return Self::new(ErrorCode::TooManyRequests, detail).retry_after(seconds);
            }
            ServiceError::QuotaExceeded { resets_in_seconds, .. } => {
                return Self::new(ErrorCode::QuotaExceeded, &error).retry_after(resets_in_seconds.max(1));
            }
            ServiceError::InputTooLong { .. } => ErrorCode::PromptTooLong,
            ServiceError::DefaultModel => ErrorCode::DefaultModelFixed,
            ServiceError::LastAdmin => ErrorCode::LastAdmin,
        };
        Self::new(code, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(error: impl Into<ServiceError>) -> (u16, &'static str, String) {
        let error = ApiError::from(error.into());
        (error.status.as_u16(), error.code.code(), error.detail)
    }

    #[test]
    fn a_taken_name_is_told_as_the_first_service_told_it() {
        let error = ServiceError::UsernameTaken { username: "johndoe".into() };
        assert_eq!(answer(error), (400, "E008", "[E008] User with username johndoe already exists".into()));
    }

    #[test]
    fn a_cause_is_for_the_log_alone() {
        for error in [
            ServiceError::Store(StoreError::Corrupt("row 7 of users".into())),
            ServiceError::Store(StoreError::Unavailable("disk /dev/sda1 is full".into())),
            ServiceError::Generation(GenerationError::Failed("tensor row 7".into())),
            ServiceError::Generation(GenerationError::ProviderFailed { provider: "openai", problem: "row 7".into() }),
            ServiceError::Hashing(HashingError::Failed("row 7".into())),
        ] {
            let answered = ApiError::from(error.clone());
            assert!(answered.cause().is_some(), "{error:?}");
            assert!(!answered.detail().contains("row 7") && !answered.detail().contains("sda1"), "{}", answered.detail());
        }
    }

    #[test]
    fn who_must_wait_is_told_how_long() {
        let told = |error: ApiError| error.error_response().headers().get(RETRY_AFTER).map(|v| v.to_str().unwrap().to_owned());
        let overloaded = GenerationError::Overloaded { retry_after_seconds: 17 };
        assert_eq!(told(ApiError::from(overloaded)).as_deref(), Some("17"));
        for code in ErrorCode::ALL.iter().filter(|code| matches!(code.status().as_u16(), 429 | 503)) {
            assert!(told(ApiError::titled(*code)).is_some(), "{code:?}");
        }
        assert_eq!(told(ApiError::titled(ErrorCode::Forbidden)), None);
    }

    #[test]
    fn a_401_names_the_scheme_and_a_400_in_its_place_does_not() {
        let unauthorized = ApiError::titled(ErrorCode::InvalidCredentials);
        assert_eq!(unauthorized.error_response().headers().get(WWW_AUTHENTICATE).unwrap(), "Bearer");
        let bad_request = unauthorized.with_status(StatusCode::BAD_REQUEST);
        assert!(bad_request.error_response().headers().get(WWW_AUTHENTICATE).is_none());
    }

    #[test]
    fn each_failure_of_a_generation_has_the_status_of_the_contract() {
        use GenerationError as E;
        let cases = [
            (E::PromptTooLong { prompt_tokens: 9, limit: 5, context_length: 5 }, 400),
            (E::Overloaded { retry_after_seconds: 1 }, 503),
            (E::DeadlineExceeded, 504),
            (E::ShuttingDown, 503),
            (E::ModelUnavailable("no such folder".into()), 503),
            (E::InputRefused("roles must alternate".into()), 400),
            (E::Unsupported { field: "top_k" }, 400),
            (E::ProviderUnreachable { provider: "openai" }, 503),
            (E::ProviderFailed { provider: "openai", problem: "garbage".into() }, 502),
            (E::Failed("bug".into()), 500),
        ];
        for (error, status) in cases {
            assert_eq!(answer(error.clone()).0, status, "{error:?}");
        }
    }
}
