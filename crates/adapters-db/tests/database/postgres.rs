//! What is particular to a server: it can go away, hang, or never have been there.

use std::time::Duration;

use adapters_db::{DatabaseConfig, DatabaseError, DatabaseUrl, DbPool, Migrations};
use diesel::connection::SimpleConnection;
use ports::{HealthCheck, StoreError};
use test_support::builders::a_new_user;

use crate::support::{Place, PostgresDatabase, TestDatabase, a_postgres_database};

fn server_of(database: &TestDatabase) -> &PostgresDatabase {
    match &database.place {
        Place::Postgres(server) => server,
        Place::Sqlite(_) => panic!("this test is about PostgreSQL"),
    }
}

fn refusal(url: &str) -> String {
    let mut config = DatabaseConfig::at(DatabaseUrl::parse(url).unwrap());
    config.connection_timeout = Duration::from_secs(1);
    let refused = DbPool::open(&config, Migrations::Run).unwrap_err();
    assert!(matches!(refused, DatabaseError::Unreachable { .. }), "{refused}");
    let line = refused.to_string();
    assert!(!line.contains('\n') && !line.contains("hunter2"), "{line}");
    line
}

#[tokio::test]
async fn a_connection_that_was_lost_is_replaced() {
    let database = a_postgres_database().await;
    let user = database.users.add(a_new_user()).await.unwrap();
    for _ in 0..3 {
        server_of(&database).cut_connections();
        assert_eq!(database.users.get(user.id).await.unwrap(), user);
        database.users.add(a_new_user()).await.unwrap();
    }
}

#[tokio::test]
async fn a_call_whose_connection_is_lost_on_the_way_is_told_so_and_the_next_one_works() {
    let database = a_postgres_database().await;
    database.users.add(a_new_user()).await.unwrap();
    let mut other = server_of(&database).connect();
    other.batch_execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").unwrap();
    let users = database.users.clone();
    let waiting = tokio::spawn(async move { users.add(a_new_user()).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    server_of(&database).cut_connections();
    let lost = waiting.await.unwrap().unwrap_err();
    assert!(matches!(lost, StoreError::Unavailable(_)), "{lost}");
    database.users.add(a_new_user()).await.unwrap();
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_cut() {
    let database = TestDatabase::open(Place::migrated_postgres(), |config| {
        config.statement_timeout = Duration::from_millis(100);
    });
    let user = database.users.add(a_new_user()).await.unwrap();
    let mut other = server_of(&database).connect();
    other.batch_execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").unwrap();
    let cut = database.users.get(user.id).await.unwrap_err();
    assert!(matches!(cut, StoreError::Unavailable(_)), "{cut}");
    other.batch_execute("ROLLBACK").unwrap();
    assert_eq!(database.users.get(user.id).await.unwrap(), user);
}

#[tokio::test]
async fn a_call_that_finds_no_free_connection_in_time_is_turned_away() {
    let database = TestDatabase::open(Place::migrated_postgres(), |config| {
        config.max_connections = 1;
        config.connection_timeout = Duration::from_millis(200);
        config.statement_timeout = Duration::from_secs(1);
    });
    let user = database.users.add(a_new_user()).await.unwrap();
    let mut other = server_of(&database).connect();
    other.batch_execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").unwrap();
    let (first, second) = tokio::join!(database.users.get(user.id), database.users.get(user.id));
    let messages = [first.unwrap_err(), second.unwrap_err()].map(|error| error.to_string());
    assert!(messages.iter().any(|message| message.contains("no connection was free in time")), "{messages:?}");
}

#[tokio::test]
async fn a_database_that_answers_is_well_and_one_that_is_gone_is_not() {
    let database = a_postgres_database().await;
    assert_eq!(database.health.check().await, Ok(()));
    server_of(&database).destroy();
    assert!(database.health.check().await.is_err());
}

#[test]
fn a_server_that_is_not_there_is_named_without_the_password() {
    // Port 1 belongs to nobody (tcpmux, long gone).
    let line = refusal("postgres://ana:hunter2@127.0.0.1:1/tales?password=hunter2");
    assert!(line.contains("postgres://ana@127.0.0.1:1/tales"), "{line}");
    assert!(line.contains("refused"), "{line}");
}

#[test]
fn a_database_that_is_not_there_is_named() {
    let place = Place::empty_postgres();
    let Place::Postgres(database) = &place else { unreachable!("it was just made") };
    let line = refusal(&format!("{}_nowhere", database.url));
    assert!(line.contains("_nowhere") && line.contains("does not exist"), "{line}");
}

#[test]
fn a_url_that_libpq_cannot_read_is_refused_without_being_quoted() {
    for url in ["postgres://ana:hunter2@[::1/x", "postgres://ana:hunter2@127.0.0.1:no/x", "postgres://ana:hunter2%@127.0.0.1/x"] {
        refusal(url);
    }
}
