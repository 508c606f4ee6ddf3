//! One fetch of a model at a time: within this process by a mutex, between processes by an advisory lock on a file.
//!
//! Lock files lie where other tools of the hub have theirs, and are locked in the same way (`flock`), so a fetch by another tool waits for
//! ours and ours for it. They are never removed: whoever waits for one may hold it open already.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use ports::RepositoryError;
use tokio::sync::OwnedMutexGuard;

use crate::cache::storage_error;

/// How often a lock that another process holds is tried. A lock that is waited for in a thread could not be given up.
const POLL: Duration = Duration::from_millis(100);

/// The models that are being fetched or removed in this process.
#[derive(Default)]
pub(crate) struct ModelLocks(Mutex<HashMap<PathBuf, Weak<tokio::sync::Mutex<()>>>>);

/// Held while a model's files are written. Given back when it is dropped.
#[expect(dead_code, reason = "what counts is that both are held")]
pub(crate) struct ModelLock {
    in_this_process: OwnedMutexGuard<()>,
    between_processes: FileLock,
}

impl ModelLocks {
    /// Waits until nobody else writes to the model whose lock file this is.
    pub(crate) async fn lock(&self, path: &Path) -> Result<ModelLock, RepositoryError> {
        let in_this_process = self.of(path).lock_owned().await;
        Ok(ModelLock { in_this_process, between_processes: FileLock::wait_for(path).await? })
    }

    fn of(&self, path: &Path) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = locks.get(path).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::default();
        locks.insert(path.to_owned(), Arc::downgrade(&lock));
        lock
    }
}

/// An advisory lock on a file. The system gives it back when the process ends, however it ends.
pub(crate) struct FileLock(#[expect(dead_code, reason = "what counts is that it stays open")] Option<File>);

impl FileLock {
    /// Waits until no other process holds the lock. On a file system without locks there is none.
    pub(crate) async fn wait_for(path: &Path) -> Result<Self, RepositoryError> {
        let failed = |error: std::io::Error| storage_error(path, &error);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let file = File::options().create(true).write(true).truncate(false).open(path).map_err(failed)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(Some(file))),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(POLL).await,
                Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => return Ok(Self(None)),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_second_waits_for_the_first_in_this_process_and_in_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("locks/a.lock");
        let locks = ModelLocks::default();
        let first = locks.lock(&path).await.unwrap();
        let patience = Duration::from_millis(20);
        assert!(tokio::time::timeout(patience, locks.lock(&path)).await.is_err(), "in this process");
        // Another description of the file is to the system what another process is.
        assert!(tokio::time::timeout(patience, FileLock::wait_for(&path)).await.is_err(), "between processes");
        assert!(locks.lock(&folder.path().join("locks/b.lock")).await.is_ok(), "another model does not wait");
        drop(first);
        locks.lock(&path).await.unwrap();
    }
}
