//! The texts that were made.

use std::sync::Arc;

use domain::{AuditAction, Cursor, Page, PageLimit, PageRequest, Prompt, TextGeneration, TextGenerationId};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use ports::{RecordScope, StoreError, TextEdit, TextGenerationStore};

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

/// All of somebody's texts, as far as a list without pages goes.
pub struct AllTexts {
    /// Whether there are more than are listed.
    pub is_cut: bool,
    /// The texts, newest first, so many at a time as are read at once. Nothing follows an error.
    pub pages: BoxStream<'static, Result<Vec<TextGeneration>, ServiceError>>,
}

/// What is still to be listed.
struct Rest {
    texts: Arc<dyn TextGenerationStore>,
    scope: RecordScope,
    page: PageRequest,
    left: usize,
}

/// Where the list goes on.
enum Next {
    Read(Page<TextGeneration>),
    After(Cursor),
    Nothing,
}

impl Rest {
    async fn read(&self, after: Cursor) -> Result<Page<TextGeneration>, ServiceError> {
        let page = PageRequest { after: Some(after), ..self.page };
        self.texts.list(self.scope, page).await.map_err(text_error)
    }
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

    /// The caller's own texts, newest first, in one go; at most [`super::TextLimits::unpaged_records`]. What fails before the first of them
    /// is this call's error.
    pub async fn list_all(&self, caller: &Caller) -> Result<AllTexts, ServiceError> {
        let limit = self.limits.unpaged_records;
        let page = PageRequest { after: None, limit: PageLimit::new(i64::from(PageLimit::MAX))? };
        let first = self.list(caller, page).await?;
        // A list of one page needs no counting.
        let scope = RecordScope::Of(caller.user.id);
        let counted = if first.next.is_some() {
            usize::try_from(self.ports.texts.count(scope).await.map_err(text_error)?).unwrap_or(usize::MAX)
        } else {
            first.items.len()
        };
        let rest = Rest { texts: Arc::clone(&self.ports.texts), scope, page, left: limit };
        let pages = stream::try_unfold((rest, Next::Read(first)), async |(mut rest, next)| {
            let Page { mut items, next } = match next {
                Next::Read(page) => page,
                Next::After(cursor) => rest.read(cursor).await?,
                Next::Nothing => return Ok(None),
            };
            items.truncate(rest.left);
            rest.left -= items.len();
            let next = next.filter(|_| rest.left > 0).map_or(Next::Nothing, Next::After);
            Ok(Some((items, (rest, next))))
        });
        Ok(AllTexts { is_cut: counted > limit, pages: pages.boxed() })
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
