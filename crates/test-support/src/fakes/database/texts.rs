//! Made texts in memory.

use async_trait::async_trait;
use domain::{Cursor, Page, PageRequest, TextGeneration, TextGenerationId};
use ports::{RecordScope, StoreError, TextEdit, TextGenerationStore};

use super::{FakeDatabase, page_of};

fn is_in(scope: RecordScope, text: &TextGeneration) -> bool {
    match scope {
        RecordScope::Of(user_id) => text.user_id == user_id,
        RecordScope::Everyone => true,
    }
}

#[async_trait]
impl TextGenerationStore for FakeDatabase {
    async fn add(&self, text: TextGeneration) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        if !tables.users.contains_key(&text.user_id) {
            return Err(StoreError::NotFound);
        }
        if tables.texts.contains_key(&text.id) {
            return Err(StoreError::Conflict { field: "id" });
        }
        tables.texts.insert(text.id, text);
        Ok(())
    }

    async fn get(&self, scope: RecordScope, id: TextGenerationId) -> Result<TextGeneration, StoreError> {
        self.tables()?.texts.get(&id).filter(|text| is_in(scope, text)).cloned().ok_or(StoreError::NotFound)
    }

    async fn list(&self, scope: RecordScope, page: PageRequest) -> Result<Page<TextGeneration>, StoreError> {
        let texts = self.tables()?.texts.values().filter(|text| is_in(scope, text)).cloned().collect();
        Ok(page_of(texts, page, |text| Cursor { created_at: text.created_at, id: text.id.uuid() }))
    }

    async fn count(&self, scope: RecordScope) -> Result<u64, StoreError> {
        Ok(u64::try_from(self.tables()?.texts.values().filter(|text| is_in(scope, text)).count()).unwrap())
    }

    async fn edit(&self, scope: RecordScope, id: TextGenerationId, edit: TextEdit) -> Result<TextGeneration, StoreError> {
        let mut tables = self.tables()?;
        let text = tables.texts.get_mut(&id).filter(|text| is_in(scope, text)).ok_or(StoreError::NotFound)?;
        text.edited |= edit != TextEdit::default();
        if let Some(prompt) = edit.prompt {
            text.prompt = prompt;
        }
        if let Some(generated_text) = edit.generated_text {
            text.generated_text = generated_text;
        }
        Ok(text.clone())
    }

    async fn remove(&self, scope: RecordScope, id: TextGenerationId) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        let visible = tables.texts.get(&id).is_some_and(|text| is_in(scope, text));
        if !visible {
            return Err(StoreError::NotFound);
        }
        tables.texts.remove(&id);
        Ok(())
    }
}
