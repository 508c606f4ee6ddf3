//! Why a call came to nothing.

use std::error::Error as _;
use std::time::Duration;

use super::refusal::Refusal;

/// Why a call came to nothing. Holds no key, no URL and no more of the provider's words than a line.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum HttpFailure {
    /// It failed so often lately that it is left alone for now.
    #[error("it keeps failing and is left alone for {} s", retry_in.as_secs().max(1))]
    CircuitOpen {
        /// For how much longer.
        retry_in: Duration,
    },
    /// No connection came about.
    #[error("no connection: {cause}")]
    Unreachable {
        /// What the network said.
        cause: String,
    },
    /// It said nothing, or nothing more, for too long.
    #[error("it said nothing for {} s", patience.as_secs_f32())]
    Silent {
        /// For how long.
        patience: Duration,
    },
    /// The caller's own deadline passed.
    #[error("the deadline passed")]
    DeadlineExceeded,
    /// It sends its callers elsewhere. Whoever follows would hand the key to somebody else.
    #[error("it redirects to another host, or in circles")]
    Redirected,
    /// It said no.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The connection broke after the request was sent.
    #[error("the connection broke: {cause}")]
    Broken {
        /// What the network said.
        cause: String,
    },
    /// It said more than anyone needs.
    #[error("it sent more than {limit} bytes where fewer do")]
    TooLarge {
        /// How many are read at most.
        limit: usize,
    },
    /// What it said cannot be understood.
    #[error("what it sent cannot be understood: {problem}")]
    Garbled {
        /// Why.
        problem: String,
    },
}

impl HttpFailure {
    pub(super) fn of_send(error: reqwest::Error, connect_timeout: Duration) -> Self {
        if error.is_redirect() {
            Self::Redirected
        } else if error.is_connect() && error.is_timeout() {
            Self::Silent { patience: connect_timeout }
        } else if error.is_connect() {
            Self::Unreachable { cause: cause(error) }
        } else {
            Self::Broken { cause: cause(error) }
        }
    }

    pub(super) fn of_read(error: reqwest::Error) -> Self {
        Self::Broken { cause: cause(error) }
    }

    /// Whether this says that the provider is down, and not merely that it did not like this request. A 500 is told for either reason,
    /// so it does not count.
    pub(super) fn speaks_of_the_provider(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Broken { .. } => true,
            Self::Refused(refusal) => matches!(refusal.status, 502..=504),
            Self::CircuitOpen { .. }
            | Self::DeadlineExceeded
            | Self::Redirected
            | Self::TooLarge { .. }
            | Self::Garbled { .. } => false,
        }
    }
}

/// What lies at the bottom, without the URL.
fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut deepest = error.source();
    while let Some(next) = deepest.and_then(std::error::Error::source) {
        deepest = Some(next);
    }
    deepest.map_or_else(|| error.to_string(), ToString::to_string)
}
