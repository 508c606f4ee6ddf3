//! Rows of `audit_events`.

use chrono::NaiveDateTime;
use diesel::{Insertable, Queryable, Selectable};
use domain::{AuditAction, AuditEntry, AuditEvent};
use ports::StoreError;
use sha2::{Digest as _, Sha256};

use super::{from_kept_time, parse_optional_id, parse_text, refused, to_kept_text, to_kept_time};
use crate::schema::audit_events;

const TABLE: &str = "audit_events";

/// An event as it is kept.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = audit_events)]
pub(crate) struct AuditEventRow {
    pub(crate) sequence: i64,
    occurred_at: NaiveDateTime,
    action: String,
    actor: Option<String>,
    subject: String,
    address: Option<String>,
    detail: String,
    previous_hash: String,
    hash: String,
}

impl From<AuditEvent> for AuditEventRow {
    fn from(event: AuditEvent) -> Self {
        let AuditEvent { sequence, entry, previous_hash, hash } = event;
        Self {
            sequence,
            occurred_at: to_kept_time(entry.occurred_at),
            action: entry.action.as_str().to_owned(),
            actor: entry.actor.map(|id| id.to_string()),
            subject: to_kept_text(entry.subject),
            address: entry.address.map(to_kept_text),
            detail: to_kept_text(entry.detail),
            previous_hash,
            hash,
        }
    }
}

impl TryFrom<AuditEventRow> for AuditEvent {
    type Error = StoreError;

    fn try_from(row: AuditEventRow) -> Result<Self, StoreError> {
        let entry = AuditEntry {
            occurred_at: from_kept_time(row.occurred_at),
            action: AuditAction::parse(&row.action).map_err(refused(TABLE))?,
            actor: parse_optional_id(TABLE, row.actor.as_deref())?,
            subject: parse_text(TABLE, row.subject)?,
            address: row.address.map(|address| parse_text(TABLE, address)).transpose()?,
            detail: parse_text(TABLE, row.detail)?,
        };
        Ok(Self { sequence: row.sequence, entry, previous_hash: row.previous_hash, hash: row.hash })
    }
}

/// The hash of an event in its place.
pub(crate) fn audit_hash(entry: &AuditEntry, sequence: i64, previous_hash: &str) -> String {
    hex::encode(Sha256::digest(entry.hashed_text(sequence, previous_hash).as_bytes()))
}
