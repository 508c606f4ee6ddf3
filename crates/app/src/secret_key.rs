//! The key that signs access tokens, where no setting gives one: made at the first start and kept in the data folder.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use rand::TryRng as _;
use secrecy::SecretString;
use uuid::Uuid;

use crate::start_error::StartError;

const FILE_NAME: &str = "secret.key";
const KEY_BYTES: usize = 32;

/// The key kept in `data_dir`; a new one of 256 random bits, readable by the owner alone (mode 0600), if there is none.
///
/// The file appears whole or not at all, and of several processes that start at once one makes the key and all use it.
pub(crate) fn load_or_make(data_dir: &Path) -> Result<SecretString, StartError> {
    let path = data_dir.join(FILE_NAME);
    match load(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        loaded => return loaded.map_err(|error| StartError::file(&path, &error)),
    }
    make(data_dir, &path).map_err(|error| StartError::file(&path, &error))?;
    load(&path).map_err(|error| StartError::file(&path, &error))
}

/// Whether a key that is kept in `data_dir` can be used; that there is none is no failure. Writes nothing.
pub(crate) fn check(data_dir: &Path) -> Result<(), StartError> {
    let path = data_dir.join(FILE_NAME);
    match load(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(StartError::file(&path, &error)),
        _ => Ok(()),
    }
}

fn load(path: &Path) -> std::io::Result<SecretString> {
    let text = std::fs::read_to_string(path)?;
    let key = text.trim();
    if key.len() < KEY_BYTES {
        let problem = format!(
            "has {} bytes, at least {KEY_BYTES} are needed: remove it to have a new key made (all users sign in again)",
            key.len()
        );
        return Err(std::io::Error::new(ErrorKind::InvalidData, problem));
    }
    Ok(SecretString::from(key))
}

fn make(data_dir: &Path, path: &Path) -> std::io::Result<()> {
    let mut key = [0; KEY_BYTES];
    rand::rngs::SysRng.try_fill_bytes(&mut key).map_err(std::io::Error::other)?;
    let draft_path = data_dir.join(format!(".{FILE_NAME}.{}", Uuid::new_v4()));
    let written = write_draft(&draft_path, &hex::encode(key)).and_then(|()| {
        // Unlike a rename, a link never replaces the key that another process made meanwhile.
        match std::fs::hard_link(&draft_path, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    });
    let _ = std::fs::remove_file(&draft_path);
    written?;
    File::open(data_dir)?.sync_all()
}

fn write_draft(path: &Path, key: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    writeln!(file, "{key}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_its_owner_alone_can_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let first = load_or_make(folder.path()).unwrap();
        let second = load_or_make(folder.path()).unwrap();
        assert_eq!(first.expose_secret(), second.expose_secret());
        assert_eq!(first.expose_secret().len(), 64);
        let metadata = std::fs::metadata(folder.path().join(FILE_NAME)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left behind");
    }

    #[test]
    fn many_that_start_at_once_use_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let keys: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| load_or_make(folder.path()).unwrap().expose_secret().to_owned())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn a_key_that_was_cut_short_is_refused_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE_NAME), "abc").unwrap();
        let problem = load_or_make(folder.path()).unwrap_err().to_string();
        assert!(problem.contains("secret.key") && !problem.contains("abc"), "{problem}");
    }
}
