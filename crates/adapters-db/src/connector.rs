//! Opens connections and sets them up, and tells the pool which of them still live.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::r2d2::{ManageConnection, R2D2Connection};
use diesel::sqlite::SqliteConnection;
use diesel::{Connection, ConnectionError, QueryResult};
use secrecy::{ExposeSecret, SecretString};

use crate::database_url::PostgresUrlParts;
use crate::errors::one_line;
use crate::{DatabaseConfig, DatabaseError, DatabaseUrl, DbConnection};

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Reading and writing.
    Write,
    /// Reading only; SQLite refuses it to write.
    Read,
    /// Changing tables: without the limit on a statement's time, and (SQLite) with foreign keys off, as a table that is built anew needs.
    Migrate,
}

/// Opens connections of one kind.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    config: DatabaseConfig,
    purpose: Purpose,
}

impl Connector {
    pub(crate) fn new(config: &DatabaseConfig, purpose: Purpose) -> Self {
        Self { config: config.clone(), purpose }
    }

    /// Opens one connection.
    pub(crate) fn open(&self) -> Result<DbConnection, DatabaseError> {
        let unreachable = |reason: String| DatabaseError::Unreachable { url: self.config.url.to_string(), reason };
        match &self.config.url {
            DatabaseUrl::Sqlite(path) => self.open_sqlite(path).map(DbConnection::Sqlite).map_err(unreachable),
            DatabaseUrl::Postgres(url) => self.open_postgres(url).map(DbConnection::Postgres).map_err(unreachable),
        }
    }

    fn open_sqlite(&self, path: &Path) -> Result<SqliteConnection, String> {
        let path = private_file(path).map_err(|error| describe_file_error(path, &error))?;
        let path = path.to_str().ok_or("the path is not UTF-8")?;
        let mut connection = SqliteConnection::establish(path).map_err(|error| connection_problem(&error))?;
        let busy_ms = self.config.statement_timeout.as_millis().min(i32::MAX as u128);
        // NORMAL: in WAL mode a crash of the process loses nothing, and a power cut at most the last transactions, never the file.
        let foreign_keys = if self.purpose == Purpose::Migrate { "OFF" } else { "ON" };
        let query_only = if self.purpose == Purpose::Read { "ON" } else { "OFF" };
        connection
            .batch_execute(&format!("PRAGMA busy_timeout = {busy_ms};"))
            .and_then(|()| self.set_write_ahead_log(&mut connection))
            .and_then(|()| {
                connection.batch_execute(&format!(
                    "PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = {foreign_keys}; PRAGMA query_only = {query_only};"
                ))
            })
            .map_err(|error| one_line(&error.to_string()))?;
        Ok(connection)
    }

    /// Turns on the write-ahead log. Where several connections do so on a new file at once, SQLite answers all but one "locked" without
    /// waiting for `busy_timeout`, because waiting could deadlock; so the wait is here.
    fn set_write_ahead_log(&self, connection: &mut SqliteConnection) -> QueryResult<()> {
        const PAUSE: Duration = Duration::from_millis(5);
        let deadline = Instant::now() + self.config.statement_timeout;
        loop {
            match connection.batch_execute("PRAGMA journal_mode = WAL;") {
                Err(error) if error.to_string().contains("locked") && Instant::now() < deadline => std::thread::sleep(PAUSE),
                result => return result,
            }
        }
    }

    fn open_postgres(&self, url: &SecretString) -> Result<PgConnection, String> {
        let url = url.expose_secret();
        let full_url = with_limits(url, self.config.connection_timeout, self.config.statement_timeout);
        let mut connection =
            PgConnection::establish(&full_url).map_err(|error| without_secrets(&connection_problem(&error), url))?;
        let statement_ms = if self.purpose == Purpose::Migrate { 0 } else { self.config.statement_timeout.as_millis() };
        connection
            .batch_execute(&format!(
                "SET TIME ZONE 'UTC'; SET statement_timeout = {statement_ms}; SET lock_timeout = {LOCK_WAIT_MS}"
            ))
            .map_err(|error| one_line(&error.to_string()))?;
        Ok(connection)
    }
}

/// How long a migration waits for another process that migrates. Everything else is cut sooner by its statement's timeout.
const LOCK_WAIT_MS: u32 = 120_000;

/// The absolute path of the file, made readable and writable by its owner alone if it was not there: it will hold password hashes.
/// SQLite gives its `-wal` and `-shm` files the same mode. An absolute path also keeps SQLite from reading `file:` as a URI.
fn private_file(path: &Path) -> io::Result<PathBuf> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?;
    std::path::absolute(path)
}

fn describe_file_error(path: &Path, error: &io::Error) -> String {
    match path.parent() {
        Some(folder) if error.kind() == io::ErrorKind::NotFound => format!("there is no folder {}", folder.display()),
        _ => error.to_string(),
    }
}

/// Adds libpq's own limits to a URL, where it does not set them itself: a server that hangs must not hold a thread for ever.
/// <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS>
fn with_limits(url: &str, connection_timeout: Duration, statement_timeout: Duration) -> String {
    let given = PostgresUrlParts::of(url).parameters;
    let is_given = |name: &str| given.split('&').any(|parameter| parameter.split('=').next() == Some(name));
    // Unacknowledged data ends the connection a little after the server should have cut the statement by itself.
    let silence_ms = (statement_timeout + connection_timeout).as_millis();
    let added: Vec<String> = [
        ("connect_timeout", connection_timeout.as_secs().max(2).to_string()),
        ("tcp_user_timeout", silence_ms.to_string()),
        ("fallback_application_name", "tertulia".to_owned()),
    ]
    .into_iter()
    .filter(|(name, _)| !is_given(name))
    .map(|(name, value)| format!("{name}={value}"))
    .collect();
    let joint = if url.contains('?') { "&" } else { "?" };
    format!("{url}{joint}{}", added.join("&"))
}

fn connection_problem(error: &ConnectionError) -> String {
    match error {
        ConnectionError::BadConnection(message) => one_line(message),
        other => one_line(&other.to_string()),
    }
}

/// libpq quotes a URL that it cannot read, password and all.
fn without_secrets(message: &str, url: &str) -> String {
    let parts = PostgresUrlParts::of(url);
    let quotes_url = message.contains("://");
    let tells_password = !parts.password.is_empty() && message.contains(parts.password);
    if quotes_url || tells_password {
        "it cannot be read as postgres://USER:PASSWORD@HOST:PORT/NAME (special characters in the password are written as %XX)"
            .into()
    } else {
        message.to_owned()
    }
}

impl ManageConnection for Connector {
    type Connection = DbConnection;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> Result<DbConnection, Self::Error> {
        let as_connection_error = |error: DatabaseError| ConnectionError::BadConnection(error.to_string());
        self.open().map_err(|error| diesel::r2d2::Error::ConnectionError(as_connection_error(error)))
    }

    fn is_valid(&self, connection: &mut DbConnection) -> Result<(), Self::Error> {
        // A file does not go away as a server does; only a server is worth a round trip before each use.
        match connection {
            DbConnection::Sqlite(_) => Ok(()),
            DbConnection::Postgres(postgres) => postgres.ping().map_err(diesel::r2d2::Error::QueryError),
        }
    }

    fn has_broken(&self, connection: &mut DbConnection) -> bool {
        std::thread::panicking() || connection.is_broken()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_added_to_a_url_that_sets_none() {
        let seconds = Duration::from_secs;
        let limited = with_limits("postgres://h/x", seconds(1), seconds(30));
        assert_eq!(limited, "postgres://h/x?connect_timeout=2&tcp_user_timeout=31000&fallback_application_name=tertulia");
        let kept = with_limits("postgres://h/x?connect_timeout=9&sslmode=require", seconds(5), seconds(30));
        assert!(kept.starts_with("postgres://h/x?connect_timeout=9&sslmode=require&tcp_user_timeout=35000"), "{kept}");
    }

    #[test]
    fn an_unreadable_url_is_described_without_being_quoted() {
        let url = "postgres://ana:hunter2@h:port/x";
        let described = without_secrets("invalid integer value \"port\" in \"postgres://ana:hunter2@h:port/x\"", url);
        assert!(!described.contains("hunter2"), "{described}");
        assert_eq!(without_secrets("connection refused", url), "connection refused");
    }
}
