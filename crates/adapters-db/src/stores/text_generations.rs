//! Made texts in the database.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel::{delete, insert_into, update};
use domain::{Cursor, Page, PageRequest, TextGeneration, TextGenerationId};
use ports::{RecordScope, StoreError, TextEdit, TextGenerationStore};

use super::page_after;
use crate::rows::{TextGenerationRow, to_kept_text};
use crate::schema::text_generations;
use crate::{DbConnection, DbPool};

/// Keeps texts in the table `text_generations`.
#[derive(Debug, Clone)]
pub struct DbTextGenerationStore {
    pool: DbPool,
}

impl DbTextGenerationStore {
    /// Keeps them in this pool's database.
    pub const fn new(pool: DbPool) -> Self {
        Self { pool }
    }
}

/// What to change of a text; `None` stays.
#[derive(AsChangeset)]
#[diesel(table_name = text_generations)]
struct TextEditRow {
    prompt: Option<String>,
    generated_text: Option<String>,
    edited: bool,
}

#[async_trait]
impl TextGenerationStore for DbTextGenerationStore {
    async fn add(&self, text: TextGeneration) -> Result<(), StoreError> {
        let row = TextGenerationRow::try_from(text)?;
        self.pool
            .write(move |connection| {
                insert_into(text_generations::table).values(row).execute(connection)?;
                Ok(())
            })
            .await
    }

    async fn get(&self, scope: RecordScope, id: TextGenerationId) -> Result<TextGeneration, StoreError> {
        self.pool.read(move |connection| Ok(find(connection, scope, id)?)).await?.try_into()
    }

    async fn list(&self, scope: RecordScope, page: PageRequest) -> Result<Page<TextGeneration>, StoreError> {
        let rows: Vec<TextGenerationRow> = self
            .pool
            .read(move |connection| {
                let mut visible = text_generations::table.select(TextGenerationRow::as_select()).into_boxed();
                if let RecordScope::Of(user_id) = scope {
                    visible = visible.filter(text_generations::user_id.eq(user_id.to_string()));
                }
                Ok(page_after!(visible, text_generations, page).load(connection)?)
            })
            .await?;
        let texts = rows.into_iter().map(TextGeneration::try_from).collect::<Result<_, _>>()?;
        let cursor_of = |text: &TextGeneration| Cursor { created_at: text.created_at, id: text.id.uuid() };
        Ok(Page::from_overfull(texts, page.limit, cursor_of))
    }

    async fn count(&self, scope: RecordScope) -> Result<u64, StoreError> {
        let counted: i64 = self
            .pool
            .read(move |connection| {
                let all = text_generations::table.count();
                Ok(match scope {
                    RecordScope::Of(user_id) => {
                        all.filter(text_generations::user_id.eq(user_id.to_string())).get_result(connection)?
                    }
                    RecordScope::Everyone => all.get_result(connection)?,
                })
            })
            .await?;
        u64::try_from(counted).map_err(|_| StoreError::Corrupt("texts are counted below nothing".to_owned()))
    }

    async fn edit(&self, scope: RecordScope, id: TextGenerationId, edit: TextEdit) -> Result<TextGeneration, StoreError> {
        let changes_something = edit != TextEdit::default();
        let (prompt, generated_text) = (edit.prompt.map(to_kept_text), edit.generated_text.map(to_kept_text));
        let edit = TextEditRow { prompt, generated_text, edited: true };
        let edited = self
            .pool
            .write(move |connection| {
                // Finding it first keeps the scope in one place: a record outside it is not found, and so not changed.
                let found = find(connection, scope, id)?;
                if !changes_something {
                    return Ok(found);
                }
                update(text_generations::table.find(id.to_string())).set(edit).execute(connection)?;
                Ok(find(connection, scope, id)?)
            })
            .await?;
        edited.try_into()
    }

    async fn remove(&self, scope: RecordScope, id: TextGenerationId) -> Result<(), StoreError> {
        self.pool
            .write(move |connection| {
                find(connection, scope, id)?;
                delete(text_generations::table.find(id.to_string())).execute(connection)?;
                Ok(())
            })
            .await
    }
}

fn find(connection: &mut DbConnection, scope: RecordScope, id: TextGenerationId) -> QueryResult<TextGenerationRow> {
    let mut visible = text_generations::table.find(id.to_string()).select(TextGenerationRow::as_select()).into_boxed();
    if let RecordScope::Of(user_id) = scope {
        visible = visible.filter(text_generations::user_id.eq(user_id.to_string()));
    }
    visible.first(connection)
}
