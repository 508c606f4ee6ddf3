//! A server in the test's own thread: real services on fakes, real requests without a socket.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::http::{Method, StatusCode};
use actix_web::test::{TestRequest, init_service, read_body};
use actix_web::{App, Error};
use adapters_auth::{JwtAccessTokens, JwtAlgorithm, JwtConfig, RandomApiKeys, RandomOneTimeCodes};
use api::{ApiConfig, ApiState, Edge};
use domain::{ModelName, RateLimit, RegistrationPolicy};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use ports::Clock;
use serde_json::{Value, json};
use services::{
    AccountPorts, AccountService, ApiKeyService, AuditService, AuditTrail, CompletionLimits, CompletionPorts, CompletionService,
    EmbeddingLimits, EmbeddingPorts, EmbeddingService, HealthService, LimitDefaults, LimitPorts, LimitService, MediaPolicy,
    MediaPorts, MediaService, ModelPullService, ModelService, SessionPolicy, SessionPorts, SessionService, TextLimits, TextPorts,
    TextService,
};
use test_support::{
    FakeClock, FakeDatabase, FakeDocuments, FakeHealth, FakeImageGenerator, FakeLanguageModels, FakeLinks, FakeModelRepository,
    FakePasswordHasher, FakePictureCodec, FakeRateLimiter, FakeRefreshTokens, FakeSignInThrottle, FakeStorage, FakeSynthesizer,
    FakeTextEmbedder, FakeTextGenerator, InlineBackground, SequentialRandomness, TokioTimer,
};
use tokio::sync::OnceCell;

/// The password of everyone in these tests.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// The longest prompt that the server of these tests accepts.
pub(crate) const MAX_PROMPT_CHARACTERS: usize = 100;

/// The most texts that a list without pages has.
pub(crate) const MAX_UNPAGED_RECORDS: usize = 12;

/// What a test holds of the world behind the server.
pub(crate) struct World {
    pub(crate) clock: FakeClock,
    pub(crate) hasher: Arc<FakePasswordHasher>,
    pub(crate) generator: Arc<FakeTextGenerator>,
    /// Makes vectors of three numbers.
    pub(crate) embedder: Arc<FakeTextEmbedder>,
    pub(crate) health: Arc<FakeHealth>,
    pub(crate) storage: FakeStorage,
    pub(crate) synthesizer: FakeSynthesizer,
    pub(crate) image_generator: FakeImageGenerator,
    /// Over a hub that has `gpt2`.
    pub(crate) repository: Arc<FakeModelRepository>,
    pub(crate) state: ApiState,
    pub(crate) config: ApiConfig,
    pub(crate) edge: Edge,
    /// Built for the first request, with the settings as they are then.
    app: OnceCell<Rc<Serve>>,
}

type Serve = dyn Fn(TestRequest) -> LocalBoxFuture<'static, Result<ServiceResponse<BoxBody>, Error>>;

/// What a test may set otherwise.
pub(crate) struct Settings {
    pub(crate) registration: RegistrationPolicy,
    pub(crate) requests_per_minute: u32,
    pub(crate) guest_requests_per_minute: u32,
    pub(crate) tokens_per_day: Option<u64>,
    /// Whether somebody who did not sign in may have pictures and speech.
    pub(crate) allows_guests: bool,
}

impl Default for Settings {
    /// Everybody may register, and nobody comes near a limit.
    fn default() -> Self {
        Self {
            registration: RegistrationPolicy::Open,
            requests_per_minute: RateLimit::MAX_REQUESTS,
            guest_requests_per_minute: RateLimit::MAX_REQUESTS,
            tokens_per_day: None,
            allows_guests: true,
        }
    }
}

/// What signs the tokens of these tests.
pub(crate) const SECRET_KEY: &str = "a secret key for tests, and for tests alone";

/// Limits over fakes.
fn limit_service(
    database: &Arc<FakeDatabase>,
    clock: &FakeClock,
    randomness: &Arc<SequentialRandomness>,
    settings: &Settings,
    audit: &AuditTrail,
) -> LimitService {
    let limit_ports = LimitPorts {
        limiter: Arc::new(FakeRateLimiter::on(clock.clone())),
        tokens: database.clone(),
        overrides: database.clone(),
        clock: Arc::new(clock.clone()),
        randomness: randomness.clone(),
        background: Arc::new(InlineBackground),
    };
    let defaults = LimitDefaults {
        user: RateLimit::per_minute(settings.requests_per_minute).unwrap(),
        guest: RateLimit::per_minute(settings.guest_requests_per_minute).unwrap(),
        tokens_per_day: settings.tokens_per_day,
        reservation_lifetime: Duration::from_mins(10),
    };
    LimitService::new(limit_ports, defaults, audit.clone())
}

/// Sign-ins over fakes.
fn session_service(
    database: &Arc<FakeDatabase>,
    clock: &FakeClock,
    hasher: &Arc<FakePasswordHasher>,
    randomness: &Arc<SequentialRandomness>,
    throttle: &Arc<FakeSignInThrottle>,
    audit: &AuditTrail,
) -> SessionService {
    let session_ports = SessionPorts {
        users: database.clone(),
        sessions: database.clone(),
        hasher: hasher.clone(),
        access_tokens: Arc::new(access_tokens(SECRET_KEY)),
        refresh_tokens: Arc::new(FakeRefreshTokens::default()),
        clock: Arc::new(clock.clone()),
        randomness: randomness.clone(),
        throttle: throttle.clone(),
        api_keys: database.clone(),
        api_key_codec: Arc::new(RandomApiKeys),
        audit: audit.clone(),
    };
    let policy = SessionPolicy {
        access_token_lifetime: Duration::from_mins(15),
        refresh_token_lifetime: Duration::from_hours(30 * 24),
        max_per_user: 200,
    };
    SessionService::new(session_ports, policy)
}

/// What accounts stand on, over fakes.
fn account_ports(
    database: &Arc<FakeDatabase>,
    clock: &FakeClock,
    hasher: &Arc<FakePasswordHasher>,
    randomness: &Arc<SequentialRandomness>,
    throttle: &Arc<FakeSignInThrottle>,
    audit: &AuditTrail,
) -> AccountPorts {
    AccountPorts {
        users: database.clone(),
        hasher: hasher.clone(),
        throttle: throttle.clone(),
        codes: database.clone(),
        code_maker: Arc::new(RandomOneTimeCodes),
        clock: Arc::new(clock.clone()),
        randomness: randomness.clone(),
        audit: audit.clone(),
    }
}

/// Pictures and speech over fakes.
fn media_service(
    fakes: (&FakeStorage, &FakeSynthesizer, &FakeImageGenerator),
    database: &Arc<FakeDatabase>,
    clock: &FakeClock,
    randomness: &Arc<SequentialRandomness>,
    allows_guests: bool,
    limits: &LimitService,
    audit: &AuditTrail,
) -> MediaService {
    let (storage, synthesizer, image_generator) = fakes;
    let media_ports = MediaPorts {
        records: database.clone(),
        storage: Arc::new(storage.clone()),
        links: Some(Arc::new(FakeLinks)),
        documents: Arc::new(FakeDocuments),
        pictures: Arc::new(FakePictureCodec),
        synthesizers: BTreeMap::from([("espeak", Arc::new(synthesizer.clone()) as _)]),
        image_generators: BTreeMap::from([("pollinations", Arc::new(image_generator.clone()) as _)]),
        users: database.clone(),
        background: Arc::new(InlineBackground),
        clock: Arc::new(clock.clone()),
        timer: Arc::new(TokioTimer::default()),
        randomness: randomness.clone(),
    };
    let media_policy = MediaPolicy {
        allows_guests,
        image_model: ModelName::new("pollinations").unwrap(),
        speech_model: ModelName::new("espeak").unwrap(),
        image_prompt_characters: MAX_PROMPT_CHARACTERS,
        speech_characters: MAX_PROMPT_CHARACTERS,
        image_tokens: 1000,
        max_per_owner: 50,
        time_limit: Duration::from_mins(5),
        link_lifetime: Duration::from_mins(15),
    };
    MediaService::new(media_ports, media_policy, limits.clone(), audit.clone())
}

/// Vectors over fakes, of at most four inputs at once.
fn embedding_service(ports: &TextPorts, default_model: &ModelName, token_limits: &LimitService) -> EmbeddingService {
    let ports = EmbeddingPorts {
        models: ports.models.clone(),
        language_models: ports.language_models.clone(),
        randomness: ports.randomness.clone(),
    };
    let limits = EmbeddingLimits { prompt_characters: MAX_PROMPT_CHARACTERS, inputs: 4 };
    EmbeddingService::new(ports, default_model.clone(), limits, token_limits.clone())
}

/// Conversations over fakes.
fn chat_service(
    database: &Arc<FakeDatabase>,
    clock: &FakeClock,
    randomness: &Arc<SequentialRandomness>,
    language_models: &Arc<dyn ports::LanguageModels>,
    default_model: &ModelName,
    limits: &LimitService,
    audit: &AuditTrail,
) -> services::ChatService {
    let chat_ports = services::ChatPorts {
        conversations: database.clone(),
        streams: database.clone(),
        models: database.clone(),
        language_models: language_models.clone(),
        background: Arc::new(test_support::TokioBackground::default()),
        timer: Arc::new(test_support::TokioTimer::default()),
        clock: Arc::new(clock.clone()),
        randomness: randomness.clone(),
    };
    let chat_limits = services::ChatLimits {
        message_characters: MAX_PROMPT_CHARACTERS,
        conversation_messages: 100,
        user_conversations: 8,
        context_messages: 50,
        unknown_context_tokens: 1000,
        import_conversations: 5,
        running_streams: 10,
        running_streams_a_user: 10,
        resume_window: Duration::from_secs(30),
    };
    services::ChatService::new(chat_ports, default_model.clone(), "", chat_limits, limits.clone(), audit.clone())
}

impl World {
    /// A server with the model `default`, which says " there was a king".
    pub(crate) async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    /// The same, set otherwise.
    pub(crate) async fn with(settings: Settings) -> Self {
        let database = Arc::new(FakeDatabase::default());
        let clock = FakeClock::default();
        let shared_clock: Arc<dyn Clock> = Arc::new(clock.clone());
        let hasher = Arc::new(FakePasswordHasher::default());
        let randomness = Arc::new(SequentialRandomness::default());
        let generator = Arc::new(FakeTextGenerator::saying([" there", " was", " a king"]));
        let language_models = FakeLanguageModels::default().with("bundled:fairy-tales", generator.clone());
        let language_models = language_models.with("openai:gpt-x", generator.clone());
        let embedder = Arc::new(FakeTextEmbedder::of(3));
        let language_models = Arc::new(language_models.with_embedder("bundled:fairy-tales", embedder.clone()));
        let health = Arc::new(FakeHealth::of("database"));
        let repository = Arc::new(FakeModelRepository::offering(["gpt2"]));
        let audit = AuditTrail::new(database.clone(), shared_clock.clone(), Arc::new(InlineBackground));
        let default_model = ModelName::new("default").unwrap();
        let models = ModelService::new(database.clone(), language_models.clone(), default_model.clone(), audit.clone());
        models.ensure_default(None, domain::LlmId::parse("bundled:fairy-tales").unwrap()).await.unwrap();
        let throttle = Arc::new(FakeSignInThrottle::on(clock.clone()));
        let account_ports = account_ports(&database, &clock, &hasher, &randomness, &throttle, &audit);
        let sessions = session_service(&database, &clock, &hasher, &randomness, &throttle, &audit);
        let limits = limit_service(&database, &clock, &randomness, &settings, &audit);
        let text_ports = TextPorts {
            models: database.clone(),
            language_models,
            texts: database.clone(),
            background: Arc::new(InlineBackground),
            timer: Arc::new(TokioTimer::default()),
            clock: shared_clock.clone(),
            randomness: randomness.clone(),
        };
        let completion_ports = CompletionPorts {
            models: database.clone(),
            language_models: text_ports.language_models.clone(),
            clock: shared_clock.clone(),
            randomness: randomness.clone(),
        };
        let embeddings = embedding_service(&text_ports, &default_model, &limits);
        let completion_limits = CompletionLimits { prompt_characters: MAX_PROMPT_CHARACTERS };
        let text_limits = TextLimits { prompt_characters: MAX_PROMPT_CHARACTERS, unpaged_records: MAX_UNPAGED_RECORDS };
        let (storage, synthesizer) = (FakeStorage::default(), FakeSynthesizer::saying(["once ", "upon ", "a time"]));
        let image_generator = FakeImageGenerator::drawing("a picture");
        let fakes = (&storage, &synthesizer, &image_generator);
        let media = media_service(fakes, &database, &clock, &randomness, settings.allows_guests, &limits, &audit);
        let chats =
            chat_service(&database, &clock, &randomness, &completion_ports.language_models, &default_model, &limits, &audit);
        let state = ApiState {
            chats,
            media: media.clone(),
            accounts: AccountService::new(account_ports, settings.registration).erasing(media.clone()),
            sessions,
            api_keys: ApiKeyService::new(database.clone(), Arc::new(RandomApiKeys), shared_clock, randomness, audit.clone()),
            limits: limits.clone(),
            audit: AuditService::new(database),
            models,
            model_pulls: ModelPullService::new(repository.clone(), audit.clone()),
            completions: CompletionService::new(completion_ports, default_model.clone(), completion_limits, limits.clone()),
            embeddings,
            texts: TextService::new(text_ports, default_model, text_limits, limits, audit),
            health: HealthService::new(vec![health.clone()], Arc::new(clock.clone())),
        };
        let config = ApiConfig { json_body_bytes: 4096, heartbeat: Duration::from_millis(50), ..ApiConfig::default() };
        Self {
            clock,
            hasher,
            generator,
            embedder,
            health,
            storage,
            synthesizer,
            image_generator,
            repository,
            state,
            config,
            edge: Edge::default(),
            app: OnceCell::new(),
        }
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&self, request: TestRequest) -> Answer {
        let response = self.open(request).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read_body(response).await;
        Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() }
    }

    /// Sends a request and leaves the body to the test.
    pub(crate) async fn open(&self, request: TestRequest) -> ServiceResponse<BoxBody> {
        let serve = Rc::clone(self.app.get_or_init(|| self.build()).await);
        serve(request).await.unwrap()
    }

    async fn build(&self) -> Rc<Serve> {
        let app = App::new().configure(api::routes(self.state.clone(), self.config, self.edge.clone()));
        let app = Rc::new(init_service(app).await);
        Rc::new(move |request: TestRequest| {
            let app = Rc::clone(&app);
            async move { Ok(app.call(request.to_request()).await?.map_into_boxed_body()) }.boxed_local()
        })
    }

    /// A request without a body.
    pub(crate) async fn call(&self, method: &str, path: &str, token: Option<&str>) -> Answer {
        self.send(with_token(to(method, path), token)).await
    }

    /// A request with a JSON body.
    pub(crate) async fn call_json(&self, method: &str, path: &str, token: Option<&str>, body: Value) -> Answer {
        self.send(with_token(to(method, path), token).set_json(body)).await
    }

    /// A request with a form.
    pub(crate) async fn post_form(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.send(to("POST", path).set_form(form)).await
    }

    /// Makes a key of a user with these scopes.
    pub(crate) async fn key_of(&self, user: &SignedIn, scopes: &[&str]) -> String {
        let request = json!({"name": "a program", "scopes": scopes});
        let made = self.call_json("POST", "/auth/api-keys", user.token(), request).await;
        assert_eq!(made.status, 201, "{}", made.body);
        made.json()["key"].as_str().unwrap().to_owned()
    }

    /// Registers a user and signs them in. The first to come is the admin.
    pub(crate) async fn sign_in(&self, username: &str) -> SignedIn {
        let registered = self.call_json("POST", "/users", None, json!({"username": username, "password": PASSWORD})).await;
        assert_eq!(registered.status, 201, "{}", registered.body);
        let tokens = self.post_form("/token", &[("username", username), ("password", PASSWORD)]).await;
        assert_eq!(tokens.status, 200, "{}", tokens.body);
        SignedIn {
            id: registered.json()["id"].as_str().unwrap().to_owned(),
            access_token: tokens.json()["access_token"].as_str().unwrap().to_owned(),
            refresh_token: tokens.json()["refresh_token"].as_str().unwrap().to_owned(),
        }
    }
}

/// What signs and checks tokens with this secret.
pub(crate) fn access_tokens(secret: &str) -> JwtAccessTokens {
    JwtAccessTokens::new(&JwtConfig { algorithm: JwtAlgorithm::Hs256, secret_keys: vec![secret.to_owned().into()] }).unwrap()
}

/// A user with their tokens.
pub(crate) struct SignedIn {
    pub(crate) id: String,
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
}

impl SignedIn {
    /// The token, as the requests take it.
    #[expect(clippy::unnecessary_wraps, reason = "a request may come without one")]
    pub(crate) fn token(&self) -> Option<&str> {
        Some(&self.access_token)
    }
}

/// A request to a path.
pub(crate) fn to(method: &str, path: &str) -> TestRequest {
    TestRequest::default().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path)
}

/// The same request with a bearer token.
pub(crate) fn with_token(request: TestRequest, token: Option<&str>) -> TestRequest {
    match token {
        Some(token) => request.insert_header((AUTHORIZATION, format!("Bearer {token}"))),
        None => request,
    }
}

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// A header's value, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {:?}", self.body))
    }

    /// Checks that this is a whole problem with this status and code, and answers its detail.
    #[track_caller]
    pub(crate) fn expect_problem(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!((problem["status"].as_u64(), problem["code"].as_str()), (Some(u64::from(status)), Some(code)), "{problem}");
        assert_eq!(problem["type"], format!("urn:tertulia:error:{code}"));
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()));
        assert_eq!(problem["request_id"], self.header("x-request-id"), "the body names the request as the header does");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with(&format!("[{code}] ")), "{detail}");
        assert_eq!(self.header("www-authenticate"), if status == 401 { "Bearer" } else { "" });
        assert_eq!(!self.header("retry-after").is_empty(), matches!(status, 429 | 503), "Retry-After");
        detail.to_owned()
    }

    /// Checks that this is an error in OpenAI's shape with this status and code, and answers its message and the field it is about.
    #[track_caller]
    pub(crate) fn expect_openai_error(&self, status: u16, code: &str) -> (String, Option<String>) {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        assert_eq!(self.header("content-type"), "application/json");
        let body = self.json();
        let error = &body["error"];
        let mut members: Vec<&str> = error.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, ["code", "message", "param", "type"], "{body}");
        assert_eq!((error["code"].as_str(), body.as_object().unwrap().len()), (Some(code), 1), "{body}");
        assert_eq!(self.header("www-authenticate"), if status == 401 { "Bearer" } else { "" });
        assert_eq!(!self.header("retry-after").is_empty(), matches!(status, 429 | 503), "Retry-After");
        assert!(!self.header("x-request-id").is_empty());
        let message = error["message"].as_str().unwrap();
        assert!(!message.is_empty() && !message.starts_with("[E"), "{message}");
        (message.to_owned(), error["param"].as_str().map(str::to_owned))
    }
}
