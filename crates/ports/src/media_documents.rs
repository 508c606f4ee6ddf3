//! Records as documents, for whoever reads the storage without this server.

use bytes::Bytes;
use domain::MediaRecord;

/// Writes records as JSON.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait MediaDocuments: Send + Sync {
    /// What was asked for (`input.json`).
    fn input(&self, record: &MediaRecord) -> Bytes;

    /// Everything known of it (`record.json`).
    fn record(&self, record: &MediaRecord) -> Bytes;

    /// Its line in its owner's history: one line, with its end.
    fn history_line(&self, record: &MediaRecord) -> Bytes;
}
