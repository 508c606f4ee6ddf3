//! The SHA-256 digest of a model's weights, which says that two folders hold the same model.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use super::LoadError;
use super::checkpoint::weight_files;

/// Computes the digest of the weights in `folder`, in hexadecimal. For one file it is the file's own; for several it is the digest of a line
/// `NAME DIGEST` for each, in the names' order. Reads every byte, some 1 to 2 GB a second, unless `cache_dir` remembers a file of the same path,
/// size and time of change.
pub fn weights_digest(folder: &Path, cache_dir: Option<&Path>) -> Result<String, LoadError> {
    let files = weight_files(folder)?;
    let digests = files.iter().map(|file| file_digest(file, cache_dir)).collect::<Result<Vec<_>, _>>()?;
    if let [only] = digests.as_slice() {
        return Ok(only.clone());
    }
    let mut all = Sha256::new();
    for (file, digest) in files.iter().zip(&digests) {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        all.update(format!("{name} {digest}\n"));
    }
    Ok(hex::encode(all.finalize()))
}

/// The digest of the weights in `folder`, if `cache_dir` remembers it. Reads no weights.
pub fn known_digest(folder: &Path, cache_dir: &Path) -> Option<String> {
    let files = weight_files(folder).ok()?;
    files
        .iter()
        .all(|file| state(file).is_ok_and(|state| recall(&remembered(cache_dir, file), &state).is_some()))
        .then(|| weights_digest(folder, Some(cache_dir)).ok())?
}

/// Remembers in `cache_dir` the digest of the weights in `folder`, if they are one file.
pub fn remember_digest(folder: &Path, cache_dir: &Path, digest: &str) {
    if let Ok([file]) = weight_files(folder).as_deref()
        && let Ok(state) = state(file)
    {
        remember(&remembered(cache_dir, file), &state, digest);
    }
}

/// What tells that a file has not changed.
fn state(path: &Path) -> std::io::Result<String> {
    let metadata = std::fs::metadata(path)?;
    let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    Ok(format!("{} {}", metadata.len(), changed.as_nanos()))
}

fn file_digest(path: &Path, cache_dir: Option<&Path>) -> Result<String, LoadError> {
    let unreadable = |source| LoadError::unreadable(path, source);
    let mut file = File::open(path).map_err(unreadable)?;
    let state = state(path).map_err(unreadable)?;
    let memory = cache_dir.map(|folder| remembered(folder, path));
    if let Some(digest) = memory.as_deref().and_then(|memory| recall(memory, &state)) {
        return Ok(digest);
    }
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let length = file.read(&mut buffer).map_err(unreadable)?;
        match buffer.get(..length) {
            Some(bytes) if !bytes.is_empty() => hash.update(bytes),
            _ => break,
        }
    }
    let digest = hex::encode(hash.finalize());
    if let Some(memory) = memory {
        remember(&memory, &state, &digest);
    }
    Ok(digest)
}

/// Where the digest of the file at `path` is kept.
fn remembered(cache_dir: &Path, path: &Path) -> PathBuf {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = hex::encode(Sha256::digest(path.as_os_str().as_encoded_bytes()));
    cache_dir.join(format!("{name}.sha256"))
}

fn recall(memory: &Path, state: &str) -> Option<String> {
    let text = std::fs::read_to_string(memory).ok()?;
    let digest = text.strip_prefix(state)?.trim();
    (digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| digest.to_owned())
}

/// Keeps a digest. What cannot be kept is computed again next time.
fn remember(memory: &Path, state: &str, digest: &str) {
    let unfinished = memory.with_extension(format!("{}.part", std::process::id()));
    let written = memory
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(&unfinished, format!("{state} {digest}\n")));
    if let Err(error) = written.and_then(|()| std::fs::rename(&unfinished, memory)) {
        tracing::debug!(path = %memory.display(), %error, "a digest was not kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_file_has_its_own_digest_and_it_is_remembered_until_the_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (file, cache) = (folder.path().join("model.safetensors"), folder.path().join("cache"));
        std::fs::write(&file, "abc").unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(weights_digest(folder.path(), Some(&cache)).unwrap(), abc);
        let memory = remembered(&cache, &file);
        let text = std::fs::read_to_string(&memory).unwrap();
        std::fs::write(&memory, text.replace("ba78", "0000")).unwrap();
        assert!(weights_digest(folder.path(), Some(&cache)).unwrap().starts_with("0000"), "it was read again");
        std::fs::write(&file, "abcd").unwrap();
        assert!(weights_digest(folder.path(), Some(&cache)).unwrap().starts_with("88d4266f"));
    }
}
