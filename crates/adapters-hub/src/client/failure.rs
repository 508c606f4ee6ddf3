//! Why a request brought nothing, and whether asking again may help.

use std::error::Error;
use std::time::Duration;

use ports::RepositoryError;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// Why a request brought nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Asking again may help.
    Temporary {
        /// What happened.
        problem: String,
        /// The wait that the other side asks for.
        retry_after: Option<Duration>,
    },
    /// It will not.
    Final(RepositoryError),
}

impl Failure {
    /// Something that may pass by itself.
    pub(crate) fn temporary(problem: impl Into<String>) -> Self {
        Self::Temporary { problem: problem.into(), retry_after: None }
    }

    /// A connection that was not made, or broke off. The address is left out: the links to large files are signed.
    pub(crate) fn of_transport(error: reqwest::Error) -> Self {
        let error = error.without_url();
        if error.is_timeout() {
            return Self::temporary("there was no answer in time");
        }
        let mut root: &dyn Error = &error;
        while let Some(source) = root.source() {
            root = source;
        }
        Self::temporary(if error.is_connect() {
            format!("it cannot be reached: {root}")
        } else {
            format!("the connection broke off: {root}")
        })
    }
}

/// The wait that a response asks for. A date is not read: a wait is then chosen here.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
