//! The rules in the middle: entities, value objects and what makes them valid.
//!
//! Constructors validate, so an invalid value cannot exist; whoever holds a [`Username`] or a [`SamplingParameters`] need not check it
//! again. Nothing here is async, reads a clock, draws a random number or knows that a database, a web or a model runtime exists:
//! times, identifiers and seeds are given by the caller.

mod api_key;
mod audit;
mod chat;
mod chat_stream;
mod conversation;
mod conversation_context;
mod identifiers;
mod language_model;
mod length_limit;
mod media;
mod model_defaults;
mod network;
mod one_time_code;
mod page;
mod rate_limit;
mod refusal;
mod sampling;
mod session;
mod text_generation;
mod throttle;
mod token_quota;
mod user;

pub use api_key::{ApiKey, ApiKeyHash, ApiKeyId, ApiKeyName, Scope};
pub use audit::{AUDIT_GENESIS_HASH, AuditAction, AuditEntry, AuditEvent};
pub use chat::{ChatMessage, ChatRole};
pub use chat_stream::{ChatFailure, ChatPieces, ChatStream, ChatStreamState};
pub use conversation::{
    ContextUse, Conversation, ConversationSummary, ConversationTitle, Memory, Message, MessageStatus, SearchText, folded, path_to,
};
pub use conversation_context::{TurnSearch, chat_messages, prompt_budget, turn_starts};
pub use identifiers::{ChatStreamId, CompletionId, ConversationId, MessageId, SessionId, TextGenerationId, UserId};
pub use language_model::{LlmId, ModelName, NamedModel};
pub use length_limit::{LengthLimit, TokenBudget};
pub use media::{
    AudioFormat, HistoryFile, ImageSize, MediaId, MediaKind, MediaRecord, MediaSettings, MediaState, ObjectKey, Pitch, Speed,
    Viewer, VoiceName,
};
pub use model_defaults::ModelDefaults;
pub use network::counted_address;
pub use one_time_code::{CodePurpose, OneTimeCode, OneTimeCodeHash, RegistrationPolicy};
pub use page::{Cursor, Page, PageLimit, PageRequest};
pub use rate_limit::{RateDecision, RateLimit};
pub use refusal::Refusal;
pub use sampling::{LogitBias, SamplingParameters, SamplingRequest, Seed, StopStrings};
pub use session::{RefreshTokenHash, Session};
pub use text_generation::{FinishReason, Prompt, TextGeneration, TokenUsage};
pub use throttle::{Failures, ThrottlePolicy, ThrottleWait};
pub use token_quota::{TokenQuota, TokenReservation, TokensOfDay};
/// A moment, in UTC. Whatever is kept is cut to microseconds, the finest that every database keeps.
pub type Timestamp = chrono::DateTime<chrono::Utc>;

pub use user::{Email, Password, PasswordHash, Role, User, Username};
