//! The audit log in the database.
//!
//! `audit_head` holds the last event's number and hash in one row. Whoever appends locks it, so that events come one after the other
//! whatever replica they come from; and a log whose last events were cut off no longer fits it. The database itself refuses to change
//! or remove an event (a trigger, made by the migration).

use async_trait::async_trait;
use diesel::prelude::*;
use diesel::{insert_into, update};
use domain::{AUDIT_GENESIS_HASH, AuditEntry, AuditEvent};
use ports::{AuditFilter, AuditLog, AuditVerdict, StoreError};

use crate::rows::{AuditEventRow, audit_hash, from_kept_time, to_kept_text, to_kept_time};
use crate::schema::{audit_events, audit_head};
use crate::{DbConnection, DbPool};

/// How many events a check of the log holds in memory at once.
const BATCH: i64 = 1000;

/// Keeps events in the tables `audit_events` and `audit_head`.
#[derive(Debug, Clone)]
pub struct DbAuditLog {
    pool: DbPool,
}

impl DbAuditLog {
    /// Keeps them in this pool's database.
    pub const fn new(pool: DbPool) -> Self {
        Self { pool }
    }

    /// The head as it is, and then the events after this number: at least all up to that head.
    async fn batch_after(&self, sequence: i64) -> Result<(Link, Vec<AuditEventRow>), StoreError> {
        self.pool
            .read(move |connection| {
                let head = head(connection)?;
                let following = audit_events::table.filter(audit_events::sequence.gt(sequence)).order(audit_events::sequence);
                Ok((head, following.limit(BATCH).select(AuditEventRow::as_select()).load(connection)?))
            })
            .await
    }
}

#[async_trait]
impl AuditLog for DbAuditLog {
    async fn append(&self, entry: AuditEntry) -> Result<AuditEvent, StoreError> {
        // What is answered and hashed is what is kept.
        let entry = AuditEntry { occurred_at: from_kept_time(to_kept_time(entry.occurred_at)), ..entry };
        self.pool
            .write(move |connection| {
                let last = lock_head(connection)?;
                let sequence = last.sequence + 1;
                let hash = audit_hash(&entry, sequence, &last.hash);
                let event = AuditEvent { sequence, entry, previous_hash: last.hash, hash };
                insert_into(audit_events::table).values(AuditEventRow::from(event.clone())).execute(connection)?;
                let next = (audit_head::sequence.eq(sequence), audit_head::hash.eq(event.hash.clone()));
                update(audit_head::table).set(next).execute(connection)?;
                Ok(event)
            })
            .await
            .map_err(as_damage)
    }

    async fn list(&self, filter: AuditFilter, before: Option<i64>, limit: u32) -> Result<Vec<AuditEvent>, StoreError> {
        let rows: Vec<AuditEventRow> = self
            .pool
            .read(move |connection| {
                let mut events = audit_events::table.select(AuditEventRow::as_select()).into_boxed();
                if let Some(action) = filter.action {
                    events = events.filter(audit_events::action.eq(action.as_str()));
                }
                if let Some(actor) = filter.actor {
                    events = events.filter(audit_events::actor.eq(actor.to_string()));
                }
                if let Some(subject) = filter.subject {
                    events = events.filter(audit_events::subject.eq(to_kept_text(subject)));
                }
                if let Some(before) = before {
                    events = events.filter(audit_events::sequence.lt(before));
                }
                Ok(events.order(audit_events::sequence.desc()).limit(i64::from(limit)).load(connection)?)
            })
            .await?;
        rows.into_iter().map(AuditEvent::try_from).collect()
    }

    async fn verify(&self) -> Result<AuditVerdict, StoreError> {
        let mut last = Link { sequence: 0, hash: AUDIT_GENESIS_HASH.to_owned() };
        loop {
            let (head, batch) = self.batch_after(last.sequence).await.map_err(as_damage)?;
            if batch.is_empty() {
                return Ok(at_the_end(&last, &head));
            }
            for row in batch {
                let sequence = row.sequence;
                last = match next_link(&last, row) {
                    Ok(link) => link,
                    Err(problem) if sequence > last.sequence + 1 => return Ok(broken(last.sequence + 1, problem)),
                    Err(problem) => return Ok(broken(sequence, problem)),
                };
            }
        }
    }
}

/// A place in the chain.
#[derive(Debug, PartialEq, Eq)]
struct Link {
    sequence: i64,
    hash: String,
}

/// The place of this event, if it follows on the one before it.
fn next_link(last: &Link, row: AuditEventRow) -> Result<Link, &'static str> {
    if row.sequence != last.sequence + 1 {
        return Err("it is missing");
    }
    let event = AuditEvent::try_from(row).map_err(|_unreadable| "it cannot be read as an event")?;
    if event.previous_hash != last.hash {
        return Err("it does not follow on the event before it");
    }
    if event.hash != audit_hash(&event.entry, event.sequence, &event.previous_hash) {
        return Err("its hash is not the hash of what it says");
    }
    Ok(Link { sequence: event.sequence, hash: event.hash })
}

/// The verdict on a log whose events are in order and of which this is the last.
fn at_the_end(last: &Link, head: &Link) -> AuditVerdict {
    if last == head {
        AuditVerdict::Intact { events: u64::try_from(last.sequence).unwrap_or_default() }
    } else if last.sequence < head.sequence {
        broken(last.sequence + 1, "it is missing")
    } else {
        broken(last.sequence, "it is not what the log's head says it ends with")
    }
}

fn broken(sequence: i64, problem: &str) -> AuditVerdict {
    AuditVerdict::Broken { sequence, problem: problem.to_owned() }
}

/// The one thing that can be "not found" here is the head, which the migration made.
fn as_damage(error: StoreError) -> StoreError {
    match error {
        StoreError::NotFound => StoreError::Corrupt("audit_head has no row".into()),
        other => other,
    }
}

fn head(connection: &mut DbConnection) -> QueryResult<Link> {
    let (sequence, hash) = audit_head::table.select((audit_head::sequence, audit_head::hash)).first(connection)?;
    Ok(Link { sequence, hash })
}

/// Makes every other transaction that appends wait, and answers the head as it is then.
fn lock_head(connection: &mut DbConnection) -> QueryResult<Link> {
    let columns = (audit_head::sequence, audit_head::hash);
    let (sequence, hash) = match connection {
        DbConnection::Postgres(postgres) => audit_head::table.select(columns).for_update().first(postgres),
        DbConnection::Sqlite(sqlite) => audit_head::table.select(columns).first(sqlite),
    }?;
    Ok(Link { sequence, hash })
}
