//! Where made texts are kept.

use async_trait::async_trait;
use domain::{Page, PageRequest, TextGeneration, TextGenerationId, UserId};

use crate::StoreError;

/// Whose records a call may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordScope {
    /// One user's.
    Of(UserId),
    /// Everybody's (an admin's view).
    Everyone,
}

/// What to change of a text; what is `None` stays.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct TextEdit {
    /// A new prompt.
    pub prompt: Option<String>,
    /// A new text.
    pub generated_text: Option<String>,
}

/// Keeps made texts. Every call is one transaction. A record outside the scope is `NotFound`.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait TextGenerationStore: Send + Sync {
    /// Adds a text. Fails with `NotFound` if its user is gone: the account was removed while the text was made.
    async fn add(&self, text: TextGeneration) -> Result<(), StoreError>;

    /// One text.
    async fn get(&self, scope: RecordScope, id: TextGenerationId) -> Result<TextGeneration, StoreError>;

    /// The scope's texts, newest first.
    async fn list(&self, scope: RecordScope, page: PageRequest) -> Result<Page<TextGeneration>, StoreError>;

    /// How many texts the scope has.
    async fn count(&self, scope: RecordScope) -> Result<u64, StoreError>;

    /// Changes a text and answers it as it is then. From then on it counts as edited, unless the edit names nothing.
    async fn edit(&self, scope: RecordScope, id: TextGenerationId, edit: TextEdit) -> Result<TextGeneration, StoreError>;

    /// Removes a text.
    async fn remove(&self, scope: RecordScope, id: TextGenerationId) -> Result<(), StoreError>;
}
