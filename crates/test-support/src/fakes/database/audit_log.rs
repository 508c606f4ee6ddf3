//! The audit log in memory.

use async_trait::async_trait;
use domain::{AUDIT_GENESIS_HASH, AuditEntry, AuditEvent};
use ports::{AuditFilter, AuditLog, AuditVerdict, StoreError};
use sha2::{Digest as _, Sha256};

use super::FakeDatabase;

fn hash_of(entry: &AuditEntry, sequence: i64, previous_hash: &str) -> String {
    hex::encode(Sha256::digest(entry.hashed_text(sequence, previous_hash)))
}

#[async_trait]
impl AuditLog for FakeDatabase {
    async fn append(&self, entry: AuditEntry) -> Result<AuditEvent, StoreError> {
        let mut tables = self.tables()?;
        let sequence = i64::try_from(tables.audit_events.len()).unwrap() + 1;
        let previous_hash = tables.audit_events.last().map_or(AUDIT_GENESIS_HASH, |last| &last.hash).to_owned();
        let hash = hash_of(&entry, sequence, &previous_hash);
        let event = AuditEvent { sequence, entry, previous_hash, hash };
        tables.audit_events.push(event.clone());
        Ok(event)
    }

    async fn list(&self, filter: AuditFilter, before: Option<i64>, limit: u32) -> Result<Vec<AuditEvent>, StoreError> {
        let AuditFilter { action, actor, subject } = filter;
        let wanted = |event: &&AuditEvent| {
            before.is_none_or(|before| event.sequence < before)
                && action.is_none_or(|action| event.entry.action == action)
                && (actor.is_none() || event.entry.actor == actor)
                && subject.as_ref().is_none_or(|subject| event.entry.subject == *subject)
        };
        Ok(self.tables()?.audit_events.iter().rev().filter(wanted).take(limit as usize).cloned().collect())
    }

    async fn verify(&self) -> Result<AuditVerdict, StoreError> {
        // Nothing can reach into these tables but the method above.
        let events = u64::try_from(self.tables()?.audit_events.len()).unwrap();
        Ok(AuditVerdict::Intact { events })
    }
}
