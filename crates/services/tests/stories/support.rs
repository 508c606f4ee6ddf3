//! A server without a web around it: every service over the fakes.

use std::sync::Arc;
use std::time::Duration;

use domain::{LlmId, ModelName};
use ports::{Background, TextGenerationStore};
use services::{
    AccountService, Caller, ClientInfo, Credentials, ModelService, Registration, ServiceError, SessionLifetimes, SessionPorts,
    SessionService, SignedIn, TextLimits, TextPorts, TextRequest, TextService,
};
use test_support::{
    FakeAccessTokens, FakeClock, FakeDatabase, FakeLanguageModels, FakePasswordHasher, FakeRefreshTokens, FakeTextGenerator,
    SequentialRandomness, TokioBackground,
};

pub struct Server {
    pub accounts: AccountService,
    pub sessions: SessionService,
    pub models: ModelService,
    pub texts: TextService,
    pub clock: FakeClock,
    pub generator: Arc<FakeTextGenerator>,
    pub background: Arc<TokioBackground>,
}

pub const PASSWORD: &str = "correct horse";

impl Server {
    /// A server whose model always says "a time".
    pub async fn start() -> Self {
        Self::with(FakeTextGenerator::saying([" a", " time"])).await
    }

    pub async fn with(generator: FakeTextGenerator) -> Self {
        let database = FakeDatabase::default();
        let texts: Arc<dyn TextGenerationStore> = Arc::new(database.clone());
        Self::build(generator, database, texts).await
    }

    pub async fn with_text_store(generator: FakeTextGenerator, texts: Arc<dyn TextGenerationStore>) -> Self {
        Self::build(generator, FakeDatabase::default(), texts).await
    }

    async fn build(generator: FakeTextGenerator, database: FakeDatabase, texts: Arc<dyn TextGenerationStore>) -> Self {
        let (clock, generator) = (FakeClock::default(), Arc::new(generator));
        let randomness = Arc::new(SequentialRandomness::default());
        let hasher = Arc::new(FakePasswordHasher::default());
        let store = Arc::new(database.clone());
        let background = Arc::new(TokioBackground::default());
        let session_ports = SessionPorts {
            users: store.clone(),
            sessions: store.clone(),
            hasher: hasher.clone(),
            access_tokens: Arc::new(FakeAccessTokens::default()),
            refresh_tokens: Arc::new(FakeRefreshTokens::default()),
            clock: Arc::new(clock.clone()),
            randomness: randomness.clone(),
        };
        let lifetimes = SessionLifetimes { access_token: Duration::from_mins(15), refresh_token: Duration::from_hours(24 * 30) };
        let name = ModelName::new("default").unwrap();
        let llm = LlmId::parse("bundled:fairy-tales").unwrap();
        let language_models = Arc::new(FakeLanguageModels::default().with(&llm.to_string(), generator.clone()));
        let models = ModelService::new(store.clone(), language_models.clone(), name.clone());
        models.ensure_default(None, llm).await.unwrap();
        let background_port: Arc<dyn Background> = background.clone();
        let text_ports = TextPorts {
            models: store.clone(),
            language_models,
            texts,
            background: background_port,
            clock: Arc::new(clock.clone()),
            randomness: randomness.clone(),
        };
        Self {
            accounts: AccountService::new(store.clone(), store, hasher, Arc::new(clock.clone()), randomness),
            sessions: SessionService::new(session_ports, lifetimes),
            models,
            texts: TextService::new(text_ports, name, TextLimits { prompt_characters: 1000, unpaged_records: 250 }),
            clock,
            generator,
            background,
        }
    }

    /// Registers someone and signs them in.
    pub async fn newcomer(&self, username: &str) -> Caller {
        self.register(username).await.unwrap();
        let signed_in = self.log_in(username).await.unwrap();
        self.sessions.authenticate(&signed_in.access_token).await.unwrap()
    }

    pub async fn register(&self, username: &str) -> Result<domain::User, ServiceError> {
        self.accounts.register(Registration { username: username.into(), password: PASSWORD.into(), email: None }).await
    }

    pub async fn log_in(&self, username: &str) -> Result<SignedIn, ServiceError> {
        let credentials = Credentials { login: username.into(), password: PASSWORD.into() };
        self.sessions.log_in(credentials, ClientInfo::default()).await
    }
}

/// A request for this prompt, silent about everything else.
pub fn prompt(prompt: &str) -> TextRequest {
    TextRequest {
        prompt: prompt.into(),
        model: None,
        sampling: domain::SamplingRequest::default(),
        priority: ports::Priority::Interactive,
    }
}
