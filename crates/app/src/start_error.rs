//! Why the program stops before it has begun: always one line, with what to do about it.

use std::path::{Path, PathBuf};

use adapters_db::DatabaseError;

use crate::config::ConfigError;

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// A setting cannot be used.
    #[error("{0}")]
    Setting(#[from] ConfigError),
    /// A file or folder that the server keeps cannot be used.
    #[error("{}: {problem}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// Nobody can be served at this address.
    #[error("cannot listen on {address}: {problem} (HOST and PORT choose another address)")]
    Address {
        /// As the settings give it.
        address: String,
        /// Why.
        problem: String,
    },
    /// The database cannot be reached, read, or brought up to date.
    #[error("{0}")]
    Database(#[from] DatabaseError),
    /// What the database was to keep, or to tell, at the start failed.
    #[error("the database cannot be used: {0}")]
    Store(String),
    /// The model, or what runs it, cannot be used.
    #[error("the model cannot be used: {0}")]
    Model(String),
    /// What was asked for on the command line breaks a rule.
    #[error("{0}")]
    Refused(#[from] domain::Refusal),
    /// What was asked for on the command line could not be generated.
    #[error("{0}")]
    Generation(#[from] ports::GenerationError),
    /// A model was not fetched, listed or removed.
    #[error("{0}")]
    Repository(#[from] ports::RepositoryError),
    /// What was asked for on the command line was not done.
    #[error("{0}")]
    Service(#[from] services::ServiceError),
    /// The audit log is not what was written.
    #[error("the audit log is broken at event {sequence}: {problem}")]
    AuditBroken {
        /// The first event that does not fit.
        sequence: i64,
        /// In which way.
        problem: String,
    },
    /// The operating system refused what every start needs.
    #[error("{0}")]
    System(String),
}

impl StartError {
    pub(crate) fn file(path: &Path, error: &std::io::Error) -> Self {
        Self::File { path: path.to_owned(), problem: error.to_string() }
    }

    /// The message on one line, whatever a library put into it.
    pub(crate) fn line(&self) -> String {
        self.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
    }
}
