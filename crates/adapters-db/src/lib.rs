//! The stores of `ports`, kept in SQLite or PostgreSQL by one set of queries.
//!
//! A [`DatabaseUrl`] decides which of the two. [`DbPool::open`] connects, brings the tables up to date (or refuses to) and gives the
//! pool that every store works on; `stores/` has one file a port, `rows/` turns what a table holds into what the domain allows, and
//! `errors.rs` turns what a database says into a [`ports::StoreError`]. Only the pool knows threads: diesel blocks, so the pool's `read`
//! and `write` move each call to a thread that may.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use adapters_db::{DatabaseConfig, DatabaseUrl, DbPool, DbUserStore, Migrations};
//! use ports::UserStore;
//!
//! let config = DatabaseConfig::at(DatabaseUrl::parse("sqlite://data/database.db")?);
//! let pool = DbPool::open(&config, Migrations::Run)?;
//! let users: Arc<dyn UserStore> = Arc::new(DbUserStore::new(pool));
//! # Ok(())
//! # }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod config;
mod connection;
mod connector;
mod database_url;
mod errors;
mod migrations;
mod pool;
mod rows;
mod schema;
mod stores;

pub(crate) use connection::DbConnection;

pub use config::DatabaseConfig;
pub use database_url::DatabaseUrl;
pub use errors::DatabaseError;
pub use migrations::{Migrations, migrate, pending_migrations, revert_all_migrations};
pub use pool::{DbPool, LaneUsage};
pub use stores::{
    DatabaseHealth, DbApiKeyStore, DbAuditLog, DbChatStreamStore, DbConversationStore, DbLimitStore, DbMediaStore, DbModelStore,
    DbOneTimeCodeStore, DbSessionStore, DbTextGenerationStore, DbTokenQuotaStore, DbUserStore,
};
