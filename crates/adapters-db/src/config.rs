//! What an operator decides about the database.

use std::time::Duration;

use crate::DatabaseUrl;

/// Where the database is and how much of it the server may take.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// Which database.
    pub url: DatabaseUrl,
    /// PostgreSQL: the most connections at once. SQLite: the most readers at once, beside the one writer. At least 1.
    pub max_connections: u32,
    /// The longest that one call waits for a free connection, and that connecting may take. PostgreSQL counts it in whole seconds and
    /// takes no less than two.
    pub connection_timeout: Duration,
    /// The longest that one statement may take on PostgreSQL, and that SQLite waits for another process that writes.
    pub statement_timeout: Duration,
}

impl DatabaseConfig {
    /// This database with eight connections, 5 s to get one and 30 s for a statement.
    pub const fn at(url: DatabaseUrl) -> Self {
        Self { url, max_connections: 8, connection_timeout: Duration::from_secs(5), statement_timeout: Duration::from_secs(30) }
    }
}
