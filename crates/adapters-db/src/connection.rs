//! One type for a connection to either database.

use diesel::connection::{AnsiTransactionManager, TransactionManager};
use diesel::pg::PgConnection;
use diesel::sqlite::SqliteConnection;
use diesel::{Connection, QueryResult, RunQueryDsl, sql_query};

/// A connection. Queries are written once, against this; where the two databases differ, a `match` says how.
#[derive(diesel::MultiConnection)]
pub(crate) enum DbConnection {
    /// To a server.
    Postgres(PgConnection),
    /// To a file.
    Sqlite(SqliteConnection),
}

impl DbConnection {
    /// Does all of `work` or, where it fails, nothing of it.
    ///
    /// SQLite takes the write lock at once (`BEGIN IMMEDIATE`): a transaction that begins by reading and wants to write later fails at
    /// that point if another process wrote meanwhile, and no busy timeout helps it.
    pub(crate) fn write_transaction<T, E: From<diesel::result::Error>>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        match self {
            Self::Sqlite(sqlite) => AnsiTransactionManager::begin_transaction_sql(sqlite, "BEGIN IMMEDIATE")?,
            Self::Postgres(postgres) => AnsiTransactionManager::begin_transaction(postgres)?,
        }
        match work(self) {
            Ok(value) => {
                <Self as Connection>::TransactionManager::commit_transaction(self)?;
                Ok(value)
            }
            Err(error) => {
                // A rollback that fails leaves a broken connection, which the pool notices and drops; `error` is what happened first.
                let _ = <Self as Connection>::TransactionManager::rollback_transaction(self);
                Err(error)
            }
        }
    }

    /// Makes every other transaction that asks for the same lock wait until this one ends. On SQLite there is no other one: a write
    /// transaction is alone.
    pub(crate) fn lock_until_commit(&mut self, lock: AdvisoryLock) -> QueryResult<()> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(postgres) => lock_until_commit(postgres, lock),
        }
    }
}

/// The advisory locks that this program takes on PostgreSQL. The numbers are its own namespace (the bytes of "tertulia") and must stay.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AdvisoryLock {
    /// Held by whoever migrates.
    Migrations = 1,
    /// Held by whoever adds an account while there is none.
    FirstUser = 2,
    /// Held by whoever gives back the tokens of processes that died: two who lock the same rows in another order would stand still.
    TokenRelease = 3,
    /// Held by whoever takes an address, or a name that looks like one: no index keeps the one from being the other.
    Logins = 4,
    /// Held by whoever takes an admin's power, or an account: of two who do so at once, each would see the other as the admin that remains.
    Admins = 5,
}

/// See [`DbConnection::lock_until_commit`].
pub(crate) fn lock_until_commit(postgres: &mut PgConnection, lock: AdvisoryLock) -> QueryResult<()> {
    // `pg_advisory_xact_lock(int, int)`: the first is "tert" in ASCII.
    sql_query(format!("SELECT pg_advisory_xact_lock(1952805492, {})", lock as i32)).execute(postgres).map(drop)
}
