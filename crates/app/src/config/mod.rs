//! Every setting of the server, read in this module alone from the environment and `.env`.
//!
//! A value that cannot be used stops the start with the variable's name, what is wrong and what is allowed. `.env.template` documents
//! every variable with its default; a test reads it with this parser, so that neither can know a name the other does not.

mod chat;
mod edge;
mod hub;
mod limits;
mod media;
mod providers;
mod reader;
mod source;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use adapters_auth::JwtAlgorithm;
use adapters_db::DatabaseUrl;
use adapters_ml::text::engine_config::EngineConfig;
use adapters_ml::text::model::Precision;
use adapters_providers::ProvidersConfig;
use domain::{LlmId, ModelName, RegistrationPolicy};
use secrecy::SecretString;

pub(crate) use chat::ChatConfig;
pub(crate) use edge::{EdgeConfig, TlsFiles};
pub(crate) use hub::HubSettings;
pub(crate) use limits::LimitsConfig;
pub(crate) use media::{MediaConfig, StorageConfig};
use reader::Reader;
pub(crate) use source::Source;

/// Why the settings cannot be used. One line, without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigError {
    variable: String,
    problem: String,
}

impl ConfigError {
    pub(crate) fn new(variable: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { variable: variable.into(), problem: problem.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.variable, self.problem)
    }
}

impl std::error::Error for ConfigError {}

/// All settings.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) http: HttpConfig,
    pub(crate) edge: EdgeConfig,
    /// Where the database, the secret key and later files lie.
    pub(crate) data_dir: PathBuf,
    pub(crate) database: DatabaseConfig,
    pub(crate) model: ModelConfig,
    pub(crate) hub: HubSettings,
    pub(crate) accounts: AccountsConfig,
    pub(crate) generations: GenerationsConfig,
    pub(crate) providers: ProvidersConfig,
    pub(crate) chat: ChatConfig,
    pub(crate) limits: LimitsConfig,
    pub(crate) media: MediaConfig,
    pub(crate) log: LogConfig,
    /// How long requests and background work may take to end once the server was told to stop.
    pub(crate) shutdown_grace: Duration,
    /// Names in `.env` that are no settings: most likely misspelt.
    pub(crate) unknown_names: Vec<String>,
}

/// Where and how requests are taken.
#[derive(Debug, Clone)]
pub(crate) struct HttpConfig {
    pub(crate) host: String,
    /// 0 takes any free port.
    pub(crate) port: u16,
    /// Threads that serve requests; `None` for one a core.
    pub(crate) workers: Option<usize>,
    pub(crate) keep_alive: Duration,
    /// How long a client may take to send a request's head.
    pub(crate) client_request_timeout: Duration,
    /// Connections a worker holds; more wait in the backlog.
    pub(crate) max_connections_per_worker: usize,
    pub(crate) max_body_bytes: usize,
    pub(crate) max_form_bytes: usize,
    /// How long a body may take to arrive.
    pub(crate) body_timeout: Duration,
    /// How long a client may take nothing of what is sent to it.
    pub(crate) stalled_connection_timeout: Duration,
    /// How often a stream that is silent sends a comment, which is also how a closed socket is noticed.
    pub(crate) stream_heartbeat: Duration,
}

/// Which database, and how many connections to it.
#[derive(Debug, Clone)]
pub(crate) struct DatabaseConfig {
    pub(crate) url: DatabaseUrl,
    pub(crate) connections: u32,
    /// How long a request waits for a connection before it is told that the server is overloaded.
    pub(crate) wait: Duration,
    /// How long one statement may take.
    pub(crate) statement_timeout: Duration,
}

/// The model that answers where a request names none, and what runs it.
#[derive(Debug, Clone)]
pub(crate) struct ModelConfig {
    pub(crate) name: ModelName,
    /// `None` for what an admin put behind the name, or the fallback at the first start.
    pub(crate) llm: Option<LlmId>,
    pub(crate) precision: Precision,
    /// `None` for half of the machine's memory.
    pub(crate) memory_bytes: Option<u64>,
    /// How long a model may lie unused before it is unloaded; `None` for ever.
    pub(crate) idle_after: Option<Duration>,
    /// Threads that compute; `None` for one a core.
    pub(crate) threads: Option<usize>,
    /// Whether they wait for work by spinning.
    pub(crate) spin: bool,
    /// Where `bundled:` models lie, instead of the places that are searched.
    pub(crate) bundled_dir: Option<PathBuf>,
    /// ONNX Runtime's library, instead of the places that are searched.
    pub(crate) onnxruntime: Option<PathBuf>,
}

/// How accounts are protected.
#[derive(Debug, Clone)]
pub(crate) struct AccountsConfig {
    /// Who may make an account.
    pub(crate) registration: RegistrationPolicy,
    /// The first signs, all verify; none to use the one kept in the data folder.
    pub(crate) secret_keys: Vec<SecretString>,
    pub(crate) algorithm: JwtAlgorithm,
    pub(crate) access_token_lifetime: Duration,
    pub(crate) refresh_token_lifetime: Duration,
    pub(crate) max_sessions_per_user: u32,
    pub(crate) bcrypt_cost: u32,
    pub(crate) max_concurrent_hashes: usize,
    pub(crate) max_waiting_hashes: usize,
}

/// What generations may cost, and how they share the model.
#[derive(Debug, Clone)]
pub(crate) struct GenerationsConfig {
    pub(crate) max_prompt_characters: usize,
    /// Of one request for embeddings.
    pub(crate) max_embedding_inputs: usize,
    /// Of a list without pages.
    pub(crate) max_unpaged_records: usize,
    pub(crate) max_running: usize,
    pub(crate) engine: EngineConfig,
}

/// What is logged, how, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogConfig {
    pub(crate) enabled: bool,
    /// A level, or directives as `info,adapters_ml=debug`.
    pub(crate) filter: String,
    pub(crate) format: LogFormat,
    /// Written to as well as standard error.
    pub(crate) file: Option<PathBuf>,
}

impl LogConfig {
    pub(crate) const DEFAULT_FILTER: &str = "info";
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One object a line, for machines.
    Json,
}

impl ModelConfig {
    /// The model that ships with the project.
    pub(crate) fn fallback() -> LlmId {
        LlmId::Bundled("fairy-tales".to_owned())
    }
}

const DAY_SECONDS: u64 = 24 * 60 * 60;

impl Config {
    /// Checks and reads everything.
    pub(crate) fn read(source: &Source) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(source);
        let mut config = Self::read_by(&mut reader)?;
        config.unknown_names = source.unknown_in_file(&reader.into_known());
        Ok(config)
    }

    fn read_by(reader: &mut Reader<'_>) -> Result<Self, ConfigError> {
        let data_dir = reader.path("DATA_DIR").unwrap_or_else(|| PathBuf::from("./data"));
        let shutdown_grace = reader.seconds("SHUTDOWN_GRACE_SECONDS", 10, 0..=3600)?;
        let generations = generations(reader, shutdown_grace)?;
        Ok(Self {
            http: http(reader)?,
            edge: EdgeConfig::read(reader)?,
            database: database(reader, &data_dir)?,
            model: model(reader)?,
            hub: HubSettings::read(reader, &data_dir)?,
            accounts: accounts(reader)?,
            providers: providers::read(reader, generations.engine.generation_timeout, generations.engine.shutdown_grace)?,
            generations,
            chat: ChatConfig::read(reader)?,
            limits: LimitsConfig::read(reader)?,
            media: MediaConfig::read(reader)?,
            log: log(reader)?,
            shutdown_grace,
            data_dir,
            unknown_names: Vec::new(),
        })
    }
}

fn http(reader: &mut Reader<'_>) -> Result<HttpConfig, ConfigError> {
    Ok(HttpConfig {
        host: reader.text_or("HOST", "127.0.0.1"),
        port: reader.number("PORT", 8000, 0..=u16::MAX)?,
        workers: reader.optional_number("HTTP_WORKERS", 1..=1024)?,
        keep_alive: reader.seconds("KEEP_ALIVE_SECONDS", 75, 1..=3600)?,
        client_request_timeout: reader.seconds("CLIENT_REQUEST_TIMEOUT_SECONDS", 10, 1..=3600)?,
        max_connections_per_worker: reader.number("MAX_CONNECTIONS_PER_WORKER", 4096, 1..=1_000_000)?,
        max_body_bytes: reader.number("MAX_BODY_BYTES", 1 << 20, 1024..=1 << 30)?,
        max_form_bytes: reader.number("MAX_FORM_BYTES", 16 << 10, 1024..=1 << 20)?,
        body_timeout: reader.seconds("BODY_TIMEOUT_SECONDS", 30, 1..=3600)?,
        stalled_connection_timeout: reader.seconds("STALLED_CONNECTION_SECONDS", 60, 1..=3600)?,
        stream_heartbeat: reader.seconds("STREAM_HEARTBEAT_SECONDS", 5, 1..=60)?,
    })
}

fn database(reader: &mut Reader<'_>, data_dir: &std::path::Path) -> Result<DatabaseConfig, ConfigError> {
    let name = reader.parsed("DB_NAME", "database", |name| {
        let well_formed = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) && !name.starts_with('.');
        if well_formed {
            Ok(name.to_owned())
        } else {
            Err("must have letters, digits, '-', '_' and '.' only, and not begin with '.'")
        }
    })?;
    let url = match reader.text("DATABASE_URL") {
        // The value may hold a password: the error must not repeat it.
        Some(url) => DatabaseUrl::parse(&url).map_err(|problem| ConfigError::new("DATABASE_URL", problem.to_string()))?,
        None => DatabaseUrl::sqlite_file(data_dir.join(format!("{name}.db"))),
    };
    Ok(DatabaseConfig {
        url,
        connections: reader.number("DATABASE_CONNECTIONS", 8, 1..=1000)?,
        wait: reader.seconds("DATABASE_WAIT_SECONDS", 5, 1..=300)?,
        statement_timeout: reader.seconds("DATABASE_STATEMENT_SECONDS", 30, 1..=3600)?,
    })
}

fn model(reader: &mut Reader<'_>) -> Result<ModelConfig, ConfigError> {
    use Precision::{Auto, Fp32, Int4, Int8};
    Ok(ModelConfig {
        name: reader.parsed("MODEL_NAME", "default", |name| ModelName::new(name))?,
        llm: reader.optional_parsed("LLM_ID", LlmId::parse)?,
        precision: reader.choice("LLM_PRECISION", &[("auto", Auto), ("fp32", Fp32), ("int8", Int8), ("int4", Int4)])?,
        memory_bytes: reader.optional_number("MODEL_MEMORY_BYTES", 1 << 24..=1 << 50)?,
        idle_after: Some(reader.seconds("MODEL_IDLE_SECONDS", 0, 0..=30 * DAY_SECONDS)?).filter(|idle| !idle.is_zero()),
        threads: reader.optional_number("MODEL_THREADS", 1..=1024)?,
        spin: reader.flag("MODEL_THREADS_SPIN", false)?,
        bundled_dir: reader.path("BUNDLED_MODELS_DIR"),
        onnxruntime: reader.path("ORT_DYLIB_PATH"),
    })
}

fn accounts(reader: &mut Reader<'_>) -> Result<AccountsConfig, ConfigError> {
    use JwtAlgorithm::{Hs256, Hs384, Hs512};
    use RegistrationPolicy::{Closed, Invite, Open};
    // RFC 7518, section 3.2: a key of the hash's size or larger must be used.
    const MIN_KEY_BYTES: usize = 32;
    Ok(AccountsConfig {
        registration: reader.choice("REGISTRATION", &[("open", Open), ("invite", Invite), ("closed", Closed)])?,
        secret_keys: reader.secrets("SECRET_KEY", MIN_KEY_BYTES)?,
        algorithm: reader.choice("ALGORITHM", &[("HS256", Hs256), ("HS384", Hs384), ("HS512", Hs512)])?,
        access_token_lifetime: Duration::from_secs(60 * reader.number("ACCESS_TOKEN_EXPIRE_MINUTES", 15, 1..=60 * 24 * 365)?),
        refresh_token_lifetime: Duration::from_secs(DAY_SECONDS * reader.number("REFRESH_TOKEN_EXPIRE_DAYS", 30, 1..=3650)?),
        max_sessions_per_user: reader.number("MAX_SESSIONS_PER_USER", 200, 1..=100_000)?,
        bcrypt_cost: reader.number("BCRYPT_COST", 12, 4..=31)?,
        max_concurrent_hashes: reader.number("MAX_CONCURRENT_PASSWORD_CHECKS", 1, 1..=1024)?,
        max_waiting_hashes: reader.number("MAX_WAITING_PASSWORD_CHECKS", 64, 0..=100_000)?,
    })
}

fn generations(reader: &mut Reader<'_>, shutdown_grace: Duration) -> Result<GenerationsConfig, ConfigError> {
    Ok(GenerationsConfig {
        max_prompt_characters: reader.number("MAX_PROMPT_CHARACTERS", 100_000, 1..=100_000_000)?,
        max_embedding_inputs: reader.number("MAX_EMBEDDING_INPUTS", 256, 1..=2048)?,
        max_unpaged_records: reader.number("MAX_UNPAGED_RECORDS", 10_000, 1..=10_000_000)?,
        max_running: reader.number("MAX_RUNNING_GENERATIONS", 16, 1..=1024)?,
        engine: EngineConfig {
            max_queued_generations: reader.number("MAX_QUEUED_GENERATIONS", 128, 1..=100_000)?,
            max_running_per_user: reader.number("MAX_RUNNING_PER_USER", 8, 1..=1024)?,
            queue_timeout: reader.seconds("QUEUE_TIMEOUT_SECONDS", 60, 1..=DAY_SECONDS)?,
            generation_timeout: reader.seconds("GENERATION_TIMEOUT_SECONDS", 120, 1..=DAY_SECONDS)?,
            // What is cut at the end of this is stored in the second that is left.
            shutdown_grace: shutdown_grace.saturating_sub(Duration::from_secs(1)),
            prefill_chunk_tokens: reader.number("PREFILL_CHUNK_TOKENS", 128, 16..=65_536)?,
            idle_prefill_chunk_tokens: reader.number("IDLE_PREFILL_CHUNK_TOKENS", 512, 16..=65_536)?,
            share_prefixes: reader.flag("SHARE_PREFIXES", true)?,
            speculate: reader.flag("SPECULATE", true)?,
            stream_buffer_events: reader.number("STREAM_BUFFER_EVENTS", 32, 4..=65_536)?,
        },
    })
}

fn log(reader: &mut Reader<'_>) -> Result<LogConfig, ConfigError> {
    Ok(LogConfig {
        enabled: !reader.flag("DISABLE_LOGGERS", false)?,
        filter: reader.parsed("LOG_LEVEL", LogConfig::DEFAULT_FILTER, |filter| {
            let allowed = "must be trace, debug, info, warn, error or off, or directives such as info,adapters_ml=debug";
            tracing_subscriber::EnvFilter::try_new(filter).map(|_| filter.to_owned()).map_err(|_| allowed)
        })?,
        format: reader.choice("LOG_FORMAT", &[("text", LogFormat::Text), ("json", LogFormat::Json)])?,
        file: reader.path("LOG_FILE"),
    })
}

#[cfg(test)]
mod tests;
