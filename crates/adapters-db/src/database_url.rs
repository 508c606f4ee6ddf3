//! `DATABASE_URL`: which database, and where.

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use crate::DatabaseError;

/// Which database, and where. It prints without its password.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// `sqlite://PATH`, relative to the working folder or absolute (`sqlite:///var/lib/x.db`).
    Sqlite(PathBuf),
    /// `postgres://USER:PASSWORD@HOST:PORT/NAME?PARAMETERS` or `postgresql://…`, as libpq reads it.
    Postgres(SecretString),
}

impl DatabaseUrl {
    /// Reads a URL. Whether anything answers there is for [`crate::DbPool::open`] to find out.
    pub fn parse(url: &str) -> Result<Self, DatabaseError> {
        let refused = |problem| Err(DatabaseError::Url { problem });
        match url.split_once("://") {
            Some(("sqlite", "" | ":memory:")) => refused(
                "sqlite:// needs the path of a file, as in sqlite://data/database.db; a database in memory cannot be shared",
            ),
            Some(("sqlite", path)) if path.contains(['?', '\0']) => refused("sqlite:// takes a path and no parameters"),
            Some(("sqlite", path)) => Ok(Self::Sqlite(PathBuf::from(path))),
            Some(("postgres" | "postgresql", rest)) if rest.is_empty() || rest.contains('\0') => {
                refused("postgres:// needs a server, as in postgres://user:password@127.0.0.1:5432/tertulia")
            }
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres(SecretString::from(url))),
            _ => refused("must begin with sqlite://, postgres:// or postgresql://"),
        }
    }

    /// The SQLite database in this file.
    pub fn sqlite_file(path: impl AsRef<Path>) -> Self {
        Self::Sqlite(path.as_ref().to_owned())
    }

    /// `SQLite` or `PostgreSQL`.
    pub const fn product(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "SQLite",
            Self::Postgres(_) => "PostgreSQL",
        }
    }
}

/// The URL without password and parameters (a parameter may be a password too).
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(formatter, "sqlite://{}", path.display()),
            Self::Postgres(url) => {
                let parts = PostgresUrlParts::of(url.expose_secret());
                let at = if parts.user.is_empty() { "" } else { "@" };
                write!(formatter, "postgres://{}{at}{}", parts.user, parts.place)
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DatabaseUrl({self})")
    }
}

/// A PostgreSQL URL, cut up far enough to tell what is secret. Where it is ambiguous, more counts as secret, not less.
pub(crate) struct PostgresUrlParts<'a> {
    user: &'a str,
    pub(crate) password: &'a str,
    /// Hosts, ports and the database's name.
    place: &'a str,
    pub(crate) parameters: &'a str,
}

impl<'a> PostgresUrlParts<'a> {
    pub(crate) fn of(url: &'a str) -> Self {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        // The last `@` ends the password: one that was not percent-encoded may hold `@`, `/` and `?` itself.
        let (credentials, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        Self { user, password, place, parameters }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_decides_which_database() {
        let sqlite = |url: &str| match DatabaseUrl::parse(url) {
            Ok(DatabaseUrl::Sqlite(path)) => Some(path),
            _ => None,
        };
        assert_eq!(sqlite("sqlite://data/x.db"), Some(PathBuf::from("data/x.db")));
        assert_eq!(sqlite("sqlite:///var/lib/x.db"), Some(PathBuf::from("/var/lib/x.db")));
        for url in ["postgres://localhost/x", "postgresql://u:p@h:5432/x?sslmode=require"] {
            assert!(matches!(DatabaseUrl::parse(url), Ok(DatabaseUrl::Postgres(_))), "{url}");
        }
    }

    #[test]
    fn what_is_no_database_of_ours_is_refused_with_what_is_allowed() {
        for url in ["", "data/x.db", "mysql://h/x", "sqlite://", "sqlite://:memory:", "sqlite://x.db?mode=ro", "postgres://"] {
            let problem = DatabaseUrl::parse(url).expect_err(url).to_string();
            assert!(problem.contains("sqlite://") || problem.contains("postgres://"), "{url}: {problem}");
        }
    }

    #[test]
    fn a_password_never_prints() {
        for (url, printed) in [
            ("postgres://ana:hunter2@db:5432/tales?password=hunter2", "postgres://ana@db:5432/tales"),
            ("postgresql://ana:hun/hunter2?@x@db/tales", "postgres://ana@db/tales"),
            ("postgres:///tales?host=/run/postgresql&password=hunter2", "postgres:///tales"),
        ] {
            let url = DatabaseUrl::parse(url).unwrap();
            assert_eq!(url.to_string(), printed);
            assert_eq!(format!("{url:?}"), format!("DatabaseUrl({printed})"));
        }
    }
}
