//! Which adapter stands behind which port. Chosen here once; nothing else knows more than one side.

pub(crate) mod data_dir;
pub(crate) mod database;
pub(crate) mod models;

use std::sync::Arc;

use adapters_auth::{BcryptConfig, BcryptHasher, JwtAccessTokens, JwtConfig, RandomRefreshTokens};
use adapters_db::{DatabaseHealth, DbModelStore, DbPool, DbSessionStore, DbTextGenerationStore, DbUserStore};
use api::{ApiConfig, ApiState};
use domain::LlmId;
use ports::{Background, Clock, HealthCheck, LanguageModels, PasswordHasher, Randomness, SessionStore, UserStore};
use secrecy::SecretString;
use services::{
    AccountService, HealthService, ModelService, SessionLifetimes, SessionPorts, SessionService, TextLimits, TextPorts,
    TextService,
};

use self::models::ProcessModels;
use crate::config::{AccountsConfig, Config, HttpConfig, ModelConfig};
use crate::start_error::StartError;
use crate::system::{BackgroundTasks, SystemClock, SystemRandomness};

/// The most records that a list without pages answers (`GET /text_generations/all`).
const UNPAGED_RECORDS: usize = 10_000;

/// What the services stand on, once all of it is open.
pub(crate) struct Foundations {
    pub(crate) database: DbPool,
    pub(crate) models: Arc<ProcessModels>,
    pub(crate) secret_keys: Vec<SecretString>,
    pub(crate) background: BackgroundTasks,
}

/// Joins use cases and adapters.
pub(crate) fn services(config: &Config, foundations: Foundations) -> Result<ApiState, StartError> {
    let Foundations { database, models, secret_keys, background } = foundations;
    let language_models: Arc<dyn LanguageModels> = Arc::clone(&models) as _;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let randomness: Arc<dyn Randomness> = Arc::new(SystemRandomness);
    let background: Arc<dyn Background> = Arc::new(background);
    let users: Arc<dyn UserStore> = Arc::new(DbUserStore::new(database.clone()));
    let sessions: Arc<dyn SessionStore> = Arc::new(DbSessionStore::new(database.clone()));
    let model_store = Arc::new(DbModelStore::new(database.clone()));
    let hasher: Arc<dyn PasswordHasher> = Arc::new(password_hasher(&config.accounts)?);
    let health: Vec<Arc<dyn HealthCheck>> = vec![Arc::new(DatabaseHealth::new(database.clone())), models];
    let session_ports = SessionPorts {
        users: Arc::clone(&users),
        sessions: Arc::clone(&sessions),
        hasher: Arc::clone(&hasher),
        access_tokens: Arc::new(access_tokens(&config.accounts, secret_keys)?),
        refresh_tokens: Arc::new(RandomRefreshTokens),
        clock: Arc::clone(&clock),
        randomness: Arc::clone(&randomness),
    };
    let text_ports = TextPorts {
        models: Arc::clone(&model_store) as _,
        language_models: Arc::clone(&language_models),
        texts: Arc::new(DbTextGenerationStore::new(database)),
        background,
        clock: Arc::clone(&clock),
        randomness: Arc::clone(&randomness),
    };
    let text_limits =
        TextLimits { prompt_characters: config.generations.max_prompt_characters, unpaged_records: UNPAGED_RECORDS };
    Ok(ApiState {
        accounts: AccountService::new(users, sessions, hasher, clock, randomness),
        sessions: SessionService::new(session_ports, lifetimes(&config.accounts)),
        models: ModelService::new(model_store, language_models, config.model.name.clone()),
        texts: TextService::new(text_ports, config.model.name.clone(), text_limits),
        health: HealthService::new(health),
    })
}

/// Sees to it that the default model has its name, and answers what stands behind it.
pub(crate) async fn default_llm(config: &Config, foundations: &Foundations) -> Result<LlmId, StartError> {
    let store = Arc::new(DbModelStore::new(foundations.database.clone()));
    let models = ModelService::new(store, Arc::clone(&foundations.models) as _, config.model.name.clone());
    let model = models.ensure_default(config.model.llm.clone(), ModelConfig::fallback()).await;
    Ok(model.map_err(|error| StartError::Store(error.to_string()))?.llm)
}

/// The web layer's share of the settings.
pub(crate) fn api_config(http: &HttpConfig) -> ApiConfig {
    ApiConfig {
        json_body_bytes: http.max_body_bytes,
        form_body_bytes: http.max_form_bytes,
        body_timeout: http.body_timeout,
        heartbeat: http.stream_heartbeat,
    }
}

fn lifetimes(accounts: &AccountsConfig) -> SessionLifetimes {
    SessionLifetimes { access_token: accounts.access_token_lifetime, refresh_token: accounts.refresh_token_lifetime }
}

fn password_hasher(accounts: &AccountsConfig) -> Result<BcryptHasher, StartError> {
    let config = BcryptConfig {
        cost: accounts.bcrypt_cost,
        max_concurrent: accounts.max_concurrent_hashes,
        max_waiting: accounts.max_waiting_hashes,
    };
    BcryptHasher::new(config).map_err(|error| StartError::System(format!("BCRYPT_COST: {error}")))
}

fn access_tokens(accounts: &AccountsConfig, secret_keys: Vec<SecretString>) -> Result<JwtAccessTokens, StartError> {
    let config = JwtConfig { algorithm: accounts.algorithm, secret_keys };
    JwtAccessTokens::new(&config).map_err(|error| StartError::System(error.to_string()))
}
