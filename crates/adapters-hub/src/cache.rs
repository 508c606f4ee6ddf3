//! The hub's cache layout (<https://huggingface.co/docs/hub/local-cache>), which every tool of the hub reads:
//!
//! ```text
//! ROOT/models--ORG--NAME/blobs/DIGEST                    each file once, under its digest
//!                       /blobs/DIGEST.incomplete         what a fetch has of it so far
//!                       /snapshots/COMMIT/config.json    -> ../../blobs/DIGEST
//!                       /refs/main                       the commit that the revision meant when it was fetched
//! ROOT/.locks/models--ORG--NAME/…                        who writes
//! ```
//!
//! Every function here blocks for as long as the file system takes; none reads a large file.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use ports::{HubModel, RepositoryError, StoredModel};
use serde::Deserialize;

use crate::digest::BlobDigest;
use crate::names::{is_commit, is_plain_weights_name};
use crate::selection::{CONFIG, MAX_INDEX_BYTES, TOKENIZER, WEIGHTS, WEIGHTS_INDEX};

/// How deep a revision's name may be, as in `refs/pr/1`.
const MAX_REFERENCE_DEPTH: usize = 4;

/// A folder with a folder for each model.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    root: PathBuf,
}

/// A model's folder in a cache. It may not be there.
#[derive(Debug, Clone)]
pub(crate) struct ModelFolder {
    root: PathBuf,
    name: String,
}

impl Cache {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The folder of a repository whose name was checked.
    pub(crate) fn model(&self, repository: &str) -> ModelFolder {
        ModelFolder { root: self.root.clone(), name: format!("models--{}", repository.replace('/', "--")) }
    }

    /// Every model that lies here whole, by each revision that leads to it; one that no revision leads to any more, by its commit.
    pub(crate) fn whole_models(&self) -> Vec<StoredModel> {
        let mut models = Vec::new();
        for name in names_in(&self.root) {
            let Some(repository) = name.strip_prefix("models--").map(|rest| rest.replace("--", "/")) else { continue };
            let folder = ModelFolder { root: self.root.clone(), name };
            let mut revisions = folder.references();
            let named = |commit: &str| revisions.iter().any(|(_, known)| known == commit);
            let nameless: Vec<_> = folder.commits().into_iter().filter(|commit| !named(commit)).collect();
            revisions.extend(nameless.into_iter().map(|commit| (commit.clone(), commit)));
            for (revision, _) in revisions {
                models.extend(folder.find(&HubModel { repository: repository.clone(), revision }));
            }
        }
        models
    }
}

impl ModelFolder {
    pub(crate) fn path(&self) -> PathBuf {
        self.root.join(&self.name)
    }

    /// What is locked by who writes any of the model's files.
    pub(crate) fn lock_path(&self) -> PathBuf {
        self.root.join(".locks").join(&self.name).join("tertulia.lock")
    }

    /// What any tool of the hub locks while it writes this blob.
    pub(crate) fn blob_lock_path(&self, digest: &BlobDigest) -> PathBuf {
        self.root.join(".locks").join(&self.name).join(format!("{}.lock", digest.name()))
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.path().join("blobs")
    }

    pub(crate) fn blob(&self, digest: &BlobDigest) -> PathBuf {
        self.blobs().join(digest.name())
    }

    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.path().join("snapshots").join(commit)
    }

    pub(crate) fn reference(&self, revision: &str) -> PathBuf {
        self.path().join("refs").join(revision)
    }

    /// The commit that a revision meant when it was fetched. A commit's own name needs no record.
    pub(crate) fn commit_of(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_owned());
        }
        let mut text = String::new();
        File::open(self.reference(revision)).ok()?.take(64).read_to_string(&mut text).ok()?;
        Some(text.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// The model at a revision, if it lies here whole.
    pub(crate) fn find(&self, model: &HubModel) -> Option<StoredModel> {
        let commit = self.commit_of(&model.revision)?;
        let folder = self.snapshot(&commit);
        let bytes = bytes_if_whole(&folder)?;
        Some(StoredModel { model: model.clone(), commit, folder, bytes })
    }

    /// All revisions that were fetched, with their commits.
    pub(crate) fn references(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut open = vec![String::new()];
        while let Some(prefix) = open.pop() {
            for name in names_in(&self.reference(&prefix)) {
                let revision = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
                if let Some(commit) = self.commit_of(&revision) {
                    found.push((revision, commit));
                } else if revision.split('/').count() < MAX_REFERENCE_DEPTH {
                    open.push(revision);
                }
            }
        }
        found
    }

    /// All commits of which there is a snapshot, whole or not.
    pub(crate) fn commits(&self) -> Vec<String> {
        let mut commits = names_in(&self.path().join("snapshots"));
        commits.retain(|name| is_commit(name));
        commits
    }

    /// Puts a blob into a snapshot under its own name: by a relative link, or where the file system has none, as a second name or a copy.
    pub(crate) fn link(&self, commit: &str, name: &str, digest: &BlobDigest) -> Result<(), RepositoryError> {
        let folder = self.snapshot(commit);
        let place = folder.join(name);
        let failed = |error: io::Error| storage_error(&place, &error);
        fs::create_dir_all(&folder).map_err(failed)?;
        let blob = self.blob(digest);
        let new = folder.join(format!(".{name}.{}.new", std::process::id()));
        let _ = fs::remove_file(&new);
        let linked = symlink(&Path::new("../../blobs").join(digest.name()), &new)
            .or_else(|_| fs::hard_link(&blob, &new))
            .or_else(|_| fs::copy(&blob, &new).map(drop));
        linked.and_then(|()| fs::rename(&new, &place)).map_err(failed)
    }

    /// Notes what a revision means. It is this that puts the model in its place, so everything else is on the disk by then.
    pub(crate) fn write_reference(&self, revision: &str, commit: &str) -> Result<(), RepositoryError> {
        if is_commit(revision) || self.commit_of(revision).is_some_and(|known| known == commit) {
            return Ok(());
        }
        let place = self.reference(revision);
        let written = || {
            let folder = place.parent().unwrap_or(&self.root);
            fs::create_dir_all(folder)?;
            sync_folder(&self.snapshot(commit))?;
            let new = self.path().join(format!(".reference.{}.new", std::process::id()));
            let mut file = File::create(&new)?;
            file.write_all(commit.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &place)?;
            sync_folder(folder)
        };
        written().map_err(|error| storage_error(&place, &error))
    }
}

/// Bytes of all files of a snapshot, if it has everything that running it takes.
fn bytes_if_whole(snapshot: &Path) -> Option<u64> {
    let is_here = |name: &str| fs::metadata(snapshot.join(name)).is_ok_and(|data| data.is_file());
    if ![CONFIG, TOKENIZER].into_iter().all(is_here) {
        return None;
    }
    if !is_here(WEIGHTS) && !shards(snapshot)?.iter().all(|name| is_here(name)) {
        return None;
    }
    let sizes = names_in(snapshot).into_iter().filter_map(|name| fs::metadata(snapshot.join(name)).ok());
    Some(sizes.filter(fs::Metadata::is_file).map(|data| data.len()).sum())
}

/// The files that a snapshot's index names. `None` if there is no index that can be read.
fn shards(snapshot: &Path) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let mut text = Vec::new();
    File::open(snapshot.join(WEIGHTS_INDEX)).ok()?.take(MAX_INDEX_BYTES).read_to_end(&mut text).ok()?;
    let index: Index = serde_json::from_slice(&text).ok()?;
    let mut names: Vec<String> = index.weight_map.into_values().collect();
    names.sort_unstable();
    names.dedup();
    (!names.is_empty() && names.iter().all(|name| is_plain_weights_name(name))).then_some(names)
}

/// The names of what lies in a folder, sorted. A folder that cannot be read holds nothing that could be used.
pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

/// Puts on the disk that a file has a new name. Where a folder cannot be opened as a file there is nothing to be done.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

/// What the disk refused, and what to do about it.
pub(crate) fn storage_error(path: &Path, error: &io::Error) -> RepositoryError {
    let path = path.display();
    RepositoryError::Storage(match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            format!(
                "the disk is full, and {path} cannot be written: make room, or let HF_HOME name a folder on another disk; what has come is kept"
            )
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            format!("{path} may not be written ({error}): let HF_HOME name a folder that may")
        }
        _ => format!("{path}: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn model(revision: &str) -> HubModel {
        HubModel { repository: "org/name".into(), revision: revision.into() }
    }

    /// A model as another tool leaves it.
    fn foreign_cache(files: &[(&str, &str)]) -> (tempfile::TempDir, ModelFolder) {
        let home = tempfile::tempdir().unwrap();
        let folder = Cache::new(home.path().to_owned()).model("org/name");
        fs::create_dir_all(folder.snapshot(COMMIT)).unwrap();
        fs::create_dir_all(folder.path().join("refs")).unwrap();
        fs::write(folder.reference("main"), COMMIT).unwrap();
        for (name, content) in files {
            fs::write(folder.snapshot(COMMIT).join(name), content).unwrap();
        }
        (home, folder)
    }

    #[test]
    fn a_model_that_another_tool_fetched_is_found_by_branch_and_by_commit() {
        let (home, folder) = foreign_cache(&[("config.json", "{}"), ("tokenizer.json", "{}"), ("model.safetensors", "abc")]);
        let found = folder.find(&model("main")).unwrap();
        assert_eq!((found.commit.as_str(), found.bytes, found.folder), (COMMIT, 7, folder.snapshot(COMMIT)));
        assert!(folder.find(&model(COMMIT)).is_some());
        assert!(folder.find(&model("other")).is_none());
        let all = Cache::new(home.path().to_owned()).whole_models();
        assert_eq!(all.iter().map(|stored| stored.model.clone()).collect::<Vec<_>>(), [model("main")]);
    }

    #[test]
    fn a_model_of_which_a_part_is_missing_is_not_here() {
        let index = r#"{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}"#;
        let common = [("config.json", "{}"), ("tokenizer.json", "{}")];
        for (weights, whole) in [
            (&[][..], false),
            (&[("model.safetensors.index.json", index), ("one.safetensors", "1")][..], false),
            (&[("model.safetensors.index.json", index), ("one.safetensors", "1"), ("two.safetensors", "2")][..], true),
            (&[("model.safetensors.index.json", "garbage")][..], false),
            (&[("model.safetensors", "1")][..], true),
        ] {
            let files: Vec<_> = common.iter().chain(weights).copied().collect();
            let (_home, folder) = foreign_cache(&files);
            assert_eq!(folder.find(&model("main")).is_some(), whole, "{files:?}");
        }
        let (_home, folder) = foreign_cache(&[("config.json", "{}"), ("model.safetensors", "1")]);
        assert!(folder.find(&model("main")).is_none(), "without a tokenizer");
    }

    #[test]
    fn a_link_whose_blob_is_gone_is_no_file() {
        let (_home, folder) = foreign_cache(&[("config.json", "{}"), ("tokenizer.json", "{}")]);
        let digest = BlobDigest::Sha256("ab".repeat(32));
        folder.link(COMMIT, "model.safetensors", &digest).unwrap();
        assert!(folder.find(&model("main")).is_none());
        fs::create_dir_all(folder.blobs()).unwrap();
        fs::write(folder.blob(&digest), "weights").unwrap();
        assert!(folder.find(&model("main")).is_some());
        let link = fs::read_link(folder.snapshot(COMMIT).join("model.safetensors")).unwrap();
        assert_eq!(link, Path::new("../../blobs").join(digest.name()), "relative, so that the cache can be moved");
    }

    #[test]
    fn a_reference_that_holds_no_commit_leads_nowhere() {
        let (_home, folder) = foreign_cache(&[]);
        for content in ["../../../etc", "", "main"] {
            fs::write(folder.reference("main"), content).unwrap();
            assert_eq!(folder.commit_of("main"), None, "{content}");
        }
        folder.write_reference("refs/pr/1", COMMIT).unwrap();
        assert_eq!(folder.references(), [("refs/pr/1".to_owned(), COMMIT.to_owned())]);
    }

    #[test]
    fn a_full_disk_is_told_with_what_to_do() {
        let error = storage_error(Path::new("/models/x"), &ErrorKind::StorageFull.into()).to_string();
        assert!(error.contains("full") && error.contains("HF_HOME") && error.contains("/models/x"), "{error}");
    }
}
