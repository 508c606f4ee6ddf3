//! What is particular to a folder.

use std::ops::Deref;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use adapters_storage::{FileStorage, HmacLinks};
use bytes::Bytes;
use domain::{ObjectKey, Timestamp};
use ports::{ObjectStorage, StoreError};
use tempfile::TempDir;

/// A storage in a folder that goes with it.
pub(crate) struct Folder {
    storage: Arc<dyn ObjectStorage>,
    place: TempDir,
}

impl Deref for Folder {
    type Target = Arc<dyn ObjectStorage>;

    fn deref(&self) -> &Self::Target {
        &self.storage
    }
}

pub(crate) async fn an_empty_folder() -> Folder {
    let place = tempfile::tempdir().unwrap();
    Folder { storage: open(&place.path().join("objects")), place }
}

fn open(path: &Path) -> Arc<dyn ObjectStorage> {
    Arc::new(FileStorage::open(path, Arc::new(HmacLinks::new(&["a secret".into()]))).unwrap())
}

impl Folder {
    fn path(&self, name: &str) -> std::path::PathBuf {
        self.place.path().join("objects").join(name)
    }
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).unwrap()
}

async fn keep(storage: &Arc<dyn ObjectStorage>, name: &str) {
    let mut upload = storage.begin(&key(name), "text/plain").await.unwrap();
    upload.write(Bytes::from_static(b"x")).await.unwrap();
    upload.finish().await.unwrap();
}

fn is_refused<T>(result: Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Corrupt(problem)) if problem.contains("symbolic link"))
}

#[tokio::test]
async fn a_symbolic_link_is_not_followed() {
    let folder = an_empty_folder().await;
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "outside").unwrap();
    symlink(outside.path(), folder.path("folder")).unwrap();
    symlink(outside.path().join("secret"), folder.path("file")).unwrap();
    for name in ["folder/secret", "folder/new", "file"] {
        assert!(is_refused(folder.info(&key(name)).await), "{name}");
        assert!(is_refused(folder.read(&key(name), None).await.map(drop)), "{name}");
        assert!(is_refused(folder.remove(&key(name)).await), "{name}");
        let upload = folder.begin(&key(name), "text/plain").await.unwrap();
        assert!(is_refused(upload.finish().await), "{name}");
    }
    assert_eq!(folder.list(&key("folder"), None, 10).await.map_err(|error| error.to_string().contains("symbolic")), Err(true));
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1, "nothing was written there");
    assert_eq!(std::fs::read_to_string(outside.path().join("secret")).unwrap(), "outside");
}

#[tokio::test]
async fn objects_are_for_their_owner_alone() {
    let folder = an_empty_folder().await;
    keep(&folder, "a/b").await;
    let mode = |name: &str| std::fs::metadata(folder.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("a"), mode("a/b")), (0o700, 0o700, 0o600));
}

#[tokio::test]
async fn what_was_kept_is_there_when_the_folder_is_opened_again() {
    let folder = an_empty_folder().await;
    keep(&folder, "a/b").await;
    assert_eq!(open(&folder.path("")).info(&key("a/b")).await.unwrap().size_bytes, 1);
}

#[tokio::test]
async fn folders_that_hold_nothing_more_go_with_their_last_object() {
    let folder = an_empty_folder().await;
    keep(&folder, "a/b/c/one").await;
    keep(&folder, "a/two").await;
    folder.remove(&key("a/b/c/one")).await.unwrap();
    assert!(!folder.path("a/b").exists() && folder.path("a/two").exists());
    folder.remove(&key("a/two")).await.unwrap();
    assert!(!folder.path("a").exists() && folder.path("").exists());
}

#[tokio::test]
async fn what_a_process_that_died_left_behind_is_no_object_and_is_swept_away() {
    let folder = an_empty_folder().await;
    std::fs::write(folder.path(".uploads/left-behind"), "half").unwrap();
    let upload = folder.begin(&key("new"), "text/plain").await.unwrap();
    assert!(folder.list(&key("new"), None, 10).await.unwrap().is_empty());
    assert!(ObjectKey::parse(".uploads/left-behind").is_err(), "nobody can name it");
    assert_eq!(folder.remove_unfinished(Timestamp::UNIX_EPOCH).await.unwrap(), 0);
    upload.finish().await.unwrap();
    let later = Timestamp::from(std::time::SystemTime::now()) + std::time::Duration::from_mins(1);
    assert_eq!(folder.remove_unfinished(later).await.unwrap(), 1);
    assert_eq!(folder.info(&key("new")).await.unwrap().size_bytes, 0);
    assert_eq!(std::fs::read_dir(folder.path(".uploads")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_folder_is_no_object_and_nothing_lies_below_an_object() {
    let folder = an_empty_folder().await;
    keep(&folder, "folder/object").await;
    for name in ["folder", "folder/object/below"] {
        assert_eq!(folder.info(&key(name)).await, Err(StoreError::NotFound), "{name}");
        assert_eq!(folder.read(&key(name), None).await.map(drop), Err(StoreError::NotFound), "{name}");
    }
}

#[tokio::test]
async fn what_is_no_object_is_not_listed() {
    let folder = an_empty_folder().await;
    keep(&folder, "f/object").await;
    std::fs::write(folder.path("f/.hidden"), "x").unwrap();
    std::fs::write(folder.path("f/not a name"), "x").unwrap();
    symlink("/etc/passwd", folder.path("f/link")).unwrap();
    let listed = folder.list(&key("f"), None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), ["f/object"]);
}
