//! What a database says, in the words of the ports.

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as DieselError};
use ports::StoreError;

/// Why the database cannot be opened: for the person who starts the server, in one line and without the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// The URL names no database.
    #[error("the database URL {problem}")]
    Url {
        /// What is wrong with it and what is allowed, as the rest of the sentence. It repeats no part of the URL.
        problem: &'static str,
    },
    /// Nothing answers there, or not us.
    #[error("cannot open the database {url}: {reason}")]
    Unreachable {
        /// Which one, without its password.
        url: String,
        /// What the driver said.
        reason: String,
    },
    /// The tables are older than this program and must not be changed now.
    #[error("the database {url} is not up to date: {} to run ({}); start without --no-migrate, or run `tertulia migrate`", names.len(), names.join(", "))]
    Pending {
        /// Which one, without its password.
        url: String,
        /// The migrations that have not run, in their order.
        names: Vec<String>,
    },
    /// The tables are newer than this program.
    #[error("the database {url} was used by a newer version (it has the migrations {}): use that version, or another database", versions.join(", "))]
    Newer {
        /// Which one, without its password.
        url: String,
        /// What this program does not know.
        versions: Vec<String>,
    },
    /// A migration failed; none was kept.
    #[error("migrating the database {url} failed, and nothing was changed: {reason}")]
    Migration {
        /// Which one, without its password.
        url: String,
        /// What the driver said.
        reason: String,
    },
}

/// The unique constraints: as SQLite's messages name them, as PostgreSQL does, and the field that the ports speak of.
const UNIQUE: &[(&str, &str, &str)] = &[
    ("users.username", "users_username_unique", "username"),
    ("users.email", "users_email_unique", "email"),
    ("models.name", "models_pkey", "name"),
];

/// Turns what diesel reports into what a port promises.
pub(crate) fn store_error(error: DieselError) -> StoreError {
    match error {
        DieselError::NotFound => StoreError::NotFound,
        DieselError::DatabaseError(kind, information) => database_error(kind, information.as_ref()),
        DieselError::BrokenTransactionManager => StoreError::Unavailable("the connection was lost in a transaction".into()),
        other => StoreError::Corrupt(other.to_string()),
    }
}

fn database_error(kind: DatabaseErrorKind, information: &(dyn DatabaseErrorInformation + Send + Sync)) -> StoreError {
    // Only the first line: PostgreSQL's details quote the values, and those belong to no log.
    let message = one_line(information.message());
    match kind {
        DatabaseErrorKind::UniqueViolation => StoreError::Conflict { field: conflicting_field(information) },
        // The account (or the model) that a record belongs to went away while the record was made.
        DatabaseErrorKind::ForeignKeyViolation => StoreError::NotFound,
        DatabaseErrorKind::ClosedConnection
        | DatabaseErrorKind::UnableToSendCommand
        | DatabaseErrorKind::SerializationFailure
        | DatabaseErrorKind::ReadOnlyTransaction => StoreError::Unavailable(message),
        _ if may_pass(&message) => StoreError::Unavailable(message),
        _ => StoreError::Corrupt(message),
    }
}

fn conflicting_field(information: &(dyn DatabaseErrorInformation + Send + Sync)) -> &'static str {
    let constraint = information.constraint_name();
    let message = information.message();
    let named = |(column, name, _): &&(&str, &str, &str)| match constraint {
        Some(constraint) => constraint == *name,
        None => message.rsplit(": ").next().is_some_and(|columns| columns == *column),
    };
    UNIQUE.iter().find(named).map_or("id", |(_, _, field)| *field)
}

/// Whether trying again later may help. Diesel hands on no error code for these, only the text: SQLite's is fixed, PostgreSQL's is in the
/// server's own language, so that elsewhere than in English such a failure counts as damage. Both are logged with their text.
fn may_pass(message: &str) -> bool {
    const PASSING: &[&str] = &[
        // SQLite (sqlite3_errstr).
        "database is locked",
        "database table is locked",
        "disk I/O error",
        "database or disk is full",
        "unable to open database file",
        "attempt to write a readonly database",
        // PostgreSQL: statement_timeout, lock_timeout, deadlocks, a server that stops or starts, no more room.
        "canceling statement due to",
        "deadlock detected",
        "terminating connection due to",
        "the database system is",
        "remaining connection slots are reserved",
        "too many clients",
        "No space left on device",
        "out of shared memory",
        // libpq, when the server is gone.
        "server closed the connection unexpectedly",
        "no connection to the server",
        "SSL connection has been closed",
        "could not receive data from server",
        "could not send data to server",
    ];
    PASSING.iter().any(|passing| message.contains(passing))
}

/// A driver's message on a single line.
pub(crate) fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sqlite_says(kind: DatabaseErrorKind, message: &str) -> StoreError {
        store_error(DieselError::DatabaseError(kind, Box::new(message.to_owned())))
    }

    #[test]
    fn a_taken_value_names_its_field() {
        let taken = |message| sqlite_says(DatabaseErrorKind::UniqueViolation, message);
        assert_eq!(taken("UNIQUE constraint failed: users.username"), StoreError::Conflict { field: "username" });
        assert_eq!(taken("UNIQUE constraint failed: users.email"), StoreError::Conflict { field: "email" });
        assert_eq!(taken("UNIQUE constraint failed: models.name"), StoreError::Conflict { field: "name" });
        assert_eq!(taken("UNIQUE constraint failed: sessions.id"), StoreError::Conflict { field: "id" });
    }

    #[test]
    fn what_may_pass_is_unavailable_and_what_will_not_is_corrupt() {
        let unknown = |message| sqlite_says(DatabaseErrorKind::Unknown, message);
        assert!(matches!(unknown("database is locked"), StoreError::Unavailable(_)));
        assert!(matches!(unknown("canceling statement due to statement timeout"), StoreError::Unavailable(_)));
        assert!(matches!(unknown("no such table: users"), StoreError::Corrupt(_)));
        assert!(matches!(sqlite_says(DatabaseErrorKind::ClosedConnection, "gone"), StoreError::Unavailable(_)));
    }

    #[test]
    fn a_record_of_an_account_that_is_gone_is_not_found() {
        let error = sqlite_says(DatabaseErrorKind::ForeignKeyViolation, "FOREIGN KEY constraint failed");
        assert_eq!(error, StoreError::NotFound);
    }
}
