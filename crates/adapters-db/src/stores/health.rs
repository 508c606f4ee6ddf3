//! Whether the database answers.

use async_trait::async_trait;
use diesel::{RunQueryDsl, sql_query};
use ports::{HealthCheck, Unhealthy};

use crate::DbPool;

/// How long the database may take to answer that it is well.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

/// Asks the database for the simplest thing there is.
#[derive(Debug, Clone)]
pub struct DatabaseHealth {
    pool: DbPool,
}

impl DatabaseHealth {
    /// Checks this pool's database.
    pub const fn new(pool: DbPool) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl HealthCheck for DatabaseHealth {
    fn name(&self) -> &'static str {
        "database"
    }

    async fn check(&self) -> Result<(), Unhealthy> {
        let asked = self.pool.read(|connection| Ok(sql_query("SELECT 1 FROM users LIMIT 1").execute(connection)?));
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Unhealthy(error.to_string())),
            Err(_) => Err(Unhealthy("the database did not answer within a second".into())),
        }
    }
}
