//! What the use cases need from outside, one trait a file, each with its obligations.
//!
//! A port says what must hold, never how: an adapter that keeps every sentence of a trait's documentation passes that port's contract
//! tests (in `test-support`), and any adapter that passes them will do. With the feature `mock` every trait `X` comes with a `MockX`.

mod access_tokens;
mod api_key_codec;
mod api_key_store;
mod audit_log;
mod background;
mod chat_stream_store;
mod clock;
mod conversation_store;
mod health;
mod image_generator;
mod language_models;
mod limit_store;
mod media_documents;
mod media_store;
mod model_repository;
mod model_store;
mod object_links;
mod object_storage;
mod one_time_code_store;
mod one_time_codes;
mod password_hasher;
mod picture_codec;
mod randomness;
mod rate_limiter;
mod refresh_tokens;
mod session_store;
mod sign_in_throttle;
mod speech_synthesizer;
mod store_error;
mod text_embedder;
mod text_generation_store;
mod text_generator;
mod timer;
mod token_quota_store;
mod user_store;

pub use access_tokens::{AccessClaims, AccessTokens, TokenError};
pub use api_key_codec::{ApiKeyCodec, NewApiKey};
pub use api_key_store::ApiKeyStore;
pub use audit_log::{AuditFilter, AuditLog, AuditVerdict};
pub use background::Background;
pub use chat_stream_store::{ChatStreamStore, NewTurn, StreamEnd, StreamOrders, StreamReading};
pub use clock::Clock;
pub use conversation_store::{ConversationChange, ConversationFilter, ConversationStore, MessagePlace, NewConversation};
pub use health::{HealthCheck, Unhealthy};
pub use image_generator::{ImageGenerator, ImageRequest};
pub use language_models::{LanguageModels, LlmState};
pub use limit_store::{LimitOverride, LimitStore, LimitSubject};
pub use media_documents::MediaDocuments;
pub use media_store::MediaStore;
pub use model_repository::{HubModel, ModelRepository, PullEvent, PullStream, RepositoryError, StoredModel};
pub use model_store::{ModelStore, UserModelDefaults};
pub use object_links::ObjectLinks;
pub use object_storage::{ObjectBytes, ObjectInfo, ObjectStorage, ObjectUpload};
pub use one_time_code_store::OneTimeCodeStore;
pub use one_time_codes::OneTimeCodes;
pub use password_hasher::{HashingError, PasswordHasher};
pub use picture_codec::{Picture, PictureCodec, PictureError};
pub use randomness::Randomness;
pub use rate_limiter::RateLimiter;
pub use refresh_tokens::{RefreshToken, RefreshTokens};
pub use session_store::{Rotation, SessionStore, SignInTerms};
pub use sign_in_throttle::SignInThrottle;
pub use speech_synthesizer::{AudioStream, SpeechRequest, SpeechSynthesizer, SynthesizerDescription, Voice};
pub use store_error::StoreError;
pub use text_embedder::{EmbedderDescription, EmbeddingInput, EmbeddingRequest, Embeddings, TextEmbedder};
pub use text_generation_store::{RecordScope, TextEdit, TextGenerationStore};
pub use text_generator::{
    Completion, GenerationError, GenerationInput, GenerationRequest, GenerationStart, GeneratorDescription, MAX_TOP_LOGPROBS,
    Owner, Priority, TextGenerator, TokenEvent, TokenLogprob, TokenStream, Truncation,
};
pub use timer::Timer;
pub use token_quota_store::{ReservationOutcome, TokenQuotaStore, UsedTokens};
pub use user_store::{ChangedUser, EndSessions, NewUser, RemovedRecords, UserChange, UserStore};

#[cfg(feature = "mock")]
pub use {
    access_tokens::MockAccessTokens, api_key_codec::MockApiKeyCodec, api_key_store::MockApiKeyStore, audit_log::MockAuditLog,
    background::MockBackground, chat_stream_store::MockChatStreamStore, clock::MockClock,
    conversation_store::MockConversationStore, health::MockHealthCheck, image_generator::MockImageGenerator,
    language_models::MockLanguageModels, limit_store::MockLimitStore, media_documents::MockMediaDocuments,
    media_store::MockMediaStore, model_repository::MockModelRepository, model_store::MockModelStore,
    object_links::MockObjectLinks, object_storage::MockObjectStorage, object_storage::MockObjectUpload,
    one_time_code_store::MockOneTimeCodeStore, one_time_codes::MockOneTimeCodes, password_hasher::MockPasswordHasher,
    picture_codec::MockPictureCodec, randomness::MockRandomness, rate_limiter::MockRateLimiter,
    refresh_tokens::MockRefreshTokens, session_store::MockSessionStore, sign_in_throttle::MockSignInThrottle,
    speech_synthesizer::MockSpeechSynthesizer, text_embedder::MockTextEmbedder, text_generation_store::MockTextGenerationStore,
    text_generator::MockTextGenerator, timer::MockTimer, token_quota_store::MockTokenQuotaStore, user_store::MockUserStore,
};
