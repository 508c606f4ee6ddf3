//! Objects in a local folder or in S3, links to them, and records as documents.
//!
//! [`FileStorage`] and [`S3Storage`] keep the same contract (`test_support::contracts::object_storage`); a setting decides between them.
//! The folder's links are signed by [`HmacLinks`] and served by this server; S3 signs and serves its own.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod documents;
mod filesystem;
mod health;
mod links;
mod s3;

pub use documents::JsonDocuments;
pub use filesystem::FileStorage;
pub use health::StorageHealth;
pub use links::HmacLinks;
pub use s3::{S3Config, S3ConfigError, S3Storage};
