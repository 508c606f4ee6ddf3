//! The connections, and the threads that may wait for them.
//!
//! Diesel blocks the thread it runs on, so each call goes to a thread of tokio's that may block: in `run`, and nowhere else. A call
//! first waits, without a thread, for one of as many permits as there are connections; so the blocking threads are never more than
//! the connections, however many requests come.
//!
//! SQLite allows one writer at a time. Rather than let writers collide and retry, there is one connection that writes, for which they
//! queue here, and a few that read beside it (WAL lets them). PostgreSQL has one pool for both.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use diesel::r2d2::{HandleError, Pool};
use ports::StoreError;
use tokio::sync::Semaphore;

use crate::connector::{Connector, Purpose};
use crate::errors::{one_line, store_error};
use crate::migrations::prepare;
use crate::{DatabaseConfig, DatabaseError, DatabaseUrl, DbConnection, Migrations};

/// The way to the database. Copies share their connections.
#[derive(Clone)]
pub struct DbPool {
    readers: Lane,
    writers: Lane,
    connection_timeout: Duration,
}

/// Connections of one kind, and the permits to use them.
#[derive(Clone)]
struct Lane {
    connections: Pool<Connector>,
    permits: Arc<Semaphore>,
}

/// How many connections of one kind there are, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneUsage {
    /// `read` and `write`; `both` where one kind does both.
    pub name: &'static str,
    /// Open and waiting for work.
    pub idle: u32,
    /// Open and at work.
    pub in_use: u32,
}

/// How a unit of work fails: with what diesel says, or with what the work itself decided.
pub(crate) enum WorkError {
    Diesel(diesel::result::Error),
    Store(StoreError),
}

impl From<diesel::result::Error> for WorkError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Diesel(error)
    }
}

impl From<StoreError> for WorkError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<WorkError> for StoreError {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::Diesel(error) => store_error(error),
            WorkError::Store(error) => error,
        }
    }
}

impl DbPool {
    /// Connects, sees to the tables as `migrations` says, and makes the pool. Blocks; meant for the start of the program.
    pub fn open(config: &DatabaseConfig, migrations: Migrations) -> Result<Self, DatabaseError> {
        prepare(config, migrations)?;
        let lane = |purpose, size| Lane::new(config, purpose, size);
        let (readers, writers) = match config.url {
            DatabaseUrl::Sqlite(_) => (lane(Purpose::Read, config.max_connections), lane(Purpose::Write, 1)),
            DatabaseUrl::Postgres(_) => {
                let both = lane(Purpose::Write, config.max_connections);
                (both.clone(), both)
            }
        };
        Ok(Self { readers, writers, connection_timeout: config.connection_timeout })
    }

    /// How many connections there are now. Waits for nothing.
    pub fn usage(&self) -> Vec<LaneUsage> {
        if Arc::ptr_eq(&self.readers.permits, &self.writers.permits) {
            return vec![self.readers.usage("both")];
        }
        vec![self.readers.usage("read"), self.writers.usage("write")]
    }

    /// Runs one query that changes nothing. Dropping the future does not stop a query that has begun.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut DbConnection) -> Result<T, WorkError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(&self.readers, work).await
    }

    /// Runs `work` as one transaction: all of it or nothing. Dropping the future does not stop a transaction that has begun.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut DbConnection) -> Result<T, WorkError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(&self.writers, |connection| connection.write_transaction(work)).await
    }

    async fn run<T: Send + 'static>(
        &self,
        lane: &Lane,
        work: impl FnOnce(&mut DbConnection) -> Result<T, WorkError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let waited_in_vain = |_| StoreError::Unavailable("no connection was free in time".into());
        let permit = tokio::time::timeout(self.connection_timeout, Arc::clone(&lane.permits).acquire_owned())
            .await
            .map_err(waited_in_vain)?
            .map_err(|_closed| StoreError::Unavailable("the pool is closed".into()))?;
        let connections = lane.connections.clone();
        let done = tokio::task::spawn_blocking(move || {
            // The permit stays with the connection, not with the caller: one who goes away must not let another thread in early.
            let _permit = permit;
            let mut connection = connections.get().map_err(|error| StoreError::Unavailable(one_line(&error.to_string())))?;
            work(&mut connection).map_err(StoreError::from)
        });
        done.await.unwrap_or_else(|failure| Err(StoreError::Corrupt(format!("a database call did not end: {failure}"))))
    }
}

impl fmt::Debug for DbPool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DbPool").field("readers", &self.readers.connections.state()).finish_non_exhaustive()
    }
}

impl Lane {
    fn new(config: &DatabaseConfig, purpose: Purpose, size: u32) -> Self {
        let size = size.max(1);
        let connections = Pool::builder()
            .max_size(size)
            .min_idle(Some(1))
            .connection_timeout(config.connection_timeout)
            .error_handler(Box::new(LogQuietly))
            .build_unchecked(Connector::new(config, purpose));
        let permits = usize::try_from(size).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        Self { connections, permits: Arc::new(Semaphore::new(permits)) }
    }

    fn usage(&self, name: &'static str) -> LaneUsage {
        let state = self.connections.state();
        LaneUsage { name, idle: state.idle_connections, in_use: state.connections.saturating_sub(state.idle_connections) }
    }
}

/// The pool tries again and again in the background, and every failed call is logged by whoever made it.
#[derive(Debug)]
struct LogQuietly;

impl HandleError<diesel::r2d2::Error> for LogQuietly {
    fn handle_error(&self, error: diesel::r2d2::Error) {
        tracing::debug!(error = one_line(&error.to_string()), "a database connection failed");
    }
}
