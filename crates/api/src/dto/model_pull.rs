//! Models of the hub that are fetched.

use ports::StoredModel;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A model to be fetched.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelPullRequest {
    /// A model of the hub, with a revision if it is not to be `main`.
    #[schema(example = "hf:openai-community/gpt2@main", max_length = 512)]
    pub(crate) llm: String,
}

/// How far a fetch has come.
#[derive(Serialize, ToSchema)]
pub(crate) struct PullProgressEvent {
    /// The file that is being fetched.
    #[schema(example = "model.safetensors")]
    pub(crate) file: String,
    /// Bytes of all files that are here.
    #[schema(example = 104_857_600)]
    pub(crate) fetched_bytes: u64,
    /// Bytes of all files.
    #[schema(example = 551_290_714)]
    pub(crate) total_bytes: u64,
}

/// A model that lies on the server, whole.
#[derive(Serialize, ToSchema)]
pub(crate) struct PulledModelResponse {
    /// Its name on the hub.
    #[schema(example = "openai-community/gpt2")]
    name: String,
    /// The branch, tag or commit that was asked for.
    #[schema(example = "main")]
    revision: String,
    /// The commit that it means.
    #[schema(example = "607a30d783dfa663caf39e06633721c8d4cfcd7e")]
    commit: String,
    /// Bytes of all its files.
    #[schema(example = 551_290_714)]
    bytes: u64,
}

impl From<StoredModel> for PulledModelResponse {
    fn from(stored: StoredModel) -> Self {
        // The folder stays untold: where the server keeps things is nobody's business but its operator's.
        Self { name: stored.model.repository, revision: stored.model.revision, commit: stored.commit, bytes: stored.bytes }
    }
}
