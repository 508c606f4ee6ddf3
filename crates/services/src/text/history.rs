//! The texts that were made.

use domain::{AuditAction, Page, PageLimit, PageRequest, Prompt, TextGeneration, TextGenerationId};
use ports::{RecordScope, StoreError, TextEdit};

use super::TextService;
use crate::{Caller, ServiceError};

/// What to change of a text; what is `None` stays.
#[derive(Clone, Default)]
pub struct TextChange {
    /// A new prompt.
    pub prompt: Option<String>,
    /// A new text.
    pub generated_text: Option<String>,
}

/// A text may be edited to be longer than its prompt may be, but not without end.
const EDITED_TEXT_FACTOR: usize = 16;

impl TextService {
    /// One of the caller's texts; an admin reads everybody's.
    pub async fn get(&self, caller: &Caller, id: TextGenerationId) -> Result<TextGeneration, ServiceError> {
        let text = self.ports.texts.get(caller.scope(), id).await.map_err(text_error)?;
        self.note_access(caller, &text, "read").await;
        Ok(text)
    }

    /// The caller's own texts, newest first, by the page.
    pub async fn list(&self, caller: &Caller, page: PageRequest) -> Result<Page<TextGeneration>, ServiceError> {
        self.ports.texts.list(RecordScope::Of(caller.user.id), page).await.map_err(text_error)
    }

    /// The caller's own texts, newest first, all at once; at most [`super::TextLimits::unpaged_records`].
    pub async fn list_all(&self, caller: &Caller) -> Result<Vec<TextGeneration>, ServiceError> {
        let mut texts = Vec::new();
        let mut page = PageRequest { after: None, limit: PageLimit::new(i64::from(PageLimit::MAX))? };
        while texts.len() < self.limits.unpaged_records {
            let next = self.list(caller, page).await?;
            texts.extend(next.items);
            let Some(after) = next.next else { break };
            page.after = Some(after);
        }
        texts.truncate(self.limits.unpaged_records);
        Ok(texts)
    }

    /// Changes a text's words. What it was made with stays as it was.
    pub async fn edit(&self, caller: &Caller, id: TextGenerationId, change: TextChange) -> Result<TextGeneration, ServiceError> {
        let limit = self.limits.prompt_characters;
        let prompt = change.prompt.map(|text| Prompt::new(text, limit)).transpose()?.map(|prompt| prompt.as_str().to_owned());
        let text_limit = limit.saturating_mul(EDITED_TEXT_FACTOR);
        if change.generated_text.as_ref().is_some_and(|text| text.chars().count() > text_limit) {
            let problem = format!("must have at most {text_limit} characters");
            return Err(domain::Refusal::field("generated_text", problem).into());
        }
        let edit = TextEdit { prompt, generated_text: change.generated_text };
        let text = self.ports.texts.edit(caller.scope(), id, edit).await.map_err(text_error)?;
        self.note_access(caller, &text, "changed").await;
        Ok(text)
    }

    /// Removes a text.
    pub async fn remove(&self, caller: &Caller, id: TextGenerationId) -> Result<(), ServiceError> {
        let text = self.ports.texts.get(caller.scope(), id).await.map_err(text_error)?;
        self.ports.texts.remove(caller.scope(), id).await.map_err(text_error)?;
        self.note_access(caller, &text, "removed").await;
        Ok(())
    }

    /// That an admin had to do with another's text goes into the audit log.
    pub(super) async fn note_access(&self, caller: &Caller, text: &TextGeneration, what: &str) {
        if text.user_id != caller.user.id {
            let subject = format!("text_generation:{}", text.id);
            self.audit.record(AuditAction::OthersRecordAccessed, caller.into(), subject, what).await;
        }
    }
}

pub(super) fn text_error(error: StoreError) -> ServiceError {
    ServiceError::from_store(error, ServiceError::TextGenerationNotFound)
}
