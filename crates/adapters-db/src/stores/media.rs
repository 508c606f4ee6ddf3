//! Records of pictures and speech in the database.

use std::collections::HashSet;

use async_trait::async_trait;
use chrono::{Days, NaiveTime};
use diesel::prelude::*;
use diesel::sql_types::{Integer, Text};
use diesel::{define_sql_function, delete, insert_into, update};
use domain::{Cursor, HistoryFile, MediaId, MediaKind, MediaRecord, MediaState, Page, PageRequest, Timestamp};
use ports::{MediaStore, RecordScope, StoreError};
use uuid::Uuid;

use super::page_after;
use crate::DbPool;
use crate::rows::{MediaRow, MediaStateRow, to_kept_cursor_time, to_kept_time};
use crate::schema::media;

define_sql_function! {
    /// A text's characters from a place on, the first being 1.
    fn substr(text: Text, from: Integer, characters: Integer) -> Text;
}

/// Of a UUID written with hyphens.
const UUID_CHARACTERS: i32 = 36;

/// Keeps records in the table `media`.
#[derive(Debug, Clone)]
pub struct DbMediaStore {
    pool: DbPool,
}

impl DbMediaStore {
    /// Keeps them in this pool's database.
    pub const fn new(pool: DbPool) -> Self {
        Self { pool }
    }
}

fn records(rows: Vec<MediaRow>) -> Result<Vec<MediaRecord>, StoreError> {
    rows.into_iter().map(MediaRecord::try_from).collect()
}

#[async_trait]
impl MediaStore for DbMediaStore {
    async fn add(&self, record: MediaRecord) -> Result<(), StoreError> {
        let row = MediaRow::try_from(record)?;
        self.pool
            .write(move |connection| {
                insert_into(media::table).values(row).execute(connection)?;
                Ok(())
            })
            .await
    }

    async fn get(&self, kind: MediaKind, id: MediaId) -> Result<MediaRecord, StoreError> {
        let found = self.pool.read(move |connection| {
            let of_kind = media::table.find(id.to_string()).filter(media::kind.eq(kind.as_str()));
            Ok(of_kind.select(MediaRow::as_select()).first(connection)?)
        });
        found.await?.try_into()
    }

    async fn list(&self, kind: MediaKind, scope: RecordScope, page: PageRequest) -> Result<Page<MediaRecord>, StoreError> {
        let rows: Vec<MediaRow> = self
            .pool
            .read(move |connection| {
                let of_kind = media::table.filter(media::kind.eq(kind.as_str()));
                let mut visible = of_kind.select(MediaRow::as_select()).into_boxed();
                if let RecordScope::Of(user_id) = scope {
                    visible = visible.filter(media::user_id.eq(user_id.to_string()));
                }
                Ok(page_after!(visible, media, page).load(connection)?)
            })
            .await?;
        Ok(Page::from_overfull(records(rows)?, page.limit, MediaRecord::cursor))
    }

    async fn set_state(&self, id: MediaId, state: MediaState) -> Result<(), StoreError> {
        let state = MediaStateRow::try_from(state)?;
        self.pool
            .write(move |connection| {
                let unfinished = media::table.find(id.to_string()).filter(media::finished_at.is_null());
                if update(unfinished).set(state).execute(connection)? > 0 {
                    return Ok(());
                }
                let there: i64 = media::table.find(id.to_string()).count().get_result(connection)?;
                Err(if there > 0 { StoreError::Conflict { field: "state" } } else { StoreError::NotFound }.into())
            })
            .await
    }

    async fn remove(&self, id: MediaId) -> Result<(), StoreError> {
        self.pool
            .write(move |connection| match delete(media::table.find(id.to_string())).execute(connection)? {
                0 => Err(StoreError::NotFound.into()),
                _ => Ok(()),
            })
            .await
    }

    async fn ended_on(&self, file: HistoryFile, after: Option<Cursor>, limit: u32) -> Result<Vec<MediaRecord>, StoreError> {
        let begin = file.day.and_time(NaiveTime::MIN);
        let end = begin.checked_add_days(Days::new(1)).unwrap_or(begin);
        let rows = self.pool.read(move |connection| {
            let of_user =
                media::table.filter(media::user_id.eq(file.user_id.to_string())).filter(media::kind.eq(file.kind.as_str()));
            let of_day = of_user.filter(media::created_at.ge(begin)).filter(media::created_at.lt(end));
            let mut ended = of_day.filter(media::finished_at.is_not_null()).select(MediaRow::as_select()).into_boxed();
            if let Some(after) = after {
                let created_at = to_kept_cursor_time(after.created_at);
                let is_later = media::created_at.gt(created_at).or(media::id.gt(after.id.to_string()));
                ended = ended.filter(media::created_at.ge(created_at)).filter(is_later);
            }
            Ok(ended.order((media::created_at, media::id)).limit(limit.into()).load(connection)?)
        });
        records(rows.await?)
    }

    async fn unfinished(&self, before: Timestamp, limit: u32) -> Result<Vec<MediaRecord>, StoreError> {
        let before = to_kept_time(before);
        let rows = self.pool.read(move |connection| {
            let unfinished = media::table.filter(media::finished_at.is_null()).filter(media::created_at.lt(before));
            let oldest = unfinished.order((media::created_at, media::id)).limit(limit.into());
            Ok(oldest.select(MediaRow::as_select()).load(connection)?)
        });
        records(rows.await?)
    }

    async fn known(&self, uuids: Vec<Uuid>) -> Result<Vec<Uuid>, StoreError> {
        let texts: Vec<String> = uuids.iter().map(ToString::to_string).collect();
        let there: Vec<String> = self
            .pool
            .read(move |connection| {
                let mut there: Vec<String> = media::table.filter(media::id.eq_any(&texts)).select(media::id).load(connection)?;
                let found: HashSet<&String> = there.iter().collect();
                // Nobody's have random bits behind their UUID. They are looked through only for what is no user's.
                let others: Vec<&String> = texts.iter().filter(|text| !found.contains(text)).collect();
                let (uuid, nobodys) = (substr(media::id, 1, UUID_CHARACTERS), media::table.filter(media::user_id.is_null()));
                if !others.is_empty() {
                    there.extend(nobodys.filter(uuid.eq_any(others)).select(uuid).load::<String>(connection)?);
                }
                Ok(there)
            })
            .await?;
        let there: HashSet<String> = there.into_iter().collect();
        Ok(uuids.into_iter().filter(|uuid| there.contains(&uuid.to_string())).collect())
    }
}
