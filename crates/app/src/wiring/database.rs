//! The database: looked at before anything is written, then opened.

use std::io::Read as _;
use std::path::Path;

use adapters_db::{DatabaseConfig, DatabaseError, DatabaseUrl, DbModelStore, DbPool, Migrations, pending_migrations};
use domain::LlmId;
use ports::{ModelStore as _, StoreError};

use crate::config::Config;
use crate::start_error::StartError;

/// How every SQLite database begins (<https://www.sqlite.org/fileformat.html>, section 1.3).
const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";

fn database_config(config: &Config) -> DatabaseConfig {
    let database = &config.database;
    DatabaseConfig {
        url: database.url.clone(),
        max_connections: database.connections,
        connection_timeout: database.wait,
        statement_timeout: database.statement_timeout,
    }
}

/// What was found where the database should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing yet.
    Nothing,
    /// Tables that are older than this program, or none.
    Outdated,
    /// The tables that this program expects.
    UpToDate,
}

/// Looks whether the database can be reached, is one of ours, and, with [`Migrations::Refuse`], is up to date. Writes nothing. Blocks.
pub(crate) fn check(config: &Config, migrations: Migrations) -> Result<Found, StartError> {
    let new_file = match &config.database.url {
        DatabaseUrl::Sqlite(path) => !sqlite_file_exists(config, path)?,
        DatabaseUrl::Postgres(_) => false,
    };
    let pending = if new_file {
        vec!["all of them: there is no such file".to_owned()]
    } else {
        pending_migrations(&database_config(config))?
    };
    match (migrations, pending.is_empty()) {
        (_, true) => Ok(Found::UpToDate),
        (Migrations::Refuse, false) => {
            Err(DatabaseError::Pending { url: config.database.url.to_string(), names: pending }.into())
        }
        (Migrations::Run, false) => Ok(if new_file { Found::Nothing } else { Found::Outdated }),
    }
}

/// What stands behind the default model's name in a database that is up to date. Reads only.
pub(crate) async fn kept_llm(config: &Config) -> Result<Option<LlmId>, StartError> {
    let store = DbModelStore::new(open(config, Migrations::Refuse)?);
    match store.get(&config.model.name).await {
        Ok(model) => Ok(Some(model.llm)),
        Err(StoreError::NotFound) => Ok(None),
        Err(error) => Err(StartError::Store(error.to_string())),
    }
}

/// Whether the file is there; an error if something else lies there, or if its folder does not exist and will not be made.
fn sqlite_file_exists(config: &Config, path: &Path) -> Result<bool, StartError> {
    let refused = |reason: String| Err(DatabaseError::Unreachable { url: config.database.url.to_string(), reason }.into());
    match std::fs::File::open(path) {
        Ok(file) => {
            let mut beginning = Vec::new();
            match file.take(SQLITE_MAGIC.len() as u64).read_to_end(&mut beginning) {
                Err(error) => refused(error.to_string()),
                // SQLite takes an empty file for a new database.
                Ok(0) => Ok(true),
                Ok(_) if beginning == SQLITE_MAGIC => Ok(true),
                Ok(_) => refused("the file is not an SQLite database".to_owned()),
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if folder.is_dir() || folder == config.data_dir {
                Ok(false)
            } else {
                refused(format!("there is no folder {}", folder.display()))
            }
        }
        Err(error) => refused(error.to_string()),
    }
}

/// Runs what is pending and answers its names. Blocks.
pub(crate) fn migrate(config: &Config) -> Result<Vec<String>, StartError> {
    Ok(adapters_db::migrate(&database_config(config))?)
}

/// Opens the database. Blocks.
pub(crate) fn open(config: &Config, migrations: Migrations) -> Result<DbPool, StartError> {
    Ok(DbPool::open(&database_config(config), migrations)?)
}
