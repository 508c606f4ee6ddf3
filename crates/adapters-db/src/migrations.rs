//! Brings the tables to what this program expects.
//!
//! The migrations of both databases are part of the binary. All that are pending run in one transaction, so a failure leaves the
//! database as it was; that also means that a migration cannot do what PostgreSQL forbids in a transaction (such as
//! `CREATE INDEX CONCURRENTLY`). Two servers that start at once take turns: on PostgreSQL by an advisory lock that ends with the
//! transaction, on SQLite by its write lock.

use std::path::Path;

use diesel::backend::Backend;
use diesel::migration::{Migration, MigrationSource, MigrationVersion};
use diesel::result::Error as DieselError;
use diesel::sqlite::Sqlite;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::connection::AdvisoryLock;
use crate::connector::{Connector, Purpose};
use crate::errors::one_line;
use crate::{DatabaseConfig, DatabaseError, DatabaseUrl, DbConnection};

const POSTGRES: EmbeddedMigrations = embed_migrations!("../../migrations/postgres");
const SQLITE: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");

/// Whether opening a database may change its tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Migrations {
    /// Run what is pending.
    #[default]
    Run,
    /// Refuse to go on if anything is pending, and name it.
    Refuse,
}

/// Runs the pending migrations and answers their names, in order. Blocks.
pub fn migrate(config: &DatabaseConfig) -> Result<Vec<String>, DatabaseError> {
    on_migrating_connection(config, Task::Run)
}

/// The names of the migrations that have not run, in order. Changes nothing, and makes no file. Blocks.
pub fn pending_migrations(config: &DatabaseConfig) -> Result<Vec<String>, DatabaseError> {
    if let DatabaseUrl::Sqlite(path) = &config.url
        && is_file_to_be_made(path)
    {
        let known = MigrationSource::<Sqlite>::migrations(&SQLITE)
            .map_err(|error| DatabaseError::Migration { url: config.url.to_string(), reason: one_line(&error.to_string()) })?;
        return Ok(known.iter().map(|migration| migration.name().to_string()).collect());
    }
    on_migrating_connection(config, Task::ListPending)
}

/// Undoes every migration, the last one first, **with everything in the tables**, and answers their versions. Blocks.
pub fn revert_all_migrations(config: &DatabaseConfig) -> Result<Vec<String>, DatabaseError> {
    on_migrating_connection(config, Task::RevertAll)
}

/// Does to the database what opening it should.
pub(crate) fn prepare(config: &DatabaseConfig, migrations: Migrations) -> Result<(), DatabaseError> {
    match migrations {
        Migrations::Run => {
            for name in migrate(config)? {
                tracing::info!(migration = name, "migrated the database");
            }
            Ok(())
        }
        Migrations::Refuse => match pending_migrations(config)? {
            names if names.is_empty() => Ok(()),
            names => Err(DatabaseError::Pending { url: config.url.to_string(), names }),
        },
    }
}

/// Whether opening this path would make a new file. Where it would fail, opening says why.
fn is_file_to_be_made(path: &Path) -> bool {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    !path.exists() && folder.is_dir()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Run,
    ListPending,
    RevertAll,
}

/// Why a task's transaction was rolled back.
enum Outcome {
    /// It was only to look; this is what it saw.
    Seen(Vec<String>),
    /// The database has migrations that this program does not.
    Newer(Vec<String>),
    Failed(String),
}

impl From<DieselError> for Outcome {
    fn from(error: DieselError) -> Self {
        Self::Failed(one_line(&error.to_string()))
    }
}

fn on_migrating_connection(config: &DatabaseConfig, task: Task) -> Result<Vec<String>, DatabaseError> {
    let mut connection = Connector::new(config, Purpose::Migrate).open()?;
    let url = config.url.to_string();
    let done = connection.write_transaction(|connection| {
        connection.lock_until_commit(AdvisoryLock::Migrations)?;
        match connection {
            DbConnection::Postgres(postgres) => perform(postgres, POSTGRES, task),
            DbConnection::Sqlite(sqlite) => perform(sqlite, SQLITE, task),
        }
    });
    match done {
        Ok(names) | Err(Outcome::Seen(names)) => Ok(names),
        Err(Outcome::Newer(versions)) => Err(DatabaseError::Newer { url, versions }),
        Err(Outcome::Failed(reason)) => Err(DatabaseError::Migration { url, reason }),
    }
}

/// Performs a task inside the caller's transaction. Looking ends in an `Err` as well: even the table that lists the migrations, which
/// diesel makes when it is missing, is then taken back.
fn perform<DB: Backend>(
    connection: &mut impl MigrationHarness<DB>,
    source: EmbeddedMigrations,
    task: Task,
) -> Result<Vec<String>, Outcome>
where
    EmbeddedMigrations: MigrationSource<DB>,
{
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| Outcome::Failed(one_line(&error.to_string()));
    let known: Vec<Box<dyn Migration<DB>>> = MigrationSource::<DB>::migrations(&source).map_err(failed)?;
    let applied = connection.applied_migrations().map_err(failed)?;
    let is_known = |version: &MigrationVersion<'_>| known.iter().any(|migration| migration.name().version() == *version);
    let unknown: Vec<String> = applied.iter().filter(|version| !is_known(version)).map(ToString::to_string).collect();
    if !unknown.is_empty() {
        return Err(Outcome::Newer(unknown));
    }
    if task == Task::RevertAll {
        let reverted = connection.revert_all_migrations(source).map_err(failed)?;
        return Ok(reverted.iter().map(ToString::to_string).collect());
    }
    let pending = connection.pending_migrations(source).map_err(failed)?;
    let names = pending.iter().map(|migration| migration.name().to_string()).collect();
    if task == Task::ListPending {
        return Err(Outcome::Seen(names));
    }
    for migration in &pending {
        let name = migration.name().to_string();
        connection
            .run_migration(migration)
            .map_err(|error| Outcome::Failed(format!("{name}: {}", one_line(&error.to_string()))))?;
    }
    Ok(names)
}
