//! The services that handlers call.

use services::{
    AccountService, ApiKeyService, AuditService, CompletionService, EmbeddingService, HealthService, LimitService, MediaService,
    ModelPullService, ModelService, SessionService, TextService,
};

/// Every use case that the web reaches. Cheap to clone: services share what they stand on.
#[derive(Clone)]
pub struct ApiState {
    /// Accounts.
    pub accounts: AccountService,
    /// Sign-ins.
    pub sessions: SessionService,
    /// Programs' keys.
    pub api_keys: ApiKeyService,
    /// How much each caller may ask for.
    pub limits: LimitService,
    /// Who did what.
    pub audit: AuditService,
    /// Named models.
    pub models: ModelService,
    /// Fetching models of the hub.
    pub model_pulls: ModelPullService,
    /// Pictures and speech.
    pub media: MediaService,
    /// Conversations.
    pub chats: services::ChatService,
    /// Texts.
    pub texts: TextService,
    /// Completions, which are not stored.
    pub completions: CompletionService,
    /// Vectors of texts.
    pub embeddings: EmbeddingService,
    /// Whether the server can do its work.
    pub health: HealthService,
}
