//! Why a use case did not do what was asked.

use domain::Refusal;
use ports::{GenerationError, HashingError, RepositoryError, StoreError, TokenError};

/// Everything a use case can answer but its result. The web layer gives each its status and code.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ServiceError {
    /// A value breaks a rule.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The name is another account's (E008).
    #[error("User with username {username} already exists")]
    UsernameTaken {
        /// The name.
        username: String,
    },
    /// The address is another account's.
    #[error("a user with this email already exists")]
    EmailTaken,
    /// The name is another model's.
    #[error("a model named {name} already exists")]
    ModelNameTaken {
        /// The name.
        name: String,
    },
    /// No such account, or not its password; which of the two is not told (E003).
    #[error("Incorrect username or password")]
    InvalidCredentials,
    /// The account is disabled (E009).
    #[error("User account is inactive")]
    AccountInactive,
    /// The token was never valid, or is no longer (E010).
    #[error("Invalid or expired token")]
    InvalidToken,
    /// The caller is known and may not do this.
    #[error("you are not allowed to do this")]
    Forbidden,
    /// No such account (E011).
    #[error("User not found")]
    UserNotFound,
    /// No model of this name (E001).
    #[error("Model configuration not found")]
    ModelNotFound {
        /// The name that was asked for.
        name: String,
    },
    /// No such text, or another user's (E002).
    #[error("Text generation not found")]
    TextGenerationNotFound,
    /// The text cannot be made again exactly (E043).
    #[error("this text cannot be replayed: {reason}")]
    NotReplayable {
        /// Why not, as the rest of a sentence.
        reason: String,
    },
    /// No such conversation, or another user's.
    #[error("conversation not found")]
    ConversationNotFound,
    /// No such message in the conversation.
    #[error("message not found")]
    MessageNotFound,
    /// No such answer, or another user's, or it ended too long ago to be taken up.
    #[error("stream not found")]
    StreamNotFound,
    /// No such picture, or another user's (E047).
    #[error("Image not found")]
    ImageNotFound,
    /// No such recording, or another user's (E048).
    #[error("Speech not found")]
    SpeechNotFound,
    /// A signed link whose time is over, whose signature does not fit, or whose object is gone (E049).
    #[error("this link is not valid, or no longer")]
    LinkInvalid,
    /// No such session, or another user's.
    #[error("session not found")]
    SessionNotFound,
    /// No such API key, or another user's.
    #[error("API key not found")]
    ApiKeyNotFound,
    /// The code was never made, is spent, or has expired.
    #[error("the code is not valid, was used already, or has expired")]
    InvalidCode,
    /// Accounts are made by invitation, or not at all.
    #[error("registration is not open on this server; ask its admin")]
    RegistrationClosed,
    /// Too many failures; no password is looked at until the wait is over.
    #[error("too many failed attempts; try again in {retry_after_seconds} s")]
    SignInThrottled {
        /// How long to wait.
        retry_after_seconds: u32,
    },
    /// Too many requests.
    #[error("too many requests")]
    RateLimited(domain::RateDecision),
    /// The day's tokens do not suffice.
    #[error(
        "the request needs {asked} tokens; of {quota} a day {} are used and {} are set aside for what is running",
        tokens.used, tokens.reserved
    )]
    QuotaExceeded {
        /// Tokens a day.
        quota: u64,
        /// The day's tokens so far.
        tokens: domain::TokensOfDay,
        /// What the request would need at the most.
        asked: u32,
        /// When the next day begins.
        resets_in_seconds: u32,
    },
    /// The model that applies where a request names none must stay.
    #[error("the default model can be changed but not renamed or removed")]
    DefaultModel,
    /// An admin would demote, disable or remove themselves, or the last one would go, and nobody could manage the server (E024).
    #[error(
        "an admin cannot demote, disable or remove themselves here, nor can the last one: the server would be left without one"
    )]
    LastAdmin,
    /// One of several inputs is longer than the model's context.
    #[error("input[{index}] has {tokens} tokens; the model's context is {context_length}")]
    InputTooLong {
        /// Which one, from 0.
        index: usize,
        /// Its tokens.
        tokens: u32,
        /// The most that the model reads at once.
        context_length: u32,
    },
    /// The generation was refused or failed.
    #[error(transparent)]
    Generation(#[from] GenerationError),
    /// A model was not fetched.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
    /// The storage of pictures and speech does not answer, or does not take what it is given (E032).
    #[error("the storage of pictures and speech cannot be used now: check {settings}")]
    StorageUnavailable {
        /// The settings to look at.
        settings: &'static str,
        /// What it said, for the log alone.
        cause: String,
    },
    /// A password could not be hashed or compared.
    #[error(transparent)]
    Hashing(#[from] HashingError),
    /// A token could not be signed.
    #[error("signing a token failed: {0}")]
    Signing(TokenError),
}

impl ServiceError {
    /// Reads a store's failure where "not found" means `missing` and no field can be taken.
    pub(crate) fn from_store(error: StoreError, missing: Self) -> Self {
        match error {
            StoreError::NotFound => missing,
            other => Self::Store(other),
        }
    }
}
