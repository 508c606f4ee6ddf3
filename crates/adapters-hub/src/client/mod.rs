//! Asks the hub. Every request goes through [`HubClient::send`], which decides who may see the token.

mod failure;

use ports::{HubModel, RepositoryError};
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue, LINK, LOCATION, RANGE, USER_AGENT};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;

pub(crate) use self::failure::Failure;
use crate::digest::BlobDigest;
use crate::names::{is_commit, is_relative_path};
use crate::selection::{Listing, RemoteFile};
use crate::wire::{Revision, TreeEntry};
use crate::{HubConfig, HubEndpoint, Retries};

/// Large files lie one redirect away; more than a few are a loop.
const MAX_REDIRECTS: usize = 5;
/// The descriptions of the largest repositories have a few MB.
const MAX_ANSWER_BYTES: usize = 16 << 20;
/// Far more than any model has.
const MAX_FILES: usize = 10_000;
/// The hub lists a thousand files a page.
const MAX_PAGES: usize = 20;

/// What the hub says more precisely than by a status (`RepoNotFound`, `GatedRepo`, `RevisionNotFound`).
const ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");

/// One hub, and what may be tried again there.
pub(crate) struct HubClient {
    http: Client,
    /// Whether this machine knows no authority that could vouch for a host.
    trusts_nobody: bool,
    endpoint: HubEndpoint,
    token: Option<SecretString>,
    pub(crate) retries: Retries,
}

impl HubClient {
    /// Connects to nobody yet. The error says which setting cannot be used.
    pub(crate) fn new(config: &HubConfig) -> Result<Self, String> {
        if let Some(token) = &config.token {
            HeaderValue::from_str(token.expose_secret()).map_err(|_| "the token has characters that no header may have")?;
        }
        let agent = HeaderValue::from_static(concat!("tertulia/", env!("CARGO_PKG_VERSION")));
        let headers = HeaderMap::from_iter([
            (USER_AGENT, agent),
            // Sizes and ranges are those of the files as they are.
            (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
        ]);
        let build = |trusts_nobody: bool| {
            let builder = Client::builder()
                .default_headers(headers.clone())
                .redirect(redirect::Policy::none())
                .referer(false)
                .connect_timeout(config.connect_timeout)
                .read_timeout(config.idle_timeout);
            let builder = if config.endpoint.is_loopback() { builder.no_proxy() } else { builder };
            if trusts_nobody { builder.tls_certs_only([]) } else { builder }.build()
        };
        // A machine without certificates of authorities (a small container) must start all the same: it may never need the hub.
        let (http, trusts_nobody) = match build(false) {
            Ok(http) => (http, false),
            Err(_) => (build(true).map_err(|error| format!("the HTTP client cannot be made: {error}"))?, true),
        };
        let (endpoint, token) = (config.endpoint.clone(), config.token.clone());
        Ok(Self { http, trusts_nobody, endpoint, token, retries: config.retries })
    }

    /// The commit that a model's revision means now.
    pub(crate) async fn commit(&self, model: &HubModel) -> Result<String, RepositoryError> {
        let mut segments = vec!["api", "models"];
        segments.extend(model.repository.split('/'));
        segments.extend(["revision", model.revision.as_str()]);
        let (revision, _): (Revision, _) = self.ask(&self.endpoint.below(segments), model).await?;
        if is_commit(&revision.sha) {
            Ok(revision.sha)
        } else {
            Err(RepositoryError::Corrupt(format!("{} names no commit for {}", self.endpoint, model.repository)))
        }
    }

    /// All files of a commit. A path that leads out of the repository condemns the whole list.
    pub(crate) async fn listing(&self, model: &HubModel, commit: &str) -> Result<Listing, RepositoryError> {
        let mut segments = vec!["api", "models"];
        segments.extend(model.repository.split('/'));
        segments.extend(["tree", commit]);
        let mut url = self.endpoint.below(segments);
        url.set_query(Some("recursive=true"));
        let mut listing = Listing::default();
        for _ in 0..MAX_PAGES {
            let (entries, next): (Vec<TreeEntry>, _) = self.ask(&url, model).await?;
            for entry in entries.into_iter().filter(|entry| entry.kind == "file") {
                listing.insert(remote_file(entry)?);
            }
            if listing.len() > MAX_FILES {
                break;
            }
            match next {
                Some(next) => url = next,
                None => return Ok(listing),
            }
        }
        Err(RepositoryError::Unsupported(format!("{} has more than {MAX_FILES} files; no model has so many", model.repository)))
    }

    /// Where the bytes of a file are asked for. Large ones are redirected from there, by a link that is valid for a while.
    pub(crate) fn file_url(&self, model: &HubModel, commit: &str, path: &str) -> Url {
        let segments = model.repository.split('/').chain(["resolve", commit]).chain(path.split('/'));
        self.endpoint.below(segments)
    }

    /// Asks for a file's bytes from an offset on. Answers 200 (all of it), 206 (from there on) and 416 (nothing there) alike.
    pub(crate) async fn open(&self, url: &Url, from: u64, model: &HubModel) -> Result<Response, Failure> {
        let response = self.send(url.clone(), (from > 0).then_some(from)).await?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE { Ok(response) } else { self.checked(response, model) }
    }

    /// One JSON answer and the address of its continuation, tried again where that may help.
    async fn ask<T: DeserializeOwned>(&self, url: &Url, model: &HubModel) -> Result<(T, Option<Url>), RepositoryError> {
        let mut failures = 0;
        loop {
            match self.ask_once(url, model).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => {
                    failures += 1;
                    self.wait(failure, failures, &model.repository).await?;
                }
            }
        }
    }

    /// Waits until something may be tried again, or says why it may not.
    pub(crate) async fn wait(&self, failure: Failure, failures: u32, what: &str) -> Result<(), RepositoryError> {
        let (problem, asked_for) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Temporary { problem, retry_after } => (problem, retry_after),
        };
        let Some(wait) = self.retries.wait_after(failures, asked_for) else {
            let told = format!("{what} could not be fetched from {} in {failures} tries: {problem}", self.endpoint);
            return Err(RepositoryError::Unreachable(told));
        };
        tracing::debug!(
            what,
            problem,
            failures,
            wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            "a request to the hub is tried again"
        );
        tokio::time::sleep(wait).await;
        Ok(())
    }

    async fn ask_once<T: DeserializeOwned>(&self, url: &Url, model: &HubModel) -> Result<(T, Option<Url>), Failure> {
        let response = self.checked(self.send(url.clone(), None).await?, model)?;
        let next = next_page(&response);
        if next.as_ref().is_some_and(|next| !self.endpoint.has_origin_of(next)) {
            let told = format!("{} continues the list of files of {} on another host", self.endpoint, model.repository);
            return Err(Failure::Final(RepositoryError::Corrupt(told)));
        }
        let body = read_bounded(response).await?;
        let answer = serde_json::from_slice(&body).map_err(|error| {
            let told = format!("{} answers what is no description of a model: {error}", self.endpoint);
            Failure::Final(RepositoryError::Corrupt(told))
        })?;
        Ok((answer, next))
    }

    /// Sends a GET and follows its redirects by hand: **the token goes to the hub's own origin alone**, and nothing that was asked for
    /// under TLS is taken without it.
    async fn send(&self, mut url: Url, from: Option<u64>) -> Result<Response, Failure> {
        for _ in 0..=MAX_REDIRECTS {
            if self.trusts_nobody && url.scheme() == "https" {
                let told =
                    "https needs certificates of authorities, and this machine has none: install the package ca-certificates";
                return Err(Failure::Final(RepositoryError::Unreachable(told.to_owned())));
            }
            let mut request = self.http.get(url.clone());
            if let Some(token) = self.token.as_ref().filter(|_| self.endpoint.has_origin_of(&url)) {
                request = request.bearer_auth(token.expose_secret());
            }
            if let Some(from) = from {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
            let response = request.send().await.map_err(Failure::of_transport)?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            url = self.next_hop(&url, &response)?;
        }
        Err(Failure::Final(RepositoryError::Unreachable(format!("{} redirects in a circle", self.endpoint))))
    }

    fn next_hop(&self, from: &Url, response: &Response) -> Result<Url, Failure> {
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let next = location.and_then(|location| from.join(location).ok());
        let secure_enough = |next: &Url| next.scheme() == "https" || (next.scheme() == "http" && from.scheme() == "http");
        next.filter(secure_enough).ok_or_else(|| {
            let told = format!("{} redirects to where nothing is fetched from", self.endpoint);
            Failure::Final(RepositoryError::Unreachable(told))
        })
    }

    /// Reads a status. What another host refuses is a link that has expired: the hub gives a new one.
    fn checked(&self, response: Response, model: &HubModel) -> Result<Response, Failure> {
        let status = response.status();
        if status == StatusCode::OK || status == StatusCode::PARTIAL_CONTENT {
            return Ok(response);
        }
        let foreign = !self.endpoint.has_origin_of(response.url());
        let host = if foreign { "the host of its files".to_owned() } else { self.endpoint.to_string() };
        let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND);
        if refused && !foreign {
            return Err(Failure::Final(RepositoryError::NotFound(self.not_found(&response, model))));
        }
        let temporary = refused
            || status.is_server_error()
            || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS);
        let problem = format!("{host} answers {status}");
        if temporary {
            Err(Failure::Temporary { problem, retry_after: failure::retry_after(response.headers()) })
        } else {
            Err(Failure::Final(RepositoryError::Unreachable(problem)))
        }
    }

    /// What to do about a model that is not there, or not for everybody. The hub answers 401 for both, so that nobody learns which.
    fn not_found(&self, response: &Response, model: &HubModel) -> String {
        let HubModel { repository, revision } = model;
        let code = response.headers().get(ERROR_CODE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (status, site) = (response.status(), &self.endpoint);
        let token = if self.token.is_some() { "HF_TOKEN does not open it" } else { "HF_TOKEN is not set" };
        match code {
            "GatedRepo" => {
                format!(
                    "{repository} is not open to everybody: accept its licence on {site}/{repository}, then set HF_TOKEN ({token})"
                )
            }
            "RevisionNotFound" => format!("{repository} has no revision {revision}: check the name after @, or leave it out"),
            "EntryNotFound" => format!("{repository} has lost a file while it was fetched: try again"),
            _ if status == StatusCode::FORBIDDEN => {
                format!(
                    "{repository} is not for you: accept its licence on {site}/{repository}, or set HF_TOKEN to a token that opens it ({token})"
                )
            }
            _ => format!(
                "{repository} is not on {site}, or it is private: check the name, or set HF_TOKEN to a token that opens it ({token})"
            ),
        }
    }
}

fn remote_file(entry: TreeEntry) -> Result<RemoteFile, RepositoryError> {
    let TreeEntry { path, oid, lfs, size, .. } = entry;
    if !is_relative_path(&path) {
        let told = format!("the hub lists a file named {path:?}, which leads out of the model's folder; nothing was fetched");
        return Err(RepositoryError::Corrupt(told));
    }
    let (digest, size_bytes) = match &lfs {
        Some(large) => (BlobDigest::of_large_file(&large.oid), large.size),
        None => (BlobDigest::of_git_blob(&oid), size),
    };
    match digest {
        Some(digest) => Ok(RemoteFile { path, size_bytes, digest }),
        None => Err(RepositoryError::Corrupt(format!("the hub gives no digest for {path:?}; nothing was fetched"))),
    }
}

/// The address in `Link: <…>; rel="next"` (RFC 8288).
fn next_page(response: &Response) -> Option<Url> {
    let links = response.headers().get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let next = links.flat_map(|value| value.split(',')).find(|link| link.contains("rel=\"next\""))?;
    let target = next.split_once('<')?.1.split_once('>')?.0;
    response.url().join(target).ok()
}

/// Reads an answer that must be short.
async fn read_bounded(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(Failure::of_transport)? {
        if body.len() + part.len() > MAX_ANSWER_BYTES {
            let told = format!("the hub's answer has more than {MAX_ANSWER_BYTES} bytes");
            return Err(Failure::Final(RepositoryError::Corrupt(told)));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}
