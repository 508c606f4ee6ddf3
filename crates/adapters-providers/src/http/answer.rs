//! The body of an answer.

use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use super::circuit::Permit;
use super::failure::HttpFailure;

/// How long the end of a body is waited for that says nothing any more. Most servers send it right after the last event, in a packet of
/// its own; a connection that is dropped in between costs the next call a handshake.
const LINGER: Duration = Duration::from_millis(20);

/// A successful answer whose body is still to be read. Dropping it closes the connection, unless the body was read to its end.
pub struct Answer {
    response: reqwest::Response,
    permit: Permit,
    deadline: Instant,
    patience: Duration,
}

impl Answer {
    pub(super) const fn new(response: reqwest::Response, permit: Permit, deadline: Instant, patience: Duration) -> Self {
        Self { response, permit, deadline, patience }
    }

    /// The type its body claims to have, without parameters.
    pub fn content_type(&self) -> &str {
        let header = self.response.headers().get(reqwest::header::CONTENT_TYPE);
        let value = header.and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim()
    }

    /// The next bytes; `None` at the end. Nothing follows an error.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HttpFailure> {
        let until = self.deadline.min(Instant::now() + self.patience);
        let failure = match timeout_at(until, self.response.chunk()).await {
            Ok(Ok(chunk)) => return Ok(chunk),
            Ok(Err(error)) => HttpFailure::of_read(error),
            Err(_) if until == self.deadline => return Err(HttpFailure::DeadlineExceeded),
            Err(_) => HttpFailure::Silent { patience: self.patience },
        };
        self.permit.failed();
        Err(failure)
    }

    /// Waits a moment for the end of a body of which nothing more is wanted: then the connection serves the next call too.
    pub async fn linger(mut self) {
        let until = Instant::now() + LINGER;
        while let Ok(Ok(Some(_))) = timeout_at(until, self.response.chunk()).await {}
    }

    /// What was asked for has come: the provider is well.
    pub fn succeeded(&mut self) {
        self.permit.succeeded();
    }

    /// It broke off where more was to come.
    pub fn broke_off(&mut self) {
        self.permit.failed();
    }

    /// The whole body, of at most so many bytes.
    pub async fn bytes(mut self, limit: usize) -> Result<Vec<u8>, HttpFailure> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if body.len() + chunk.len() > limit {
                return Err(HttpFailure::TooLarge { limit });
            }
            body.extend_from_slice(&chunk);
        }
        self.succeeded();
        Ok(body)
    }

    /// The whole body as JSON, of at most so many bytes.
    pub async fn json<T: DeserializeOwned>(self, limit: usize) -> Result<T, HttpFailure> {
        let body = self.bytes(limit).await?;
        // The library's own words may quote the body.
        serde_json::from_slice(&body).map_err(|error| HttpFailure::Garbled { problem: json_problem(&error) })
    }
}

/// Where JSON could not be read, without quoting it: it may be somebody's text.
pub fn json_problem(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "JSON that breaks off",
        serde_json::error::Category::Data => "JSON of another form",
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "no JSON",
    };
    format!("{what} (column {})", error.column())
}
