//! Where models of the Hugging Face hub are kept on this machine, and how they come here.

use std::path::PathBuf;
use std::pin::Pin;

use async_trait::async_trait;
use domain::LlmId;
use futures_core::Stream;

/// A model of the hub: `gpt2` or `ORG/NAME`, at a branch, tag or commit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HubModel {
    /// Its repository.
    pub repository: String,
    /// Its revision.
    pub revision: String,
}

impl HubModel {
    /// The model of the hub that an identifier names, if it names one.
    pub fn of(llm: &LlmId) -> Option<Self> {
        let LlmId::Hub { repository, revision } = llm else { return None };
        Some(Self { repository: repository.clone(), revision: revision.clone() })
    }
}

/// A model that lies on this machine, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredModel {
    /// Which one.
    pub model: HubModel,
    /// The commit that its revision meant when it was fetched.
    pub commit: String,
    /// Where it lies: a folder in Hugging Face's layout.
    pub folder: PathBuf,
    /// Bytes of all its files.
    pub bytes: u64,
}

/// One step of a fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullEvent {
    /// So much of everything is here, what an earlier fetch left included.
    Progress {
        /// The file that is being fetched.
        file: String,
        /// Bytes of all files that are here and checked, or being fetched.
        fetched_bytes: u64,
        /// Bytes of all files.
        total_bytes: u64,
    },
    /// It is here, checked and in its place. The last event.
    Done(StoredModel),
}

/// Why a model was not fetched, listed or removed. No text holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RepositoryError {
    /// There is no such model, or it is private and the token (or its absence) does not open it.
    #[error("{0}")]
    NotFound(String),
    /// The model cannot run here: its architecture or its files are not what the engine reads. Said before weights are fetched.
    #[error("{0}")]
    Unsupported(String),
    /// The hub cannot be reached, or broke off more often than is tried.
    #[error("{0}")]
    Unreachable(String),
    /// What came is not what was announced: a size or a digest differs. It was thrown away.
    #[error("{0}")]
    Corrupt(String),
    /// The disk is full or cannot be written.
    #[error("{0}")]
    Storage(String),
}

/// What a fetch tells. **Dropping it stops the fetch**; what has come is kept, and the next fetch goes on from there. After an error
/// nothing follows.
pub type PullStream = Pin<Box<dyn Stream<Item = Result<PullEvent, RepositoryError>> + Send + 'static>>;

/// The hub's models on this machine.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ModelRepository: Send + Sync {
    /// Fetches a model, or what is missing of it. Two fetches of one model share the work or wait for each other, never damage it.
    /// A model is in its place whole or not at all.
    async fn pull(&self, model: &HubModel) -> Result<PullStream, RepositoryError>;

    /// The model, if it lies here whole. Asks nobody else.
    fn find(&self, model: &HubModel) -> Option<StoredModel>;

    /// All that lie here whole, sorted by name.
    async fn list(&self) -> Result<Vec<StoredModel>, RepositoryError>;

    /// Removes a model and what of its files no other revision uses. `NotFound` if it is not here.
    async fn remove(&self, model: &HubModel) -> Result<(), RepositoryError>;
}
