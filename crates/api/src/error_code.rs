//! The one table of error codes: what a client may switch on, and the page that lists them.
//!
//! A code is never reused and never changes its meaning. New ones are appended.

use actix_web::http::StatusCode;

macro_rules! error_codes {
    ($($(#[$doc:meta])* $code:literal $name:ident $status:ident $title:literal,)+) => {
        /// What went wrong, in the terms of this API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)+
        }

        impl ErrorCode {
            /// Every code, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The code on the wire, as in `E008`.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// The status it is answered with where a route does not say otherwise.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            /// What it means, the same for every occurrence (RFC 9457, section 3.1.3).
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }
        }
    };
}

error_codes! {
    /// No model of this name.
    "E001" ModelNotFound NOT_FOUND "Model configuration not found",
    /// No such text, or another user's.
    "E002" TextGenerationNotFound NOT_FOUND "Text generation not found",
    /// No such account, or not its password. `POST /token` answers 400.
    "E003" InvalidCredentials UNAUTHORIZED "Incorrect username or password",
    /// A prompt without a visible character.
    "E004" EmptyPrompt BAD_REQUEST "Prompt cannot be empty",
    /// `max_length` or `max_new_tokens` outside its range.
    "E005" LengthOutOfRange BAD_REQUEST "max_length out of range",
    /// `temperature` outside 0–2.
    "E006" TemperatureOutOfRange BAD_REQUEST "temperature out of range",
    /// `top_p` outside 0–1.
    "E007" TopPOutOfRange BAD_REQUEST "top_p out of range",
    /// The name is another account's.
    "E008" UsernameTaken BAD_REQUEST "Username already exists",
    /// The account is disabled. `POST /token` answers 400.
    "E009" AccountInactive UNAUTHORIZED "User account is inactive",
    /// No bearer token, or one that is not, or no longer, valid.
    "E010" InvalidToken UNAUTHORIZED "Invalid or expired token",
    /// No such account.
    "E011" UserNotFound NOT_FOUND "User not found",
    /// Any other value that breaks its own rule; the detail names the field.
    "E012" ValueRefused BAD_REQUEST "Value not acceptable",
    /// A body, query or path that is not what the route reads; the detail names the field.
    "E013" Malformed UNPROCESSABLE_ENTITY "Malformed request",
    /// The prompt has more characters than the server accepts, or leaves the model no room for a token.
    "E014" PromptTooLong BAD_REQUEST "Prompt too long",
    /// The address is another account's.
    "E015" EmailTaken CONFLICT "Email already in use",
    /// The name is another model's.
    "E016" ModelNameTaken CONFLICT "Model name already in use",
    /// No such session, or another user's.
    "E017" SessionNotFound NOT_FOUND "Session not found",
    /// The path is none of this server's.
    "E018" RouteNotFound NOT_FOUND "Route not found",
    /// The path exists, for other methods; `Allow` lists them.
    "E019" MethodNotAllowed METHOD_NOT_ALLOWED "Method not allowed",
    /// The body is longer than the route accepts.
    "E020" PayloadTooLarge PAYLOAD_TOO_LARGE "Request body too large",
    /// The body is of a type, or in an encoding, that the route does not read.
    "E021" UnsupportedMediaType UNSUPPORTED_MEDIA_TYPE "Unsupported content type",
    /// The caller is known and may not do this.
    "E022" Forbidden FORBIDDEN "Not allowed",
    /// The model that applies where a request names none must stay.
    "E023" DefaultModelFixed BAD_REQUEST "The default model cannot be renamed or removed",
    /// The server would be left without an admin.
    "E024" LastAdmin BAD_REQUEST "The server would be left without an admin",
    /// More work waits than the server takes on. Nothing was begun.
    "E025" Overloaded SERVICE_UNAVAILABLE "Server overloaded",
    /// The generation waited or ran for too long.
    "E026" DeadlineExceeded GATEWAY_TIMEOUT "Generation ran past its deadline",
    /// The server is stopping.
    "E027" ShuttingDown SERVICE_UNAVAILABLE "Server is stopping",
    /// The model cannot be found, fetched, read or fitted; the detail says what to do.
    "E028" ModelUnavailable SERVICE_UNAVAILABLE "Model unavailable",
    /// The model cannot do what a field asks for.
    "E029" Unsupported BAD_REQUEST "Not supported by this model",
    /// A provider cannot be reached.
    "E030" ProviderUnreachable SERVICE_UNAVAILABLE "Provider unreachable",
    /// A provider answered with an error, or with what is no answer.
    "E031" ProviderFailed BAD_GATEWAY "Provider failed",
    /// The store cannot answer now.
    "E032" StoreUnavailable SERVICE_UNAVAILABLE "Storage unavailable",
    /// A fault of the server; its log holds the cause under the request's id.
    "E033" Internal INTERNAL_SERVER_ERROR "Internal server error",
    /// More requests, or tokens, than the caller is allowed for now.
    "E034" TooManyRequests TOO_MANY_REQUESTS "Too many requests",
    /// The body did not arrive in time.
    "E035" RequestTimeout REQUEST_TIMEOUT "Request took too long to arrive",
    /// The request broke off, or breaks the rules of HTTP.
    "E036" BadRequest BAD_REQUEST "Request could not be read",
    /// No such key, or another user's.
    "E037" ApiKeyNotFound NOT_FOUND "API key not found",
    /// A one-time code that was never made, is spent, or has expired.
    "E038" InvalidCode BAD_REQUEST "Invalid or expired code",
    /// Accounts are made by invitation, or not at all.
    "E039" RegistrationClosed FORBIDDEN "Registration is not open",
    /// Too many failed sign-ins of this account or from this address.
    "E040" SignInThrottled TOO_MANY_REQUESTS "Too many failed sign-ins",
    /// The day's tokens do not suffice for what the request could need.
    "E041" QuotaExceeded TOO_MANY_REQUESTS "Token quota exceeded",
    /// A provider asks us to wait.
    "E042" ProviderBusy SERVICE_UNAVAILABLE "Provider busy",
    /// The text cannot be made again exactly; the detail says why.
    "E043" NotReplayable CONFLICT "Text cannot be replayed",
    /// No such conversation, or another user's.
    "E044" ConversationNotFound NOT_FOUND "Conversation not found",
    /// No such message in the conversation.
    "E045" MessageNotFound NOT_FOUND "Message not found",
    /// No such stream, or another user's, or it ended too long ago to be taken up.
    "E046" StreamNotFound NOT_FOUND "Stream not found",
    /// No such picture, or another user's.
    "E047" ImageNotFound NOT_FOUND "Image not found",
    /// No such recording, or another user's.
    "E048" SpeechNotFound NOT_FOUND "Speech not found",
    /// A signed link whose time is over or whose signature does not fit.
    "E049" LinkInvalid FORBIDDEN "Link invalid or expired",
}

/// For whose clients an error is told. Some were written for other servers, and expect other statuses for a few codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `POST /token`: OAuth2's `invalid_grant` is a 400, not a 401 (RFC 6749, section 5.2).
    OAuth2,
    /// OpenAI's API knows no 422: what cannot be read is a bad request too.
    OpenAi,
    /// `POST /register`: whatever is taken is a bad request.
    Register,
    /// `POST /generate-text`: a provider that fails in whatever way is a bad gateway.
    GenerateText {
        /// Whether the model that was asked runs at a provider, so that its deadline and its absence are the provider's.
        at_provider: bool,
    },
}

/// The status of a code where a dialect has one of its own.
pub const fn status_for(dialect: Dialect, code: ErrorCode) -> StatusCode {
    match (dialect, code) {
        (Dialect::OAuth2, ErrorCode::InvalidCredentials | ErrorCode::AccountInactive | ErrorCode::InvalidToken)
        | (Dialect::OpenAi, ErrorCode::Malformed)
        | (Dialect::Register, ErrorCode::EmailTaken) => StatusCode::BAD_REQUEST,
        (Dialect::GenerateText { .. }, ErrorCode::ProviderUnreachable | ErrorCode::ProviderFailed | ErrorCode::ProviderBusy)
        | (Dialect::GenerateText { at_provider: true }, ErrorCode::DeadlineExceeded | ErrorCode::ModelUnavailable) => {
            StatusCode::BAD_GATEWAY
        }
        (_, code) => code.status(),
    }
}

impl ErrorCode {
    /// The code for an error that the web framework raised by itself, of which only the status is known.
    pub fn from_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::InvalidToken,
            StatusCode::FORBIDDEN => Self::Forbidden,
            StatusCode::NOT_FOUND => Self::RouteNotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::REQUEST_TIMEOUT => Self::RequestTimeout,
            StatusCode::PAYLOAD_TOO_LARGE => Self::PayloadTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::UNPROCESSABLE_ENTITY => Self::Malformed,
            StatusCode::TOO_MANY_REQUESTS => Self::TooManyRequests,
            other if other.is_client_error() => Self::BadRequest,
            _ => Self::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_numbered_without_gaps_from_e001() {
        let codes: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.code()).collect();
        let expected: Vec<String> = (1..=codes.len()).map(|number| format!("E{number:03}")).collect();
        assert_eq!(codes, expected);
    }

    #[test]
    fn a_dialect_differs_where_its_clients_need_it_and_nowhere_else() {
        let differing = |dialect| {
            let codes = ErrorCode::ALL.iter().filter(move |code| status_for(dialect, **code) != code.status());
            codes.map(|code| (code.code(), status_for(dialect, *code).as_u16())).collect::<Vec<_>>()
        };
        assert_eq!(differing(Dialect::OAuth2), [("E003", 400), ("E009", 400), ("E010", 400)]);
        assert_eq!(differing(Dialect::OpenAi), [("E013", 400)]);
        assert_eq!(differing(Dialect::Register), [("E015", 400)]);
        assert_eq!(differing(Dialect::GenerateText { at_provider: false }), [("E030", 502), ("E042", 502)]);
        let at_provider = differing(Dialect::GenerateText { at_provider: true });
        assert_eq!(at_provider, [("E026", 502), ("E028", 502), ("E030", 502), ("E042", 502)]);
    }

    #[test]
    fn every_code_is_an_error_and_has_a_title() {
        for code in ErrorCode::ALL {
            assert!(code.status().is_client_error() || code.status().is_server_error(), "{code:?}");
            assert!(!code.title().is_empty());
        }
    }

    #[test]
    fn the_codes_of_the_first_service_keep_their_numbers() {
        let first: Vec<(&str, &str)> = ErrorCode::ALL.iter().take(11).map(|c| (c.code(), c.title())).collect();
        assert_eq!(first[2], ("E003", "Incorrect username or password"));
        assert_eq!(first[7].0, "E008");
        assert_eq!(first[10], ("E011", "User not found"));
    }
}
