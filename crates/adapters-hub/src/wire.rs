//! What the hub answers, as far as it is read (<https://huggingface.co/docs/hub/api>). Unknown fields are passed over: it has many.

use serde::Deserialize;

/// `GET /api/models/{repository}/revision/{revision}`
#[derive(Debug, Deserialize)]
pub(crate) struct Revision {
    /// The commit that the revision means now.
    pub(crate) sha: String,
}

/// One line of `GET /api/models/{repository}/tree/{commit}?recursive=true`
#[derive(Debug, Deserialize)]
pub(crate) struct TreeEntry {
    /// `file` or `directory`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) size: u64,
    /// Git's object id; of a large file, that of the pointer to it.
    #[serde(default)]
    pub(crate) oid: String,
    pub(crate) lfs: Option<LargeFile>,
}

/// A file that is kept outside Git.
#[derive(Debug, Deserialize)]
pub(crate) struct LargeFile {
    /// The SHA-256 of its content.
    pub(crate) oid: String,
    pub(crate) size: u64,
}
