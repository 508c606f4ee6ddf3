//! Which adapter stands behind which port. Chosen here once; nothing else knows more than one side.

mod chat;
pub(crate) mod data_dir;
pub(crate) mod database;
pub(crate) mod hub;
pub(crate) mod limits;
pub(crate) mod media;
pub(crate) mod models;
mod shared;

use std::sync::Arc;

use adapters_auth::{JwtAccessTokens, JwtConfig, RandomApiKeys, RandomRefreshTokens};
use adapters_db::{DatabaseHealth, DbApiKeyStore, DbLimitStore, DbModelStore, DbPool, DbTextGenerationStore, DbTokenQuotaStore};
use adapters_limits::SharedRedis;
use api::{ApiConfig, ApiState, Edge, MetricsAccess};
use domain::LlmId;
use ports::{ApiKeyCodec, ApiKeyStore, Background, HealthCheck, LanguageModels, SignInThrottle};
use secrecy::SecretString;
use services::{
    ApiKeyService, CompletionLimits, CompletionPorts, CompletionService, EmbeddingLimits, EmbeddingPorts, EmbeddingService,
    HealthService, LimitPorts, LimitService, ModelPullService, ModelService, SessionPolicy, SessionPorts, SessionService,
    TextLimits, TextPorts, TextService,
};

use self::limits::Counters;
use self::models::ProcessModels;
pub(crate) use self::shared::Shared;
use crate::config::{AccountsConfig, ChatConfig, Config, EdgeConfig, HttpConfig, ModelConfig};
use crate::metrics::Metrics;
use crate::start_error::StartError;
use crate::system::{BackgroundTasks, TokioTimer};

/// What the services stand on, once all of it is open.
pub(crate) struct Foundations {
    pub(crate) database: DbPool,
    pub(crate) models: Arc<ProcessModels>,
    /// `None` where this process counts alone.
    pub(crate) redis: Option<SharedRedis>,
    pub(crate) secret_keys: Vec<SecretString>,
    pub(crate) background: BackgroundTasks,
}

/// Joins use cases and adapters.
pub(crate) fn services(config: &Config, foundations: Foundations) -> Result<ApiState, StartError> {
    let Foundations { database, models, redis, secret_keys, background } = foundations;
    let background: Arc<dyn Background> = Arc::new(background);
    let shared = Shared::new(config, &database, Arc::clone(&background))?;
    let (chat_background, foundations_database) = (Arc::clone(&background), database.clone());
    let Counters { limiter, throttle, health: limits_health } = limits::counters(&config.limits, redis);
    let limit_ports = LimitPorts {
        limiter,
        tokens: Arc::new(DbTokenQuotaStore::new(database.clone())),
        overrides: Arc::new(DbLimitStore::new(database.clone())),
        clock: Arc::clone(&shared.clock),
        randomness: Arc::clone(&shared.randomness),
        background: Arc::clone(&background),
    };
    let limits = LimitService::new(limit_ports, limits::defaults(config), shared.audit_trail());
    let storage = media::Storage::open(config, &secret_keys)?;
    let neighbours = media::Neighbours {
        shared: &shared,
        database: &database,
        limits: &limits,
        background: &background,
        providers: models.providers(),
    };
    let (media, media_checks) = media::service(config, &storage, &neighbours)?;
    let (sessions, api_keys) = credentials(config, &shared, &database, Arc::clone(&throttle), secret_keys)?;
    let language_models: Arc<dyn LanguageModels> = Arc::clone(&models) as _;
    let model_store = Arc::new(DbModelStore::new(database.clone()));
    let text_ports = TextPorts {
        models: Arc::clone(&model_store) as _,
        language_models: Arc::clone(&language_models),
        texts: Arc::new(DbTextGenerationStore::new(database.clone())),
        background,
        timer: Arc::new(TokioTimer),
        clock: Arc::clone(&shared.clock),
        randomness: Arc::clone(&shared.randomness),
    };
    let completion_ports = CompletionPorts {
        models: Arc::clone(&text_ports.models),
        language_models: Arc::clone(&language_models),
        clock: Arc::clone(&shared.clock),
        randomness: Arc::clone(&shared.randomness),
    };
    let completion_limits = CompletionLimits { prompt_characters: config.generations.max_prompt_characters };
    let text_limits = TextLimits {
        prompt_characters: config.generations.max_prompt_characters,
        unpaged_records: config.generations.max_unpaged_records,
    };
    let default_model = config.model.name.clone();
    let model_pulls = ModelPullService::new(models.hub().repository(), shared.audit_trail());
    let provider_checks = models.provider_checks();
    let mut health: Vec<Arc<dyn HealthCheck>> = vec![Arc::new(DatabaseHealth::new(database)), models];
    health.push(storage.health());
    health.extend(limits_health);
    health.extend(provider_checks);
    health.extend(media_checks);
    let chats =
        chat::service(config, &shared, &foundations_database, Arc::clone(&language_models), chat_background, limits.clone());
    Ok(ApiState {
        chats,
        accounts: shared.accounts(&config.accounts, throttle).erasing(media.clone()),
        media,
        sessions,
        api_keys,
        audit: shared.audit(),
        model_pulls,
        models: ModelService::new(model_store, language_models, default_model.clone(), shared.audit_trail()),
        completions: CompletionService::new(completion_ports, default_model.clone(), completion_limits, limits.clone()),
        embeddings: embeddings(config, &text_ports, limits.clone()),
        texts: TextService::new(text_ports, default_model, text_limits, limits.clone(), shared.audit_trail()),
        limits,
        health: HealthService::new(health, Arc::clone(&shared.clock)),
    })
}

/// Vectors of texts, by the models that make texts.
fn embeddings(config: &Config, ports: &TextPorts, token_limits: LimitService) -> EmbeddingService {
    let ports = EmbeddingPorts {
        models: Arc::clone(&ports.models),
        language_models: Arc::clone(&ports.language_models),
        randomness: Arc::clone(&ports.randomness),
    };
    let generations = &config.generations;
    let limits =
        EmbeddingLimits { prompt_characters: generations.max_prompt_characters, inputs: generations.max_embedding_inputs };
    EmbeddingService::new(ports, config.model.name.clone(), limits, token_limits)
}

/// What callers prove themselves by: sign-ins, and programs' keys.
fn credentials(
    config: &Config,
    shared: &Shared,
    database: &DbPool,
    throttle: Arc<dyn SignInThrottle>,
    secret_keys: Vec<SecretString>,
) -> Result<(SessionService, ApiKeyService), StartError> {
    let keys: Arc<dyn ApiKeyStore> = Arc::new(DbApiKeyStore::new(database.clone()));
    let codec: Arc<dyn ApiKeyCodec> = Arc::new(RandomApiKeys);
    let ports = SessionPorts {
        users: Arc::clone(&shared.users),
        sessions: Arc::clone(&shared.sessions),
        hasher: Arc::clone(&shared.hasher),
        access_tokens: Arc::new(access_tokens(&config.accounts, secret_keys)?),
        refresh_tokens: Arc::new(RandomRefreshTokens),
        clock: Arc::clone(&shared.clock),
        randomness: Arc::clone(&shared.randomness),
        throttle,
        api_keys: Arc::clone(&keys),
        api_key_codec: Arc::clone(&codec),
        audit: shared.audit_trail(),
    };
    let sessions = SessionService::new(ports, session_policy(&config.accounts));
    let (clock, randomness) = (Arc::clone(&shared.clock), Arc::clone(&shared.randomness));
    Ok((sessions, ApiKeyService::new(keys, codec, clock, randomness, shared.audit_trail())))
}

/// Sees to it that the default model has its name, and answers what stands behind it.
pub(crate) async fn default_llm(config: &Config, foundations: &Foundations) -> Result<LlmId, StartError> {
    let store = Arc::new(DbModelStore::new(foundations.database.clone()));
    let background = Arc::new(foundations.background.clone());
    let audit = Shared::new(config, &foundations.database, background)?.audit_trail();
    let models = ModelService::new(store, Arc::clone(&foundations.models) as _, config.model.name.clone(), audit);
    let model = models.ensure_default(config.model.llm.clone(), ModelConfig::fallback()).await;
    Ok(model.map_err(|error| StartError::Store(error.to_string()))?.llm)
}

/// The web layer's share of the settings.
pub(crate) fn api_config(http: &HttpConfig, chat: &ChatConfig) -> ApiConfig {
    ApiConfig {
        json_body_bytes: http.max_body_bytes,
        import_body_bytes: chat.max_import_bytes,
        form_body_bytes: http.max_form_bytes,
        body_timeout: http.body_timeout,
        heartbeat: http.stream_heartbeat,
    }
}

/// What stands between the server and its clients.
pub(crate) fn edge(config: &EdgeConfig, metrics: Metrics, database: DbPool) -> Edge {
    Edge {
        cors_origins: config.cors_origins.clone(),
        trusted_proxies: config.trusted_proxies.clone(),
        metrics: MetricsAccess { render: Arc::new(move || metrics.render(&database)), token: config.metrics_token.clone() },
        public_url: config.public_url.clone(),
    }
}

fn session_policy(accounts: &AccountsConfig) -> SessionPolicy {
    SessionPolicy {
        access_token_lifetime: accounts.access_token_lifetime,
        refresh_token_lifetime: accounts.refresh_token_lifetime,
        max_per_user: accounts.max_sessions_per_user,
    }
}

fn access_tokens(accounts: &AccountsConfig, secret_keys: Vec<SecretString>) -> Result<JwtAccessTokens, StartError> {
    let config = JwtConfig { algorithm: accounts.algorithm, secret_keys };
    JwtAccessTokens::new(&config).map_err(|error| StartError::System(error.to_string()))
}
