//! Objects as files below a folder.
//!
//! An upload is written to a file of its own in `.uploads`, synced, and then renamed to its name, and the folder that names it is synced:
//! so an object is there whole or not at all, also after a power cut. No object's name begins with a dot, so that `.uploads` is nobody's.
//! A name cannot lead out of the folder ([`ObjectKey`]), and a symbolic link below it, which only somebody with access to the disk could
//! have put there, is not followed.

use std::fs::{DirBuilder, File, Metadata};
use std::io::{ErrorKind, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use domain::{ObjectKey, Timestamp};
use futures_util::stream;
use ports::{ObjectBytes, ObjectInfo, ObjectLinks, ObjectStorage, ObjectUpload, StoreError};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use uuid::Uuid;

mod walk;

/// Where uploads lie until they are finished.
const UPLOADS: &str = ".uploads";
/// How much of a file is read at once.
const READ_BYTES: usize = 64 * 1024;
/// A folder may be removed, being empty, between its making and the rename into it; nobody loses that race so often.
const RENAME_ATTEMPTS: usize = 100;

/// Keeps objects below a folder. Copies share it.
#[derive(Clone)]
pub struct FileStorage {
    root: Arc<Path>,
    links: Arc<dyn ObjectLinks>,
}

impl FileStorage {
    /// Keeps objects below this folder, which is made, for its owner alone, if it is not there. Blocks; meant for the start.
    pub fn open(root: &Path, links: Arc<dyn ObjectLinks>) -> std::io::Result<Self> {
        make_folders(&root.join(UPLOADS))?;
        Ok(Self { root: root.canonicalize()?.into(), links })
    }

    /// The file of an object. Fails where a symbolic link lies on the way to it.
    fn path(&self, key: &ObjectKey) -> Result<PathBuf, StoreError> {
        let mut path = self.root.to_path_buf();
        for segment in key.as_str().split('/') {
            path.push(segment);
            match std::fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_symlink() => {
                    return Err(StoreError::Corrupt(format!("{} is a symbolic link", path.display())));
                }
                Ok(_) => {}
                Err(error) if is_missing(&error) => {}
                Err(error) => return Err(store_error(&error)),
            }
        }
        Ok(path)
    }

    async fn open_object(&self, key: &ObjectKey) -> Result<(tokio::fs::File, Metadata), StoreError> {
        let (storage, key) = (self.clone(), key.clone());
        blocking(move || {
            let file = File::open(storage.path(&key)?).map_err(|error| store_error(&error))?;
            let metadata = file.metadata().map_err(|error| store_error(&error))?;
            if metadata.is_file() { Ok((file.into(), metadata)) } else { Err(StoreError::NotFound) }
        })
        .await
    }
}

#[async_trait]
impl ObjectStorage for FileStorage {
    fn settings(&self) -> &'static str {
        "STORAGE and DATA_DIR"
    }

    async fn begin(&self, key: &ObjectKey, _content_type: &'static str) -> Result<Box<dyn ObjectUpload>, StoreError> {
        let draft = Draft(self.root.join(UPLOADS).join(Uuid::new_v4().to_string()));
        let options = tokio::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft.0).await;
        let file = options.map_err(|error| store_error(&error))?;
        Ok(Box::new(FileUpload { storage: self.clone(), key: key.clone(), file, draft, size_bytes: 0 }))
    }

    async fn info(&self, key: &ObjectKey) -> Result<ObjectInfo, StoreError> {
        let (_, metadata) = self.open_object(key).await?;
        Ok(info(key.clone(), &metadata))
    }

    async fn read(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<ObjectBytes, StoreError> {
        let (mut file, metadata) = self.open_object(key).await?;
        let range = range.unwrap_or(0..metadata.len());
        if range.start > 0 {
            file.seek(SeekFrom::Start(range.start)).await.map_err(|error| store_error(&error))?;
        }
        let left = file.take(range.end.saturating_sub(range.start));
        let pieces = stream::try_unfold(left, async |mut left| {
            let mut piece = BytesMut::with_capacity(READ_BYTES);
            let read = left.read_buf(&mut piece).await.map_err(|error| store_error(&error))?;
            Ok((read > 0).then(|| (piece.freeze(), left)))
        });
        Ok(Box::pin(pieces))
    }

    async fn remove(&self, key: &ObjectKey) -> Result<(), StoreError> {
        let (storage, key) = (self.clone(), key.clone());
        blocking(move || {
            let path = storage.path(&key)?;
            match std::fs::remove_file(&path) {
                Ok(()) => sync_folder(path.parent().unwrap_or(&storage.root)),
                Err(error) if is_missing(&error) => return Ok(()),
                Err(error) => Err(error),
            }
            .map_err(|error| store_error(&error))?;
            // The system refuses to remove a folder that holds anything, and that is where it ends.
            let above = path.ancestors().skip(1).take_while(|folder| *folder != &*storage.root);
            above.map(std::fs::remove_dir).take_while(Result::is_ok).for_each(drop);
            Ok(())
        })
        .await
    }

    async fn list(&self, folder: &ObjectKey, after: Option<ObjectKey>, limit: u32) -> Result<Vec<ObjectInfo>, StoreError> {
        let (storage, folder) = (self.clone(), folder.clone());
        blocking(move || {
            let path = storage.path(&folder)?;
            walk::objects(&path, &folder, after.as_ref(), limit as usize).map_err(|error| store_error(&error))
        })
        .await
    }

    async fn signed_url(&self, key: &ObjectKey, now: Timestamp, lifetime: Duration) -> Result<String, StoreError> {
        let expires_at = now + lifetime;
        let signature = self.links.sign(key, expires_at);
        Ok(format!("/objects/{key}?expires={}&signature={signature}", expires_at.timestamp()))
    }

    async fn remove_unfinished(&self, before: Timestamp) -> Result<u64, StoreError> {
        let uploads = self.root.join(UPLOADS);
        blocking(move || {
            let mut removed = 0;
            for entry in std::fs::read_dir(uploads).map_err(|error| store_error(&error))? {
                let entry = entry.map_err(|error| store_error(&error))?;
                // An upload that ends meanwhile takes its file away.
                let Ok(metadata) = entry.metadata() else { continue };
                if modified_at(&metadata) < before && std::fs::remove_file(entry.path()).is_ok() {
                    removed += 1;
                }
            }
            Ok(removed)
        })
        .await
    }
}

/// A file that is removed when this is dropped.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        // Once it has its name, there is none to remove.
        let _ = std::fs::remove_file(&self.0);
    }
}

struct FileUpload {
    storage: FileStorage,
    key: ObjectKey,
    file: tokio::fs::File,
    draft: Draft,
    size_bytes: u64,
}

#[async_trait]
impl ObjectUpload for FileUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.size_bytes += bytes.len() as u64;
        self.file.write_all(&bytes).await.map_err(|error| store_error(&error))
    }

    async fn finish(self: Box<Self>) -> Result<u64, StoreError> {
        let Self { storage, key, mut file, draft, size_bytes } = *self;
        file.flush().await.map_err(|error| store_error(&error))?;
        file.sync_all().await.map_err(|error| store_error(&error))?;
        blocking(move || {
            let path = storage.path(&key)?;
            rename_into_place(&draft.0, &path).map_err(|error| store_error(&error))
        })
        .await?;
        Ok(size_bytes)
    }
}

fn rename_into_place(draft: &Path, path: &Path) -> std::io::Result<()> {
    let folder = path.parent().ok_or_else(|| std::io::Error::from(ErrorKind::InvalidInput))?;
    let mut attempt = 1;
    loop {
        match make_folders(folder).and_then(|()| std::fs::rename(draft, path)) {
            Ok(()) => return sync_folder(folder),
            Err(error) if error.kind() == ErrorKind::NotFound && attempt < RENAME_ATTEMPTS => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Makes a folder and those above it, each for its owner alone, and syncs the folder that names a new one.
fn make_folders(folder: &Path) -> std::io::Result<()> {
    let create = || DirBuilder::new().mode(0o700).create(folder);
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let attempt = match create() {
        Err(error) if error.kind() == ErrorKind::NotFound => make_folders(above).and_then(|()| create()),
        done => done,
    };
    match attempt {
        Ok(()) => sync_folder(above),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    match File::open(folder) {
        Ok(folder) => folder.sync_all(),
        // It was removed meanwhile, being empty; there is nothing in it to keep.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn info(key: ObjectKey, metadata: &Metadata) -> ObjectInfo {
    ObjectInfo { key, size_bytes: metadata.len(), modified_at: modified_at(metadata) }
}

fn modified_at(metadata: &Metadata) -> Timestamp {
    metadata.modified().map(Timestamp::from).unwrap_or_default()
}

/// Whether there is no such file: also where a file lies in the place of a folder on the way to it.
fn is_missing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn store_error(error: &std::io::Error) -> StoreError {
    match error.kind() {
        _ if is_missing(error) => StoreError::NotFound,
        ErrorKind::IsADirectory | ErrorKind::PermissionDenied => StoreError::Corrupt(error.to_string()),
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// The disk may make a thread wait; those of the requests must not.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, StoreError> + Send + 'static) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|failure| Err(StoreError::Corrupt(format!("a call of the disk did not end: {failure}"))))
}
