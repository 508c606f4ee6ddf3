//! Finds what the binary needs beside itself, so that it runs without a setting from any directory.
//!
//! Searched in this order, the settings `ORT_DYLIB_PATH` and `BUNDLED_MODELS_DIR` first of all:
//! 1. where the program lies, and `../lib`, `../share/tertulia/models` from there: an unpacked release or an installed package;
//! 2. the project around `target/<profile>/`, wherever it was moved to;
//! 3. the project the program was built from.

use std::path::{Path, PathBuf};

use crate::start_error::StartError;

/// Versions that the project fetches (`scripts/fetch-onnxruntime.sh`), then whatever a package manager installed.
#[cfg(target_os = "macos")]
const LIBRARY_NAMES: [&str; 3] = ["libonnxruntime.1.31.1.dylib", "libonnxruntime.1.30.0.dylib", "libonnxruntime.dylib"];
#[cfg(not(target_os = "macos"))]
const LIBRARY_NAMES: [&str; 3] = ["libonnxruntime.so.1.31.1", "libonnxruntime.so.1.30.0", "libonnxruntime.so"];

/// ONNX Runtime's shared library.
pub(crate) fn onnxruntime(setting: Option<&Path>) -> Result<PathBuf, StartError> {
    if let Some(path) = setting {
        let problem = || StartError::Model(format!("ORT_DYLIB_PATH: {} is not a file", path.display()));
        return path.is_file().then(|| path.to_owned()).ok_or_else(problem);
    }
    let mut folders = Vec::new();
    if let Some(program) = program_folder() {
        folders.extend([program.clone(), program.join("../lib")]);
    }
    folders.extend(projects().iter().map(|project| project.join(".cache/onnxruntime/lib")));
    let candidates = folders.iter().flat_map(|folder| LIBRARY_NAMES.map(|name| folder.join(name)));
    first_existing(candidates).ok_or_else(|| {
        let hint = "run `make setup` to fetch it, or set ORT_DYLIB_PATH";
        StartError::Model(format!("ONNX Runtime's library {} is not in {}: {hint}", LIBRARY_NAMES[0], listed(&folders)))
    })
}

/// The folder whose subfolders are the `bundled:` models.
pub(crate) fn bundled_models(setting: Option<&Path>) -> Result<PathBuf, StartError> {
    if let Some(path) = setting {
        let problem = || StartError::Model(format!("BUNDLED_MODELS_DIR: {} is not a folder", path.display()));
        return path.is_dir().then(|| path.to_owned()).ok_or_else(problem);
    }
    let mut folders = Vec::new();
    if let Some(program) = program_folder() {
        folders.extend([program.join("models"), program.join("../share/tertulia/models")]);
    }
    folders.extend(projects().iter().map(|project| project.join("models")));
    first_existing(folders.iter().cloned()).ok_or_else(|| {
        let hint = "set BUNDLED_MODELS_DIR to the project's folder `models`";
        StartError::Model(format!("the bundled models are not in {}: {hint}", listed(&folders)))
    })
}

fn program_folder() -> Option<PathBuf> {
    // A link in ~/bin leads to where the program really lies.
    let program = std::env::current_exe().ok()?;
    let program = program.canonicalize().unwrap_or(program);
    program.parent().map(Path::to_owned)
}

fn projects() -> Vec<PathBuf> {
    let around_target = program_folder().map(|folder| folder.join("../.."));
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    around_target.into_iter().chain([built_from]).collect()
}

fn first_existing(mut candidates: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    candidates.find(|path| path.exists()).map(|path| path.canonicalize().unwrap_or(path))
}

fn listed(folders: &[PathBuf]) -> String {
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_binary_finds_the_project_it_was_built_from() {
        let models = bundled_models(None).unwrap();
        assert!(models.join("fairy-tales/config.json").is_file());
    }

    #[test]
    fn a_setting_that_leads_nowhere_is_not_replaced_by_the_search() {
        let nowhere = Path::new("/nowhere");
        assert!(onnxruntime(Some(nowhere)).unwrap_err().to_string().contains("ORT_DYLIB_PATH: /nowhere"));
        assert!(bundled_models(Some(nowhere)).unwrap_err().to_string().contains("BUNDLED_MODELS_DIR: /nowhere"));
    }
}
