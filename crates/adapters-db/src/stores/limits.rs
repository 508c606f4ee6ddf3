//! Exceptions to the limits, in the database.

use std::collections::HashMap;

use async_trait::async_trait;
use diesel::prelude::*;
use diesel::{delete, insert_into};
use ports::{LimitOverride, LimitStore, LimitSubject, StoreError};

use crate::rows::{LimitOverrideRow, LimitRow, limit_subject};
use crate::schema::limit_overrides;
use crate::{DbConnection, DbPool};

/// Keeps exceptions in the table `limit_overrides`.
#[derive(Debug, Clone)]
pub struct DbLimitStore {
    pool: DbPool,
}

impl DbLimitStore {
    /// Keeps them in this pool's database.
    pub const fn new(pool: DbPool) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl LimitStore for DbLimitStore {
    async fn get(&self, subjects: Vec<LimitSubject>) -> Result<Vec<LimitOverride>, StoreError> {
        let subjects: Vec<String> = subjects.into_iter().map(limit_subject).collect();
        let wanted = subjects.clone();
        let found: Vec<(String, LimitRow)> = self
            .pool
            .read(move |connection| {
                let those = limit_overrides::table.filter(limit_overrides::subject.eq_any(wanted));
                Ok(those.select((limit_overrides::subject, LimitRow::as_select())).load(connection)?)
            })
            .await?;
        let found: HashMap<String, LimitRow> = found.into_iter().collect();
        let of = |subject| found.get(subject).map_or(Ok(LimitOverride::default()), |row| (*row).try_into());
        subjects.iter().map(of).collect()
    }

    async fn set(&self, subject: LimitSubject, limit: LimitOverride) -> Result<(), StoreError> {
        self.pool
            .write(move |connection| {
                // Also an empty one is put first: that is how the foreign key tells that the user or key is gone.
                put(connection, &LimitOverrideRow::new(subject, limit.into()), limit.into())?;
                if limit == LimitOverride::default() {
                    delete(limit_overrides::table.find(limit_subject(subject))).execute(connection)?;
                }
                Ok(())
            })
            .await
    }
}

/// Adds an exception or replaces it, in one statement: two admins at once must not collide.
fn put(connection: &mut DbConnection, row: &LimitOverrideRow, limit: LimitRow) -> QueryResult<()> {
    let insert = insert_into(limit_overrides::table).values(row).on_conflict(limit_overrides::subject).do_update().set(limit);
    match connection {
        DbConnection::Postgres(postgres) => insert.execute(postgres),
        DbConnection::Sqlite(sqlite) => insert.execute(sqlite),
    }
    .map(drop)
}
