//! Which of a repository's files are fetched: those that the engine reads, and no other.
//!
//! Weights are taken from safetensors alone. `pytorch_model.bin` and its like are pickles, and reading a pickle can run code.

use std::collections::{BTreeMap, BTreeSet};

use ports::RepositoryError;
use serde::Deserialize;

use crate::digest::BlobDigest;
use crate::names::is_plain_weights_name;

pub(crate) const CONFIG: &str = "config.json";
pub(crate) const TOKENIZER: &str = "tokenizer.json";
pub(crate) const WEIGHTS: &str = "model.safetensors";
pub(crate) const WEIGHTS_INDEX: &str = "model.safetensors.index.json";
/// What is taken along where it is there.
const OPTIONAL: [&str; 4] = ["generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"];

/// The largest `config.json` that is read.
const MAX_CONFIG_BYTES: u64 = 1 << 20;
/// The largest index that is read.
pub(crate) const MAX_INDEX_BYTES: u64 = 16 << 20;
/// Tokenizers of the largest vocabularies have some 40 MB.
const MAX_SMALL_FILE_BYTES: u64 = 256 << 20;
/// The most files that weights may be split into.
const MAX_SHARDS: usize = 1024;

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteFile {
    /// Where it lies in the repository. It cannot lead out of there.
    pub(crate) path: String,
    pub(crate) size_bytes: u64,
    pub(crate) digest: BlobDigest,
}

/// The files of a repository at one commit, by their paths.
#[derive(Debug, Default)]
pub(crate) struct Listing(BTreeMap<String, RemoteFile>);

impl Listing {
    pub(crate) fn insert(&mut self, file: RemoteFile) {
        self.0.insert(file.path.clone(), file);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// What says which kind of model it is.
    pub(crate) fn config(&self, repository: &str) -> Result<&RemoteFile, RepositoryError> {
        match self.0.get(CONFIG) {
            Some(file) => small(file, MAX_CONFIG_BYTES),
            None => Err(unsupported(repository, "it has no config.json, so it is no model of text in the hub's usual layout")),
        }
    }

    /// The weights: one file, or the index of several.
    pub(crate) fn weights(&self, repository: &str) -> Result<Weights<'_>, RepositoryError> {
        if let Some(file) = self.0.get(WEIGHTS) {
            return Ok(Weights::File(file));
        }
        if let Some(index) = self.0.get(WEIGHTS_INDEX) {
            return Ok(Weights::Index(small(index, MAX_INDEX_BYTES)?));
        }
        let pickles = [".bin", ".pt", ".pth", ".ckpt", ".pkl"];
        let pickle = self.0.keys().find(|path| pickles.iter().any(|ending| path.ends_with(ending)));
        let problem = match pickle {
            Some(path) => format!(
                "its weights are a pickle ({path}), which could run code when it is read; look for a copy with {WEIGHTS}, or convert it"
            ),
            None => format!("it has neither {WEIGHTS} nor {WEIGHTS_INDEX}"),
        };
        Err(unsupported(repository, &problem))
    }

    /// The files that an index names, each once.
    pub(crate) fn shards(&self, repository: &str, index: &[u8]) -> Result<Vec<&RemoteFile>, RepositoryError> {
        #[derive(Deserialize)]
        struct Index {
            weight_map: BTreeMap<String, String>,
        }
        let broken = |problem: String| RepositoryError::Corrupt(format!("{WEIGHTS_INDEX} of {repository}: {problem}"));
        let index: Index = serde_json::from_slice(index).map_err(|error| broken(error.to_string()))?;
        let names: BTreeSet<&str> = index.weight_map.values().map(String::as_str).collect();
        if !(1..=MAX_SHARDS).contains(&names.len()) {
            return Err(broken(format!("it lists {} files; 1 to {MAX_SHARDS} are allowed", names.len())));
        }
        let found = |name: &str| {
            if !is_plain_weights_name(name) {
                return Err(broken(format!("{name:?} is not the name of a file of weights beside it")));
            }
            self.0.get(name).ok_or_else(|| broken(format!("{name:?} is not in the repository")))
        };
        names.into_iter().map(found).collect()
    }

    /// Everything beside the configuration and the weights. What must be there comes last.
    pub(crate) fn companions(&self, repository: &str) -> Result<Vec<&RemoteFile>, RepositoryError> {
        let optional = OPTIONAL.iter().filter_map(|name| self.0.get(*name));
        let tokenizer = self.0.get(TOKENIZER).ok_or_else(|| {
            unsupported(repository, "it has no tokenizer.json; look for a copy of the model that was saved with a fast tokenizer")
        })?;
        optional.chain([tokenizer]).map(|file| small(file, MAX_SMALL_FILE_BYTES)).collect()
    }
}

/// How a model's weights are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Weights<'a> {
    /// In one file.
    File(&'a RemoteFile),
    /// In several, which this one names.
    Index(&'a RemoteFile),
}

/// Why a repository holds nothing that can run here.
pub(crate) fn unsupported(repository: &str, problem: &str) -> RepositoryError {
    RepositoryError::Unsupported(format!("{repository} cannot run here: {problem}"))
}

fn small(file: &RemoteFile, limit_bytes: u64) -> Result<&RemoteFile, RepositoryError> {
    if file.size_bytes <= limit_bytes {
        return Ok(file);
    }
    let RemoteFile { path, size_bytes, .. } = file;
    Err(RepositoryError::Unsupported(format!("{path} has {size_bytes} bytes; {limit_bytes} are allowed")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(files: &[(&str, u64)]) -> Listing {
        let mut listing = Listing::default();
        for (path, size_bytes) in files {
            let digest = BlobDigest::Git("0".repeat(40));
            listing.insert(RemoteFile { path: (*path).to_owned(), size_bytes: *size_bytes, digest });
        }
        listing
    }

    fn paths(files: &[&RemoteFile]) -> Vec<String> {
        files.iter().map(|file| file.path.clone()).collect()
    }

    #[test]
    fn only_what_the_engine_reads_is_chosen() {
        let listing = listing(&[
            ("config.json", 10),
            ("README.md", 10),
            ("chat_template.jinja", 10),
            ("tokenizer.json", 10),
            ("tokenizer_config.json", 10),
            ("pytorch_model.bin", 10),
            ("onnx/model.onnx", 10),
            ("model.safetensors", 10),
            ("model.safetensors.index.json", 10),
        ]);
        let companions = listing.companions("x").unwrap();
        assert_eq!(paths(&companions), ["tokenizer_config.json", "chat_template.jinja", "tokenizer.json"]);
        assert!(matches!(listing.weights("x").unwrap(), Weights::File(file) if file.path == "model.safetensors"));
    }

    #[test]
    fn the_index_decides_which_shards_are_fetched() {
        let listing = listing(&[("a.safetensors", 1), ("b.safetensors", 1), ("old.safetensors", 1)]);
        let index = br#"{"weight_map": {"x": "b.safetensors", "y": "a.safetensors", "z": "b.safetensors"}}"#;
        assert_eq!(paths(&listing.shards("x", index).unwrap()), ["a.safetensors", "b.safetensors"]);
    }

    #[test]
    fn an_index_that_leads_elsewhere_is_refused() {
        let listing = listing(&[("a.safetensors", 1), ("../b.safetensors", 1)]);
        for name in ["../b.safetensors", "/etc/passwd", "sub\\\\a.safetensors", "absent.safetensors", "a.bin"] {
            let index = format!(r#"{{"weight_map": {{"x": "{name}"}}}}"#);
            assert!(matches!(listing.shards("x", index.as_bytes()), Err(RepositoryError::Corrupt(_))), "{name}");
        }
        for index in ["{}", r#"{"weight_map": {}}"#, "no json"] {
            assert!(matches!(listing.shards("x", index.as_bytes()), Err(RepositoryError::Corrupt(_))), "{index}");
        }
    }

    #[test]
    fn a_pickle_is_refused_by_its_name() {
        let error = listing(&[("config.json", 1), ("pytorch_model.bin", 1)]).weights("org/old").unwrap_err();
        assert!(matches!(&error, RepositoryError::Unsupported(told) if told.contains("pytorch_model.bin")), "{error}");
    }

    #[test]
    fn a_file_that_is_far_too_large_for_what_it_is_is_refused() {
        let listing = listing(&[("config.json", 2 << 20), ("tokenizer.json", 1 << 30)]);
        assert!(matches!(listing.config("x"), Err(RepositoryError::Unsupported(_))));
        assert!(matches!(listing.companions("x"), Err(RepositoryError::Unsupported(_))));
    }
}
