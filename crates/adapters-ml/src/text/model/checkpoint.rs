//! A model's weights by name, whether they lie in one file or in several.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::LoadError;
use super::safetensors::{TensorLocation, read_header, read_limited};

/// The index of a model of a thousand files stays under this.
const MAX_INDEX_BYTES: u64 = 16 << 20;

/// A model's weights: one file, or several with an index.
#[derive(Debug)]
pub(super) struct Checkpoint {
    folder: PathBuf,
    tensors: BTreeMap<String, TensorLocation>,
}

impl Checkpoint {
    /// Opens `model.safetensors`, or what `model.safetensors.index.json` lists.
    pub(super) fn open(folder: &Path) -> Result<Self, LoadError> {
        let mut tensors = BTreeMap::new();
        for file in weight_files(folder)? {
            for tensor in read_header(&file)? {
                if let Some(twin) = tensors.insert(tensor.name().to_owned(), tensor) {
                    return Err(LoadError::tensor(&file, twin.name(), format!("is also in {}", twin.path().display())));
                }
            }
        }
        Ok(Self { folder: folder.to_owned(), tensors })
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The tensor of this name, which must have this shape and be made of floats.
    pub(super) fn tensor(&self, name: &str, shape: &[usize]) -> Result<&TensorLocation, LoadError> {
        let Some(tensor) = self.tensors.get(name) else {
            return Err(LoadError::tensor(&self.folder, name, format!("is missing; it should have shape {shape:?}")));
        };
        if tensor.shape() != shape {
            let problem = format!("has shape {:?}, config.json demands {shape:?}", tensor.shape());
            return Err(LoadError::tensor(tensor.path(), name, problem));
        }
        if !tensor.is_float() {
            return Err(LoadError::tensor(tensor.path(), name, "must have elements of type F32, F16 or BF16"));
        }
        Ok(tensor)
    }
}

/// The files of weights in a folder, in the order of their names.
pub(super) fn weight_files(folder: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let (single, index) = (folder.join("model.safetensors"), folder.join("model.safetensors.index.json"));
    if single.exists() || !index.exists() { Ok(vec![single]) } else { read_index(&index) }
}

/// The files that an index lists. A name that leads out of the folder is refused.
fn read_index(path: &Path) -> Result<Vec<PathBuf>, LoadError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    const MAX_FILES: usize = 1024;
    let text = read_limited(path, MAX_INDEX_BYTES)?;
    let index: Index = serde_json::from_slice(&text).map_err(|error| LoadError::format(path, error.to_string()))?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    if names.is_empty() || names.len() > MAX_FILES {
        return Err(LoadError::format(path, format!("lists {} files; 1 to {MAX_FILES} are allowed", names.len())));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let is_plain = |name: &str| Path::new(name).file_name().is_some_and(|file_name| file_name == name) && !name.contains('\\');
    match names.iter().find(|name| !is_plain(name)) {
        Some(name) => Err(LoadError::format(path, format!("{name:?} is not the name of a file in this folder"))),
        None => Ok(names.iter().map(|name| folder.join(name)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_leads_out_of_its_folder_is_refused() {
        for name in ["../secret.safetensors", "/etc/passwd", "sub/model.safetensors", "..", ""] {
            let folder = tempfile::tempdir().unwrap();
            let index = serde_json::json!({ "weight_map": { "w": name } });
            std::fs::write(folder.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
            let problem = Checkpoint::open(folder.path()).expect_err("it is refused").to_string();
            assert!(problem.contains("is not the name of a file in this folder"), "{name}: {problem}");
        }
    }
}
