//! Removes a model, and what of its files no other revision uses.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ports::{HubModel, RepositoryError};

use crate::cache::{ModelFolder, names_in, storage_error};

/// Removes a model from one cache. Answers whether there was anything of it. The caller holds the model's lock; blocks.
///
/// The revision goes, and the snapshot unless another revision means the same commit, and then every blob that no snapshot is left to
/// use. A commit named by itself goes with all revisions that mean it. Of a model that never came whole, everything goes.
pub(crate) fn remove(folder: &ModelFolder, model: &HubModel) -> Result<bool, RepositoryError> {
    if !folder.path().is_dir() {
        return Ok(false);
    }
    let Some(found) = folder.find(model) else { return remove_leftovers(folder) };
    for (revision, commit) in folder.references() {
        if revision == model.revision || (model.revision == found.commit && commit == found.commit) {
            done(&folder.reference(&revision), fs::remove_file)?;
        }
    }
    if !folder.references().iter().any(|(_, commit)| *commit == found.commit) {
        done(&found.folder, fs::remove_dir_all)?;
    }
    if folder.commits().is_empty() {
        return done(&folder.path(), fs::remove_dir_all).map(|()| true);
    }
    let used = used_blobs(folder);
    for name in names_in(&folder.blobs()) {
        let is_unfinished = name.ends_with(".incomplete");
        if !is_unfinished && !used.contains(&name) {
            done(&folder.blobs().join(name), fs::remove_file)?;
        }
    }
    Ok(true)
}

/// Removes what a fetch left that did not come to its end, unless there is a whole model beside it.
fn remove_leftovers(folder: &ModelFolder) -> Result<bool, RepositoryError> {
    if !folder.references().is_empty() || !folder.commits().is_empty() || names_in(&folder.blobs()).is_empty() {
        return Ok(false);
    }
    done(&folder.path(), fs::remove_dir_all).map(|()| true)
}

/// The names of all blobs that a snapshot links to.
fn used_blobs(folder: &ModelFolder) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let mut open: Vec<PathBuf> = folder.commits().iter().map(|commit| folder.snapshot(commit)).collect();
    while let Some(place) = open.pop() {
        for name in names_in(&place) {
            let path = place.join(name);
            match fs::read_link(&path) {
                Ok(target) => used.extend(target.file_name().and_then(|name| name.to_str()).map(str::to_owned)),
                // Other tools fetch folders too.
                Err(_) if path.is_dir() => open.push(path),
                Err(_) => {}
            }
        }
    }
    used
}

/// What is gone already needs no removing.
fn done<'a>(path: &'a Path, remove: impl FnOnce(&'a Path) -> io::Result<()>) -> Result<(), RepositoryError> {
    match remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(storage_error(path, &error)),
        _ => Ok(()),
    }
}
