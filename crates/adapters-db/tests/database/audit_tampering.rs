//! The audit log against whoever can reach the database itself: the database refuses to change it, and where somebody takes that
//! refusal away first, the check finds what they did.

use ports::AuditVerdict;
use test_support::builders::an_audit_entry;

use crate::support::{Place, TestDatabase, a_postgres_database, a_sqlite_database};

/// Both databases, each with a log of so many events.
async fn with_events(count: usize) -> [TestDatabase; 2] {
    let databases = [a_sqlite_database().await, a_postgres_database().await];
    for database in &databases {
        for _ in 0..count {
            database.audit_log.append(an_audit_entry()).await.unwrap();
        }
    }
    databases
}

/// Runs SQL as somebody who may do anything to the tables.
fn tamper(database: &TestDatabase, sql: &str) {
    let on_table = if matches!(database.place, Place::Postgres(_)) { " ON audit_events" } else { "" };
    for trigger in ["audit_events_refuse_update", "audit_events_refuse_delete"] {
        database.place.execute(&format!("DROP TRIGGER {trigger}{on_table}"));
    }
    database.place.execute(sql);
}

/// Where the check finds the log broken after this was done to its five events.
async fn broken_by(sql: &str) -> Vec<(i64, String)> {
    let mut found = Vec::new();
    for database in with_events(5).await {
        tamper(&database, sql);
        match database.audit_log.verify().await.unwrap() {
            AuditVerdict::Broken { sequence, problem } => found.push((sequence, problem)),
            intact @ AuditVerdict::Intact { .. } => panic!("{sql}: {intact:?}"),
        }
    }
    found
}

async fn is_found(sql: &str, sequence: i64, problem: &str) {
    for (found_sequence, found_problem) in broken_by(sql).await {
        assert_eq!((found_sequence, found_problem.as_str()), (sequence, problem), "{sql}");
    }
}

const CHANGED: &str = "its hash is not the hash of what it says";
const MISSING: &str = "it is missing";
const OUT_OF_PLACE: &str = "it does not follow on the event before it";

#[tokio::test]
async fn the_database_refuses_to_change_or_remove_an_event() {
    let [sqlite, postgres] = with_events(2).await;
    let mut attempts = vec!["UPDATE audit_events SET detail = 'nothing'", "DELETE FROM audit_events"];
    for sql in &attempts {
        let refused = diesel::connection::SimpleConnection::batch_execute(&mut sqlite.place.raw_sqlite(), sql).unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{refused}");
    }
    attempts.push("TRUNCATE audit_events");
    let Place::Postgres(server) = &postgres.place else { unreachable!("it was just made") };
    for sql in &attempts {
        let refused = diesel::connection::SimpleConnection::batch_execute(&mut server.connect(), sql).unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{refused}");
    }
    for database in [sqlite, postgres] {
        assert_eq!(database.audit_log.verify().await.unwrap(), AuditVerdict::Intact { events: 2 });
    }
}

#[tokio::test]
async fn a_changed_event_is_found() {
    for change in [
        "detail = 'nothing'",
        "subject = 'user:somebody-else'",
        "address = NULL",
        "actor = NULL",
        "action = 'account.removed'",
        "occurred_at = '2026-01-01 12:00:00.000001'",
        "hash = '1111111111111111111111111111111111111111111111111111111111111111'",
    ] {
        is_found(&format!("UPDATE audit_events SET {change} WHERE sequence = 3"), 3, CHANGED).await;
    }
}

#[tokio::test]
async fn an_event_that_is_no_event_any_more_is_found() {
    for change in ["action = 'nothing'", "actor = 'nobody'"] {
        let sql = format!("UPDATE audit_events SET {change} WHERE sequence = 3");
        is_found(&sql, 3, "it cannot be read as an event").await;
    }
}

#[tokio::test]
async fn a_missing_event_is_found_wherever_it_was() {
    for sequence in [1, 3, 5] {
        is_found(&format!("DELETE FROM audit_events WHERE sequence = {sequence}"), sequence, MISSING).await;
    }
    is_found("DELETE FROM audit_events WHERE sequence >= 4", 4, MISSING).await;
    is_found("DELETE FROM audit_events", 1, MISSING).await;
}

#[tokio::test]
async fn a_missing_event_is_found_also_where_the_others_closed_ranks() {
    let closed = "DELETE FROM audit_events WHERE sequence = 3; UPDATE audit_events SET sequence = 3 WHERE sequence = 4; \
                  UPDATE audit_events SET sequence = 4 WHERE sequence = 5";
    is_found(closed, 3, OUT_OF_PLACE).await;
}

#[tokio::test]
async fn swapped_events_are_found() {
    let swap = "UPDATE audit_events SET sequence = 99 WHERE sequence = 2; UPDATE audit_events SET sequence = 2 WHERE sequence = 3; \
                UPDATE audit_events SET sequence = 3 WHERE sequence = 99";
    is_found(swap, 2, OUT_OF_PLACE).await;
}

#[tokio::test]
async fn an_event_that_was_slipped_in_is_found() {
    let copy = "INSERT INTO audit_events SELECT 6, occurred_at, action, actor, subject, address, detail, previous_hash, hash \
                FROM audit_events WHERE sequence = 5";
    is_found(copy, 6, OUT_OF_PLACE).await;
    is_found("UPDATE audit_head SET sequence = 4", 5, "it is not what the log's head says it ends with").await;
}

#[tokio::test]
async fn a_log_longer_than_a_batch_is_read_to_its_end() {
    for database in with_events(0).await {
        // A batch is a thousand.
        for _ in 0..1_010 {
            database.audit_log.append(an_audit_entry()).await.unwrap();
        }
        assert_eq!(database.audit_log.verify().await.unwrap(), AuditVerdict::Intact { events: 1_010 });
        tamper(&database, "DELETE FROM audit_events WHERE sequence = 1001");
        let broken = AuditVerdict::Broken { sequence: 1_001, problem: MISSING.into() };
        assert_eq!(database.audit_log.verify().await.unwrap(), broken);
    }
}
