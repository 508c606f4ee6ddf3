//! Fetches one file: into `DIGEST.incomplete`, from where an earlier fetch broke off, then checked and renamed to `DIGEST`.
//!
//! Nothing is trusted: more bytes than announced end the fetch at once, and what has another size or digest is thrown away.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::BytesMut;
use ports::{HubModel, RepositoryError};
use reqwest::header::{CONTENT_RANGE, HeaderMap};
use reqwest::{Response, StatusCode, Url};

use crate::cache::{ModelFolder, storage_error, sync_folder};
use crate::client::{Failure, HubClient};
use crate::digest::Hasher;
use crate::lock::{FileLock, ModelLock};
use crate::progress::Progress;
use crate::selection::RemoteFile;

/// So much is written, and hashed, in one piece away from the async threads.
const WRITE_BYTES: usize = 1 << 20;
/// A try that brought so much counts as none that failed: a long fetch over a bad line comes to its end, a hopeless one is given up.
const WORTHWHILE_BYTES: u64 = 1 << 20;
/// A file that came wrong is fetched once more; the second time it is the hub that is wrong.
const TRIES_AT_A_DIGEST: usize = 2;

/// What the fetch of any file of a model needs.
pub(crate) struct BlobFetcher<'a> {
    pub(crate) client: &'a HubClient,
    pub(crate) folder: &'a ModelFolder,
    pub(crate) model: &'a HubModel,
    pub(crate) commit: &'a str,
    pub(crate) lock: Arc<ModelLock>,
}

/// What stopped one try.
enum Stop {
    /// Trying again may help, from where it stopped.
    Broke(Failure),
    /// The bytes are not those that were announced.
    Wrong(String),
    /// Nothing helps.
    Error(RepositoryError),
}

impl From<RepositoryError> for Stop {
    fn from(error: RepositoryError) -> Self {
        Self::Error(error)
    }
}

impl BlobFetcher<'_> {
    /// Sees to it that a file is among the blobs, whole and checked.
    pub(crate) async fn fetch(&self, file: &RemoteFile, progress: &mut Progress) -> Result<(), RepositoryError> {
        let place = self.folder.blob(&file.digest);
        let is_here = || fs::metadata(&place).is_ok_and(|data| data.is_file() && data.len() == file.size_bytes);
        if !is_here() {
            let lock = FileLock::wait_for(&self.folder.blob_lock_path(&file.digest)).await?;
            let locks = Arc::new((Arc::clone(&self.lock), lock));
            // Another tool may have fetched it meanwhile.
            if !is_here() {
                self.fetch_checked(file, &locks, progress).await?;
            }
        }
        progress.finished(&file.path, file.size_bytes);
        Ok(())
    }

    async fn fetch_checked(&self, file: &RemoteFile, locks: &Locks, progress: &Progress) -> Result<(), RepositoryError> {
        let mut problem = String::new();
        for _ in 0..TRIES_AT_A_DIGEST {
            match self.fetch_through_breaks(file, locks, progress).await? {
                None => return Ok(()),
                Some(wrong) => {
                    tracing::warn!(file = file.path, repository = self.model.repository, wrong, "what came was thrown away");
                    problem = wrong;
                }
            }
        }
        let (path, repository) = (&file.path, &self.model.repository);
        let told =
            format!("{path} of {repository} came {TRIES_AT_A_DIGEST} times as something else: {problem}; it was thrown away");
        Err(RepositoryError::Corrupt(told))
    }

    /// Fetches until it is all there, through as many breaks as are tried. Answers what is wrong with it, if anything is.
    async fn fetch_through_breaks(
        &self,
        file: &RemoteFile,
        locks: &Locks,
        progress: &Progress,
    ) -> Result<Option<String>, RepositoryError> {
        let url = self.client.file_url(self.model, self.commit, &file.path);
        let mut partial = Partial::open(self.folder, file, locks).await?;
        let mut failures = 0;
        while partial.length < file.size_bytes {
            progress.at(&file.path, partial.length);
            let before = partial.length;
            let (after, stop) = self.fetch_some(partial, &url, file, progress).await;
            let Some(kept) = after else {
                return Err(RepositoryError::Storage(format!("writing {} broke down", file.path)));
            };
            partial = kept;
            match stop {
                None => {}
                Some(Stop::Wrong(wrong)) => {
                    partial.throw_away()?;
                    return Ok(Some(wrong));
                }
                Some(Stop::Error(error)) => return Err(error),
                Some(Stop::Broke(failure)) => {
                    let gained = partial.length.saturating_sub(before);
                    failures = if gained >= WORTHWHILE_BYTES { 1 } else { failures + 1 };
                    let what = format!("{} of {}", file.path, self.model.repository);
                    self.client.wait(failure, failures, &what).await?;
                }
            }
        }
        partial.finish().await
    }

    /// One try. Gives the file back, unless the thread that wrote to it broke down.
    async fn fetch_some(
        &self,
        mut partial: Partial,
        url: &Url,
        file: &RemoteFile,
        progress: &Progress,
    ) -> (Option<Partial>, Option<Stop>) {
        let mut response = match self.client.open(url, partial.length, self.model).await {
            Ok(response) => response,
            Err(Failure::Final(error)) => return (Some(partial), Some(Stop::Error(error))),
            Err(failure) => return (Some(partial), Some(Stop::Broke(failure))),
        };
        if let Err(stop) = partial.agree_on_a_start(&response) {
            return (Some(partial), Some(stop));
        }
        let mut unwritten = BytesMut::new();
        loop {
            let (is_last, stop) = match response.chunk().await {
                Ok(Some(part)) => {
                    unwritten.extend_from_slice(&part);
                    (false, None)
                }
                Ok(None) => (true, None),
                Err(error) => (true, Some(Stop::Broke(Failure::of_transport(error)))),
            };
            let here = partial.length.saturating_add(u64::try_from(unwritten.len()).unwrap_or(u64::MAX));
            if here > file.size_bytes {
                let wrong = format!("it has more than the {} bytes that were announced", file.size_bytes);
                return (Some(partial), Some(Stop::Wrong(wrong)));
            }
            if is_last || unwritten.len() >= WRITE_BYTES {
                match partial.append(unwritten.split()).await {
                    Ok((written, Ok(()))) => partial = written,
                    Ok((written, Err(error))) => return (Some(written), Some(Stop::Error(error))),
                    Err(()) => return (None, None),
                }
                progress.at(&file.path, partial.length);
            }
            if is_last {
                let ended_early = || Stop::Broke(Failure::temporary("the response ended too early"));
                return (Some(partial), stop.or_else(|| (here < file.size_bytes).then(ended_early)));
            }
        }
    }
}

/// What is held while a blob is written. The thread that writes holds it too: were it given back when the fetch is dropped, another
/// fetch could begin before the last write has ended.
type Locks = Arc<(Arc<ModelLock>, FileLock)>;

/// What has come of a file so far.
struct Partial {
    file: File,
    hasher: Hasher,
    length: u64,
    path: PathBuf,
    finished_path: PathBuf,
    wanted: RemoteFile,
    _locks: Locks,
}

impl Partial {
    /// Takes up what an earlier fetch left, or begins anew. Reads, and hashes, all that is there.
    async fn open(folder: &ModelFolder, wanted: &RemoteFile, locks: &Locks) -> Result<Self, RepositoryError> {
        let (blobs, finished_path) = (folder.blobs(), folder.blob(&wanted.digest));
        let path = blobs.join(format!("{}.incomplete", wanted.digest.name()));
        let (wanted, locks) = (wanted.clone(), Arc::clone(locks));
        let opened = blocking(move || {
            let failed = |error: io::Error| storage_error(&path, &error);
            fs::create_dir_all(&blobs).map_err(failed)?;
            let file = File::options().create(true).read(true).write(true).truncate(false).open(&path).map_err(failed)?;
            let hasher = Hasher::new(&wanted.digest, wanted.size_bytes);
            let mut partial = Self { file, hasher, length: 0, path: path.clone(), finished_path, wanted, _locks: locks };
            partial.take_up().map_err(failed)?;
            Ok(partial)
        });
        opened.await.unwrap_or_else(|()| Err(RepositoryError::Storage("reading what has come broke down".to_owned())))
    }

    fn take_up(&mut self) -> io::Result<()> {
        if self.file.metadata()?.len() > self.wanted.size_bytes {
            return self.begin_anew();
        }
        let mut buffer = vec![0; WRITE_BYTES];
        loop {
            let length = self.file.read(&mut buffer)?;
            match buffer.get(..length) {
                Some(bytes) if !bytes.is_empty() && self.length <= self.wanted.size_bytes => self.count(bytes),
                _ => return Ok(()),
            }
        }
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.hasher = Hasher::new(&self.wanted.digest, self.wanted.size_bytes);
        self.length = 0;
        Ok(())
    }

    fn count(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.length = self.length.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }

    /// Reads from a response's head where its bytes begin, and begins anew where that is at the start.
    fn agree_on_a_start(&mut self, response: &Response) -> Result<(), Stop> {
        let length = self.length;
        let (begins_at, total) = match response.status() {
            StatusCode::PARTIAL_CONTENT => content_range(response.headers()).unwrap_or((u64::MAX, None)),
            // What has come reaches beyond what the server has, or the server knows no such range.
            StatusCode::RANGE_NOT_SATISFIABLE => (u64::MAX, None),
            _ => (0, response.content_length()),
        };
        if let Some(total) = total.filter(|total| *total != self.wanted.size_bytes) {
            let announced = self.wanted.size_bytes;
            return Err(Stop::Wrong(format!("it has {total} bytes, {announced} were announced")));
        }
        if begins_at == length {
            return Ok(());
        }
        self.begin_anew().map_err(|error| storage_error(&self.path, &error))?;
        if begins_at == 0 {
            Ok(())
        } else {
            Err(Stop::Broke(Failure::temporary("the server does not go on where it was asked to")))
        }
    }

    /// Writes and hashes away from the async threads. An error of the disk comes back beside the file; `Err` if the thread broke down.
    async fn append(mut self, bytes: BytesMut) -> Result<(Self, Result<(), RepositoryError>), ()> {
        blocking(move || {
            let written = self.file.write_all(&bytes);
            if written.is_ok() {
                self.count(&bytes);
            }
            let written = written.map_err(|error| storage_error(&self.path, &error));
            (self, written)
        })
        .await
    }

    /// Checks the digest and puts the file in its place, or throws it away and answers what is wrong.
    async fn finish(self) -> Result<Option<String>, RepositoryError> {
        let finished = blocking(move || {
            let Self { file, hasher, path, finished_path, wanted, _locks, .. } = self;
            let (found, announced) = (hasher.finish(), wanted.digest.name());
            let failed = |error: io::Error| storage_error(&path, &error);
            if found != announced {
                fs::remove_file(&path).map_err(failed)?;
                return Ok(Some(format!("its digest is {found}, {announced} was announced")));
            }
            file.sync_all().map_err(failed)?;
            fs::rename(&path, &finished_path).map_err(failed)?;
            finished_path.parent().map_or(Ok(()), sync_folder).map_err(failed)?;
            Ok(None)
        });
        finished.await.unwrap_or_else(|()| Err(RepositoryError::Storage("checking what has come broke down".to_owned())))
    }

    fn throw_away(self) -> Result<(), RepositoryError> {
        fs::remove_file(&self.path).map_err(|error| storage_error(&self.path, &error))
    }
}

/// Runs what blocks on a thread for that. `Err` if it panicked, or if the runtime is ending.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ()> {
    tokio::task::spawn_blocking(work).await.map_err(|error| tracing::error!(%error, "a file could not be written"))
}

/// Where the bytes of a 206 begin, and how many the whole file has (RFC 9110, section 14.4).
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let (range, total) = headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn a_content_range_tells_the_start_and_the_total() {
        let read = |text: &'static str| content_range(&HeaderMap::from_iter([(CONTENT_RANGE, HeaderValue::from_static(text))]));
        assert_eq!(read("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(read("bytes 5-9/*"), Some((5, None)));
        for text in ["bytes */10", "items 0-1/2", "bytes 5", "nonsense"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
