//! What is particular to a file.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use adapters_db::{DatabaseConfig, DatabaseError, DatabaseUrl, DbPool, Migrations, pending_migrations};
use diesel::connection::SimpleConnection;
use ports::{HealthCheck, RecordScope, StoreError};
use test_support::builders::{a_new_user, a_text_generation};

use crate::support::{Place, TestDatabase, a_sqlite_database, migration_names};

fn refusal(url: DatabaseUrl) -> String {
    let refused = DbPool::open(&DatabaseConfig::at(url), Migrations::Run).unwrap_err();
    assert!(matches!(refused, DatabaseError::Unreachable { .. } | DatabaseError::Migration { .. }), "{refused}");
    let line = refused.to_string();
    assert!(!line.contains('\n'), "{line}");
    line
}

#[tokio::test]
async fn the_file_and_its_companions_are_for_their_owner_alone() {
    let database = a_sqlite_database().await;
    database.users.add(a_new_user()).await.unwrap();
    let file = database.place.file();
    for suffix in ["", "-wal", "-shm"] {
        let path = format!("{}{suffix}", file.display());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{path}");
    }
}

#[tokio::test]
async fn what_was_kept_is_there_when_the_file_is_opened_again() {
    let database = a_sqlite_database().await;
    let user = database.users.add(a_new_user()).await.unwrap();
    let reopened = TestDatabase::open(database.place, |_| {});
    assert_eq!(reopened.users.get(user.id).await.unwrap(), user);
}

#[tokio::test]
async fn readers_do_not_wait_for_a_writer() {
    let database = a_sqlite_database().await;
    let user = database.users.add(a_new_user()).await.unwrap();
    let mut writer = database.place.raw_sqlite();
    writer.batch_execute("BEGIN IMMEDIATE; UPDATE users SET disabled = TRUE").unwrap();
    assert_eq!(database.users.get(user.id).await.unwrap(), user, "as it was before the writer is done");
    writer.batch_execute("COMMIT").unwrap();
    assert!(database.users.get(user.id).await.unwrap().disabled);
}

#[tokio::test]
async fn a_writer_waits_for_another_process_as_long_as_the_setting_says() {
    let database = TestDatabase::open(Place::empty_sqlite(), |config| {
        config.statement_timeout = Duration::from_millis(100);
    });
    let mut other_process = database.place.raw_sqlite();
    other_process.batch_execute("BEGIN IMMEDIATE").unwrap();
    let refused = database.users.add(a_new_user()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
    other_process.batch_execute("ROLLBACK").unwrap();
    database.users.add(a_new_user()).await.unwrap();
}

#[tokio::test]
async fn a_call_that_finds_no_free_connection_in_time_is_turned_away() {
    let database = TestDatabase::open(Place::empty_sqlite(), |config| {
        config.connection_timeout = Duration::from_millis(100);
        config.statement_timeout = Duration::from_millis(600);
    });
    let mut other_process = database.place.raw_sqlite();
    other_process.batch_execute("BEGIN IMMEDIATE").unwrap();
    let (first, second) = tokio::join!(database.users.add(a_new_user()), database.users.add(a_new_user()));
    let messages = [first.unwrap_err(), second.unwrap_err()].map(|error| error.to_string());
    assert!(messages.iter().any(|message| message.contains("no connection was free in time")), "{messages:?}");
}

#[tokio::test]
async fn a_caller_who_goes_away_does_not_free_the_connection_before_its_work_is_done() {
    let database = a_sqlite_database().await;
    let user = database.users.add(a_new_user()).await.unwrap();
    for _ in 0..20 {
        let abandoned = database.texts.add(a_text_generation(user.id));
        let _ = tokio::time::timeout(Duration::from_micros(50), abandoned).await;
    }
    // The one writer still serves, and what was begun was done whole or not at all.
    let kept = a_text_generation(user.id);
    database.texts.add(kept.clone()).await.unwrap();
    assert_eq!(database.texts.get(RecordScope::Everyone, kept.id).await.unwrap(), kept);
}

#[tokio::test]
async fn a_row_that_the_domain_would_not_allow_is_corrupt_and_says_where() {
    let database = a_sqlite_database().await;
    let user = database.users.add(a_new_user()).await.unwrap();
    let text = a_text_generation(user.id);
    database.texts.add(text.clone()).await.unwrap();
    database.place.execute("UPDATE users SET role = 'king'; UPDATE text_generations SET parameters = '{}'");
    let refused = database.users.get(user.id).await.unwrap_err();
    assert!(
        matches!(&refused, StoreError::Corrupt(problem) if problem.contains("users") && problem.contains("role")),
        "{refused}"
    );
    let refused = database.texts.get(RecordScope::Everyone, text.id).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Corrupt(problem) if problem.contains("parameters")), "{refused}");
}

#[tokio::test]
async fn a_database_that_answers_is_well_and_one_without_its_tables_is_not() {
    let database = a_sqlite_database().await;
    assert_eq!(database.health.check().await, Ok(()));
    database.place.execute("ALTER TABLE users RENAME TO elsewhere");
    let unwell = database.health.check().await.unwrap_err();
    assert!(unwell.to_string().contains("users"), "{unwell}");
}

#[test]
fn looking_at_a_database_that_is_not_there_makes_no_file() {
    let place = Place::empty_sqlite();
    assert_eq!(pending_migrations(&place.config()).unwrap(), migration_names("sqlite"));
    assert!(DbPool::open(&place.config(), Migrations::Refuse).is_err());
    assert!(!place.file().exists());
}

#[test]
fn a_missing_folder_is_named() {
    let place = Place::empty_sqlite();
    let folder = place.file().parent().unwrap().join("nowhere");
    let line = refusal(DatabaseUrl::sqlite_file(folder.join("x.db")));
    assert!(line.contains(&format!("there is no folder {}", folder.display())), "{line}");
}

#[test]
fn a_folder_is_no_database() {
    let place = Place::empty_sqlite();
    let line = refusal(DatabaseUrl::sqlite_file(place.file().parent().unwrap()));
    assert!(line.contains("directory"), "{line}");
}

#[test]
fn a_file_of_another_kind_is_refused_and_left_as_it_was() {
    let place = Place::empty_sqlite();
    let letter = "Dear Ana,\n".repeat(1000);
    std::fs::write(place.file(), &letter).unwrap();
    let line = refusal(DatabaseUrl::sqlite_file(place.file()));
    assert!(line.contains("not a database"), "{line}");
    assert_eq!(std::fs::read_to_string(place.file()).unwrap(), letter);
}
