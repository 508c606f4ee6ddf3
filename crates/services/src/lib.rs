//! The use cases: what the server does, whatever web, database or model runtime stands around it.
//!
//! A service is a few ports and some settings; each of its use cases has a file. Services know who calls (a [`Caller`], made by
//! [`SessionService::authenticate`] alone) and what may be seen; they never see a request, a row or a session of a runtime.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod accounts;
mod api_keys;
mod audit;
mod caller;
mod chat;
mod completions;
mod embeddings;
mod error;
mod generation;
mod health;
mod keeping;
mod limits;
mod media;
mod models;
mod password_guesses;
mod sessions;
mod text;

pub use accounts::{AccountChange, AccountPorts, AccountService, IssuedCode, ProfileChange, Registration};
pub use api_keys::{ApiKeyRequest, ApiKeyService, IssuedApiKey};
pub use audit::{AuditService, AuditTrail};
pub use caller::{Caller, Credential};
pub use chat::{
    Addressed, Answer, AnswerRequest, ChatEvent, ChatEvents, ChatLimits, ChatPorts, ChatRequest, ChatService, ChatTurn,
    ConversationEdit, ConversationQuery, ConversationReader, ConversationSpec, ConversationsReader, ImportedConversation,
    ImportedMessage, MessageOrder, MessagePage, MessageView, Resumed, Stopped,
};
pub use completions::{
    Choice, Completed, CompletionHead, CompletionInput, CompletionLimits, CompletionPiece, CompletionPorts, CompletionRequest,
    CompletionService, CompletionStream,
};
pub use embeddings::{Embedded, EmbeddingLimits, EmbeddingOrder, EmbeddingPorts, EmbeddingService, EmbeddingSource};
pub use error::ServiceError;
pub use health::{HealthService, PartHealth};
pub use limits::{LimitDefaults, LimitPorts, LimitService, QuotaUsage, TokenHold};
pub use media::{ImageOrder, MediaPolicy, MediaPorts, MediaService, OpenedObject, SignedLink, SpeechOrder, SpeechStream, Swept};
pub use models::{DefaultsChange, ModelPullService, ModelService, ModelSpec, ModelView, PullPieces};
pub use sessions::{ClientInfo, Credentials, SessionPolicy, SessionPorts, SessionService, SignedIn};
pub use text::{AllTexts, Replay, TextChange, TextLimits, TextPiece, TextPorts, TextRequest, TextService, TextStream};
