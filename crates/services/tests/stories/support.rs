//! A server without a web around it: every service over the fakes.

use std::sync::Arc;
use std::time::Duration;

use domain::{AuditAction, LlmId, ModelName, RateLimit, RegistrationPolicy, TextGeneration};
use futures_util::TryStreamExt as _;
use ports::{Clock, TextGenerationStore, TokenQuotaStore};
use services::{
    AccountPorts, AccountService, ApiKeyService, AuditService, AuditTrail, Caller, ClientInfo, CompletionLimits, CompletionPorts,
    CompletionService, Credentials, EmbeddingLimits, EmbeddingPorts, EmbeddingService, LimitDefaults, LimitPorts, LimitService,
    ModelService, Registration, ServiceError, SessionPolicy, SessionPorts, SessionService, SignedIn, TextLimits, TextPorts,
    TextRequest, TextService,
};
use test_support::{
    FakeAccessTokens, FakeApiKeyCodec, FakeClock, FakeDatabase, FakeLanguageModels, FakeOneTimeCodes, FakePasswordHasher,
    FakeRateLimiter, FakeRefreshTokens, FakeSignInThrottle, FakeTextEmbedder, FakeTextGenerator, SequentialRandomness,
    TokioBackground, TokioTimer,
};

pub struct Server {
    pub accounts: AccountService,
    pub sessions: SessionService,
    pub models: ModelService,
    pub texts: TextService,
    pub completions: CompletionService,
    pub embeddings: EmbeddingService,
    pub api_keys: ApiKeyService,
    pub limits: LimitService,
    pub audit: AuditService,
    pub clock: FakeClock,
    pub generator: Arc<FakeTextGenerator>,
    pub embedder: Arc<FakeTextEmbedder>,
    pub background: Arc<TokioBackground>,
}

pub const PASSWORD: &str = "correct horse";

/// What a test of a server's settings changes; the rest is as generous as the default settings.
pub struct Settings {
    pub registration: RegistrationPolicy,
    pub requests_per_minute: u32,
    pub tokens_per_day: Option<u64>,
    pub max_sessions_per_user: u32,
    /// What makes vectors: of three numbers, unless a test says otherwise.
    pub embedder: Arc<FakeTextEmbedder>,
    /// Where everything is kept.
    pub database: Arc<FakeDatabase>,
    /// Where the audit log is kept, if not with everything else.
    pub audit_log: Option<Arc<dyn ports::AuditLog>>,
    /// Where texts are kept, if not with everything else.
    pub texts: Option<Arc<dyn TextGenerationStore>>,
    /// Where tokens are counted, if not with everything else.
    pub quotas: Option<Arc<dyn TokenQuotaStore>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            registration: RegistrationPolicy::Open,
            requests_per_minute: 600,
            tokens_per_day: None,
            max_sessions_per_user: 200,
            embedder: Arc::new(FakeTextEmbedder::of(3)),
            database: Arc::default(),
            audit_log: None,
            texts: None,
            quotas: None,
        }
    }
}

impl Server {
    /// A server whose model always says "a time".
    pub async fn start() -> Self {
        Self::with(FakeTextGenerator::saying([" a", " time"])).await
    }

    pub async fn with(generator: FakeTextGenerator) -> Self {
        Self::build(generator, Settings::default()).await
    }

    pub async fn with_settings(settings: Settings) -> Self {
        Self::build(FakeTextGenerator::saying([" a", " time"]), settings).await
    }

    pub async fn with_text_store(generator: FakeTextGenerator, texts: Arc<dyn TextGenerationStore>) -> Self {
        Self::build(generator, Settings { texts: Some(texts), ..Settings::default() }).await
    }

    /// A server on this database.
    pub async fn on(generator: FakeTextGenerator, database: Arc<FakeDatabase>) -> Self {
        Self::build(generator, Settings { database, ..Settings::default() }).await
    }

    pub async fn build(generator: FakeTextGenerator, settings: Settings) -> Self {
        let limit_defaults = limit_defaults(&settings);
        let store = settings.database;
        let (clock, generator) = (FakeClock::default(), Arc::new(generator));
        let clock_port: Arc<dyn Clock> = Arc::new(clock.clone());
        let randomness = Arc::new(SequentialRandomness::default());
        let background = Arc::new(TokioBackground::default());
        let audit = AuditTrail::new(settings.audit_log.unwrap_or_else(|| store.clone()), clock_port.clone(), background.clone());
        let codec = Arc::new(FakeApiKeyCodec::default());
        let (account_ports, session_ports) = ports_of_people(&store, &clock, &randomness, &codec, &audit);
        let policy = session_policy(settings.max_sessions_per_user);
        let name = ModelName::new("default").unwrap();
        let llm = LlmId::parse("bundled:fairy-tales").unwrap();
        let embedder = settings.embedder;
        let language_models = FakeLanguageModels::default().with(&llm.to_string(), generator.clone());
        let language_models = Arc::new(language_models.with_embedder(&llm.to_string(), embedder.clone()));
        let models = ModelService::new(store.clone(), language_models.clone(), name.clone(), audit.clone());
        models.ensure_default(None, llm).await.unwrap();
        let text_ports = TextPorts {
            models: store.clone(),
            language_models,
            texts: settings.texts.unwrap_or_else(|| store.clone()),
            background: background.clone(),
            timer: Arc::new(TokioTimer::faster(100)),
            clock: clock_port.clone(),
            randomness: randomness.clone(),
        };
        let completion_ports = completion_ports(&text_ports);
        let embedding_ports = embedding_ports(&text_ports);
        let limit_ports = LimitPorts {
            limiter: Arc::new(FakeRateLimiter::on(clock.clone())),
            tokens: settings.quotas.unwrap_or_else(|| store.clone()),
            overrides: store.clone(),
            clock: clock_port.clone(),
            randomness: randomness.clone(),
            background: background.clone(),
        };
        let limits = LimitService::new(limit_ports, limit_defaults, audit.clone());
        let text_limits = TextLimits { prompt_characters: 1000, unpaged_records: 250 };
        Self {
            accounts: AccountService::new(account_ports, settings.registration),
            sessions: SessionService::new(session_ports, policy),
            models,
            completions: CompletionService::new(
                completion_ports,
                name.clone(),
                CompletionLimits { prompt_characters: 1000 },
                limits.clone(),
            ),
            embeddings: EmbeddingService::new(embedding_ports, name.clone(), EMBEDDING_LIMITS, limits.clone()),
            texts: TextService::new(text_ports, name, text_limits, limits.clone(), audit.clone()),
            api_keys: ApiKeyService::new(store.clone(), codec, clock_port, randomness, audit),
            limits,
            audit: AuditService::new(store),
            clock,
            generator,
            embedder,
            background,
        }
    }

    /// Registers someone and signs them in.
    pub async fn newcomer(&self, username: &str) -> Caller {
        self.register(username).await.unwrap();
        let signed_in = self.log_in(username).await.unwrap();
        self.authenticate(&signed_in.access_token).await.unwrap()
    }

    pub async fn register(&self, username: &str) -> Result<domain::User, ServiceError> {
        let registration = Registration { username: username.into(), password: PASSWORD.into(), ..Registration::default() };
        self.accounts.register(registration).await
    }

    pub async fn log_in(&self, username: &str) -> Result<SignedIn, ServiceError> {
        self.log_in_with(username, PASSWORD).await
    }

    pub async fn log_in_with(&self, username: &str, password: &str) -> Result<SignedIn, ServiceError> {
        let credentials = Credentials { login: username.into(), password: password.into() };
        self.sessions.log_in(credentials, ClientInfo { user_agent: None, address: Some("192.0.2.7".into()) }).await
    }

    pub async fn authenticate(&self, bearer: &str) -> Result<Caller, ServiceError> {
        self.sessions.authenticate(bearer, None).await
    }

    /// All texts of somebody, newest first, as far as they are listed at once.
    pub async fn all_texts(&self, caller: &Caller) -> Vec<TextGeneration> {
        let pages: Vec<_> = self.texts.list_all(caller).await.unwrap().pages.try_collect().await.unwrap();
        pages.concat()
    }

    /// What the audit log holds, the oldest first.
    pub async fn audited(&self, admin: &Caller) -> Vec<AuditAction> {
        let filter = ports::AuditFilter::default();
        let events = self.audit.list(admin, filter, None, domain::PageLimit::new(200).unwrap()).await.unwrap();
        events.iter().rev().map(|event| event.entry.action).collect()
    }
}

/// A request for this prompt, silent about everything else.
pub fn prompt(prompt: &str) -> TextRequest {
    TextRequest {
        prompt: prompt.into(),
        model: None,
        sampling: domain::SamplingRequest::default(),
        truncation: ports::Truncation::Refuse,
        priority: ports::Priority::Interactive,
    }
}

/// What a request for embeddings may hold.
const EMBEDDING_LIMITS: EmbeddingLimits = EmbeddingLimits { prompt_characters: 1000, inputs: 4 };

fn embedding_ports(ports: &TextPorts) -> EmbeddingPorts {
    EmbeddingPorts {
        models: ports.models.clone(),
        language_models: ports.language_models.clone(),
        randomness: ports.randomness.clone(),
    }
}

/// What accounts and sign-ins stand on, over the same fakes.
fn ports_of_people(
    store: &Arc<FakeDatabase>,
    clock: &FakeClock,
    randomness: &Arc<SequentialRandomness>,
    codec: &Arc<FakeApiKeyCodec>,
    audit: &AuditTrail,
) -> (AccountPorts, SessionPorts) {
    let hasher = Arc::new(FakePasswordHasher::default());
    let throttle = Arc::new(FakeSignInThrottle::on(clock.clone()));
    let session_ports = SessionPorts {
        users: store.clone(),
        sessions: store.clone(),
        hasher: hasher.clone(),
        access_tokens: Arc::new(FakeAccessTokens::default()),
        refresh_tokens: Arc::new(FakeRefreshTokens::default()),
        clock: Arc::new(clock.clone()),
        randomness: randomness.clone(),
        throttle: throttle.clone(),
        api_keys: store.clone(),
        api_key_codec: codec.clone(),
        audit: audit.clone(),
    };
    let account_ports = AccountPorts {
        users: store.clone(),
        hasher,
        throttle,
        codes: store.clone(),
        code_maker: Arc::new(FakeOneTimeCodes::default()),
        clock: Arc::new(clock.clone()),
        randomness: randomness.clone(),
        audit: audit.clone(),
    };
    (account_ports, session_ports)
}

fn session_policy(max_per_user: u32) -> SessionPolicy {
    let (access_token_lifetime, refresh_token_lifetime) = (Duration::from_mins(15), Duration::from_hours(24 * 30));
    SessionPolicy { access_token_lifetime, refresh_token_lifetime, max_per_user }
}

fn limit_defaults(settings: &Settings) -> LimitDefaults {
    LimitDefaults {
        user: RateLimit::per_minute(settings.requests_per_minute).unwrap(),
        guest: RateLimit::per_minute(60).unwrap(),
        tokens_per_day: settings.tokens_per_day,
        reservation_lifetime: Duration::from_mins(10),
    }
}

/// The same models for completions as for texts.
fn completion_ports(texts: &TextPorts) -> CompletionPorts {
    CompletionPorts {
        models: texts.models.clone(),
        language_models: texts.language_models.clone(),
        clock: texts.clock.clone(),
        randomness: texts.randomness.clone(),
    }
}
