//! One provider at one base URL: a call, from admission to the head of the answer.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, redirect};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, sleep, timeout_at};

use super::answer::Answer;
use super::base_url::BaseUrl;
use super::breaker::BreakerConfig;
use super::circuit::Circuit;
use super::failure::HttpFailure;
use super::metrics;
use super::refusal::{Refusal, retry_after};
use super::retry::RetryPolicy;

/// What is read of a refusal at the most. Nobody needs more to know why.
const MAX_REFUSAL_BYTES: usize = 64 << 10;
/// How long a refusal's body is waited for: its status has been told already.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(2);
/// Redirects within the provider's own origin that are followed.
const MAX_REDIRECTS: usize = 3;
/// How long an idle connection is kept for the next call.
const POOL_IDLE: Duration = Duration::from_mins(1);

/// The client that all providers share: one pool of connections, TLS by rustls. It follows no redirect to another origin, uses no proxy
/// of the environment and asks for no compression, so that a body's bytes are what is counted.
#[derive(Clone)]
pub struct HttpClient {
    client: reqwest::Client,
    connect_timeout: Duration,
}

impl HttpClient {
    /// A client that waits so long for a connection. The error says what the system lacks.
    pub fn new(connect_timeout: Duration) -> Result<Self, String> {
        let build = |trust_nobody: bool| {
            let builder = reqwest::Client::builder()
                .no_proxy()
                .connect_timeout(connect_timeout)
                .pool_idle_timeout(POOL_IDLE)
                .redirect(redirect::Policy::custom(follow_within_the_origin))
                .user_agent(concat!("tertulia/", env!("CARGO_PKG_VERSION")));
            if trust_nobody { builder.tls_certs_only([]) } else { builder }.build()
        };
        let client = build(false).or_else(|error| {
            // A machine without certificates of authorities can still speak plain HTTP to a provider beside it.
            tracing::warn!(%error, "no certificate authorities were found: providers can be reached by http:// alone");
            build(true)
        });
        let client = client.map_err(|error| format!("no HTTP client can be made: {error}"))?;
        Ok(Self { client, connect_timeout })
    }
}

/// A redirect that leaves the origin would hand our request, and the key with it, to somebody else.
fn follow_within_the_origin(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let stays = attempt.previous().last().is_some_and(|from| from.origin() == attempt.url().origin());
    if stays && attempt.previous().len() <= MAX_REDIRECTS { attempt.follow() } else { attempt.error("leaves the origin") }
}

/// How patient to be with a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// How long it may say nothing: before the first byte, and between two.
    pub patience: Duration,
    /// What is repeated.
    pub retry: RetryPolicy,
    /// When it is left alone.
    pub breaker: BreakerConfig,
}

/// What must be known of a provider to call it.
pub struct EndpointConfig {
    /// Its name: `openai`, `ollama`.
    pub provider: &'static str,
    /// Where it is.
    pub base_url: BaseUrl,
    /// Sent as `Authorization: Bearer`, and cut from whatever it says.
    pub api_key: Option<SecretString>,
    /// Sent with every call besides.
    pub headers: Vec<(&'static str, String)>,
    /// How patient to be.
    pub limits: HttpLimits,
}

/// One call.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// The path below the base URL.
    pub path: &'a str,
    /// One more segment of the path, which may hold anything.
    pub segment: Option<&'a str>,
    /// What follows the path after `?`.
    pub query: &'a [(&'a str, String)],
    /// `None` to GET, a JSON body to POST.
    pub body: Option<Vec<u8>>,
    /// When all of it must have ended, reading the answer included.
    pub deadline: Instant,
    /// How long it may say nothing; `None` for the endpoint's own patience.
    pub patience: Option<Duration>,
    /// What is repeated; `None` for the endpoint's own policy.
    pub retry: Option<RetryPolicy>,
}

impl<'a> Call<'a> {
    /// Asks for what is there.
    pub const fn get(path: &'a str, deadline: Instant) -> Self {
        Self { path, segment: None, query: &[], body: None, deadline, patience: None, retry: None }
    }

    /// Sends JSON.
    pub const fn post(path: &'a str, body: Vec<u8>, deadline: Instant) -> Self {
        Self { path, segment: None, query: &[], body: Some(body), deadline, patience: None, retry: None }
    }

    /// Asks for something by its name, which may hold anything, as the last segment of the path.
    #[must_use]
    pub const fn of(mut self, segment: &'a str) -> Self {
        self.segment = Some(segment);
        self
    }

    /// Asks with these parameters.
    #[must_use]
    pub const fn with_query(mut self, query: &'a [(&'a str, String)]) -> Self {
        self.query = query;
        self
    }

    /// Waits so long for the first byte and between two.
    #[must_use]
    pub const fn patient_for(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Has so long for all of it, and no time for a second try.
    #[must_use]
    pub const fn once_within(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self.retry = Some(RetryPolicy::ONCE);
        self
    }
}

/// One provider at one base URL. Clones share its connections and its breaker.
#[derive(Clone)]
pub struct Endpoint(Arc<Inner>);

struct Inner {
    provider: &'static str,
    base_url: BaseUrl,
    http: HttpClient,
    headers: HeaderMap,
    secrets: Vec<SecretString>,
    limits: HttpLimits,
    circuit: Arc<Circuit>,
}

impl Endpoint {
    /// The error says which value cannot be sent, without repeating it.
    pub fn new(http: HttpClient, config: EndpointConfig) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let value = HeaderValue::from_str(value).map_err(|_| format!("{name} holds what no header may"))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        if let Some(key) = &config.api_key {
            let bearer = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret()));
            let mut bearer = bearer.map_err(|_| "the key holds what no header may".to_owned())?;
            bearer.set_sensitive(true);
            headers.insert(reqwest::header::AUTHORIZATION, bearer);
        }
        Ok(Self(Arc::new(Inner {
            provider: config.provider,
            base_url: config.base_url,
            http,
            headers,
            secrets: config.api_key.into_iter().collect(),
            limits: config.limits,
            circuit: Circuit::new(config.provider, config.limits.breaker),
        })))
    }

    /// Its name.
    pub fn provider(&self) -> &'static str {
        self.0.provider
    }

    /// Whether it is called now.
    pub fn circuit(&self) -> &Circuit {
        &self.0.circuit
    }

    /// What must not appear in anything it is quoted with.
    pub fn secrets(&self) -> &[SecretString] {
        &self.0.secrets
    }

    /// Calls, repeating what is safe to repeat, and answers once the head of a successful answer is there. Every other status is
    /// [`HttpFailure::Refused`]. Dropping the call, or the answer, closes the connection.
    pub async fn call(&self, call: Call<'_>) -> Result<Answer, HttpFailure> {
        let (begun, path) = (Instant::now(), call.path);
        let result = self.call_until_answered(call).await;
        metrics::count(self.0.provider, path, &result, begun.elapsed());
        result
    }

    async fn call_until_answered(&self, call: Call<'_>) -> Result<Answer, HttpFailure> {
        let inner = &self.0;
        let mut permit = inner.circuit.admit().map_err(|retry_in| HttpFailure::CircuitOpen { retry_in })?;
        let (patience, retry) = (call.patience.unwrap_or(inner.limits.patience), call.retry.unwrap_or(inner.limits.retry));
        let mut attempt = 1;
        loop {
            let failure = match self.attempt(&call, patience).await {
                Ok(response) => {
                    permit.answered();
                    return Ok(Answer::new(response, permit, call.deadline, patience));
                }
                Err(failure) => failure,
            };
            match retry.wait_after(attempt, &failure, rand::random()) {
                Some(wait) if Instant::now() + wait < call.deadline => {
                    tracing::debug!(provider = inner.provider, attempt, %failure, wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX), "trying again");
                    sleep(wait).await;
                    attempt += 1;
                }
                _ => {
                    if failure.speaks_of_the_provider() {
                        permit.failed();
                    } else if matches!(failure, HttpFailure::Refused(_)) {
                        permit.answered();
                        permit.succeeded();
                    }
                    return Err(failure);
                }
            }
        }
    }

    async fn attempt(&self, call: &Call<'_>, patience: Duration) -> Result<reqwest::Response, HttpFailure> {
        let inner = &self.0;
        let method = if call.body.is_some() { Method::POST } else { Method::GET };
        let mut url = inner.base_url.join(call.path);
        if let (Some(segment), Ok(mut segments)) = (call.segment, url.path_segments_mut()) {
            segments.push(segment);
        }
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(call.query);
        }
        let mut request = inner.http.client.request(method, url).headers(inner.headers.clone());
        if let Some(body) = &call.body {
            request = request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body.clone());
        }
        let until = call.deadline.min(Instant::now() + patience);
        let response = match timeout_at(until, request.send()).await {
            Ok(sent) => sent.map_err(|error| HttpFailure::of_send(error, inner.http.connect_timeout))?,
            Err(_) if until == call.deadline => return Err(HttpFailure::DeadlineExceeded),
            Err(_) => return Err(HttpFailure::Silent { patience }),
        };
        match response.status() {
            status if status.is_success() => Ok(response),
            status if status.is_redirection() => Err(HttpFailure::Redirected),
            _ => Err(HttpFailure::Refused(Box::new(self.read_refusal(response).await))),
        }
    }

    /// Reads as much of a refusal as there is soon. That the rest fails changes nothing about the refusal.
    async fn read_refusal(&self, mut response: reqwest::Response) -> Refusal {
        let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
        let mut body = Vec::new();
        let until = Instant::now() + REFUSAL_PATIENCE;
        while let Ok(Ok(Some(chunk))) = timeout_at(until, response.chunk()).await {
            let room = MAX_REFUSAL_BYTES.saturating_sub(body.len());
            body.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
            if body.len() >= MAX_REFUSAL_BYTES {
                break;
            }
        }
        Refusal::new(status, retry_after, &body, &self.0.secrets)
    }
}
