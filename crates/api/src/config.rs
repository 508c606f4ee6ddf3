//! The limits of the web layer, each with its default. `app` reads them from the environment.

use std::time::Duration;

/// How much a request may bring and how long it may take. Everything is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiConfig {
    /// The longest JSON body, in bytes.
    pub json_body_bytes: usize,
    /// The longest body of an import, in bytes.
    pub import_body_bytes: usize,
    /// The longest form, in bytes.
    pub form_body_bytes: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How often a stream that has nothing to say sends a comment, so that a client who has gone is noticed.
    pub heartbeat: Duration,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            json_body_bytes: 1024 * 1024,
            import_body_bytes: 16 * 1024 * 1024,
            form_body_bytes: 16 * 1024,
            body_timeout: Duration::from_secs(30),
            heartbeat: Duration::from_secs(5),
        }
    }
}
