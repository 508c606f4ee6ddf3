//! The shapes of existing clients. Fields that are not named here are ignored: those clients were written for other servers.

use domain::{LengthLimit, SamplingRequest, TextGeneration, User};
use ports::{Priority, Truncation};
use serde::{Deserialize, Serialize};
use services::{Credentials, Registration, SignedIn, TextChange, TextRequest};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{TextGenerationResponse, integer};

/// A new account.
#[derive(Deserialize, ToSchema)]
pub(crate) struct AliasRegistrationRequest {
    /// What it will sign in with.
    #[schema(example = "ana", min_length = 1, max_length = 64)]
    username: String,
    /// Where its person can be reached.
    #[schema(example = "ana@example.org", max_length = 254, format = Email)]
    email: Option<String>,
    /// 8 to 72 bytes in UTF-8.
    #[schema(example = "correct horse battery", min_length = 8, max_length = 72, format = Password)]
    password: String,
}

impl AliasRegistrationRequest {
    /// The registration of who calls from this address.
    pub(crate) fn sent_from(self, address: Option<String>) -> Registration {
        let Self { username, email, password } = self;
        Registration { username, password, email, invitation: None, address }
    }
}

/// An account was made.
#[derive(Serialize, ToSchema)]
pub(crate) struct AliasRegistrationResponse {
    /// Always the same.
    #[schema(example = "User created successfully")]
    message: &'static str,
    /// The account.
    user: AliasUser,
}

/// An account, in few words.
#[derive(Serialize, ToSchema)]
pub(crate) struct AliasUser {
    /// Who it is.
    id: Uuid,
    /// What it signs in with.
    #[schema(example = "ana")]
    username: String,
    /// Where its person can be reached.
    #[schema(example = "ana@example.org", required)]
    email: Option<String>,
}

impl From<User> for AliasRegistrationResponse {
    fn from(user: User) -> Self {
        let email = user.email.map(|email| email.as_str().to_owned());
        let user = AliasUser { id: user.id.uuid(), username: user.username.as_str().to_owned(), email };
        Self { message: "User created successfully", user }
    }
}

/// A sign-in.
#[derive(Deserialize, ToSchema)]
pub(crate) struct AliasLoginRequest {
    /// The account's name, or its email.
    #[schema(example = "ana")]
    username: String,
    /// The account's password.
    #[schema(example = "correct horse battery", format = Password)]
    password: String,
}

impl From<AliasLoginRequest> for Credentials {
    fn from(request: AliasLoginRequest) -> Self {
        Self { login: request.username, password: request.password }
    }
}

/// An access token alone: these clients do not refresh.
#[derive(Serialize, ToSchema)]
pub(crate) struct AliasTokenResponse {
    /// Proves each request, as `Authorization: Bearer …`.
    access_token: String,
    /// Always `bearer`.
    #[schema(example = "bearer")]
    token_type: &'static str,
}

impl From<SignedIn> for AliasTokenResponse {
    fn from(signed_in: SignedIn) -> Self {
        Self { access_token: signed_in.access_token, token_type: "bearer" }
    }
}

/// A text to be made. What is absent comes from the caller's defaults.
#[derive(Deserialize, ToSchema)]
pub(crate) struct AliasGenerationRequest {
    /// What the text begins with.
    #[schema(example = "Once upon a time", min_length = 1)]
    prompt: String,
    /// Total tokens, prompt included.
    #[schema(example = 120, minimum = 1, maximum = 1_048_576)]
    #[serde(default, deserialize_with = "integer::optional")]
    max_length: Option<i64>,
    /// 0 always takes the most likely token.
    #[schema(example = 0.8, minimum = 0, maximum = 2)]
    temperature: Option<f64>,
    /// The smallest set of most likely tokens whose probabilities reach this sum is chosen from.
    #[schema(example = 0.95, minimum = 0, maximum = 1)]
    top_p: Option<f64>,
}

impl From<AliasGenerationRequest> for TextRequest {
    fn from(request: AliasGenerationRequest) -> Self {
        let AliasGenerationRequest { prompt, max_length, temperature, top_p } = request;
        let sampling = SamplingRequest { max_length, temperature, top_p, ..SamplingRequest::default() };
        Self { prompt, model: None, sampling, truncation: Truncation::Refuse, priority: Priority::Interactive }
    }
}

/// A text that was made.
#[derive(Serialize, ToSchema)]
pub(crate) struct AliasGenerationResponse {
    /// What it began with.
    #[schema(example = "Once upon a time")]
    prompt: String,
    /// The prompt followed by the continuation.
    #[schema(example = "Once upon a time there was a king who had three daughters.")]
    generated_text: String,
}

impl From<TextGeneration> for AliasGenerationResponse {
    fn from(text: TextGeneration) -> Self {
        Self { prompt: text.prompt, generated_text: text.generated_text }
    }
}

/// The caller's texts, newest first.
//
// It is written item by item, while they are read: see `unpaged`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is the schema of what is written")]
pub(crate) struct HistoryResponse {
    /// The texts.
    historical_requests: Vec<HistoryItem>,
}

/// A text that was made, and what it was asked for with.
#[derive(Serialize, ToSchema)]
pub(crate) struct HistoryItem {
    /// Which one.
    id: Uuid,
    /// Whose it is.
    #[serde(rename = "userId")]
    user_id: Uuid,
    /// What it began with.
    #[schema(example = "Once upon a time")]
    prompt: String,
    /// The prompt followed by the continuation.
    #[schema(example = "Once upon a time there was a king who had three daughters.")]
    generated_text: String,
    /// The most tokens it could have had, prompt included.
    #[schema(example = 120)]
    max_length: u32,
    /// 0–2.
    #[schema(example = 0.8)]
    temperature: f64,
    /// 0–1.
    #[schema(example = 0.95)]
    top_p: f64,
}

impl From<TextGeneration> for HistoryItem {
    fn from(text: TextGeneration) -> Self {
        let max_length = match text.parameters.length {
            LengthLimit::Total(tokens) => tokens,
            LengthLimit::New(tokens) => text.usage.prompt_tokens.saturating_add(tokens),
        };
        Self {
            id: text.id.uuid(),
            user_id: text.user_id.uuid(),
            prompt: text.prompt,
            generated_text: text.generated_text,
            max_length,
            temperature: text.parameters.temperature,
            top_p: text.parameters.top_p,
        }
    }
}

/// A text to be made and kept.
#[derive(Deserialize, ToSchema)]
pub(crate) struct StoredTextRequest {
    /// What the text begins with.
    #[schema(example = "Once upon a time", min_length = 1)]
    prompt: String,
}

impl From<StoredTextRequest> for TextRequest {
    fn from(request: StoredTextRequest) -> Self {
        Self {
            prompt: request.prompt,
            model: None,
            sampling: SamplingRequest::default(),
            truncation: Truncation::Refuse,
            priority: Priority::Interactive,
        }
    }
}

/// What to change of a text; what is absent stays.
#[derive(Deserialize, ToSchema)]
pub(crate) struct StoredTextChangeRequest {
    /// A new prompt.
    prompt: Option<String>,
    /// A new text.
    response: Option<String>,
}

impl From<StoredTextChangeRequest> for TextChange {
    fn from(request: StoredTextChangeRequest) -> Self {
        Self { prompt: request.prompt, generated_text: request.response }
    }
}

/// A text that was made: the native record, and in the words of this route's clients.
#[derive(Serialize, ToSchema)]
pub(crate) struct StoredTextResponse {
    #[serde(flatten)]
    record: TextGenerationResponse,
    /// Whose it is.
    user_id: Uuid,
    /// The same as `generated_text`.
    #[schema(example = "Once upon a time there was a king who had three daughters.")]
    response: String,
}

impl From<TextGeneration> for StoredTextResponse {
    fn from(text: TextGeneration) -> Self {
        Self { user_id: text.user_id.uuid(), response: text.generated_text.clone(), record: text.into() }
    }
}
