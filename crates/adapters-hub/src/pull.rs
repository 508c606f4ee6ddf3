//! The course of a fetch, from a name to a model in its place.

use std::sync::Arc;

use ports::{HubModel, RepositoryError, StoredModel};
use tokio::sync::Semaphore;

use crate::ConfigCheck;
use crate::blob::BlobFetcher;
use crate::cache::{Cache, ModelFolder, storage_error};
use crate::client::HubClient;
use crate::lock::ModelLocks;
use crate::names::is_commit;
use crate::progress::Progress;
use crate::selection::{Listing, RemoteFile, Weights, unsupported};

/// What every fetch of a repository needs.
pub(crate) struct Fetcher {
    pub(crate) client: HubClient,
    /// Where models are looked for; the first is where they are put.
    pub(crate) caches: [Cache; 2],
    pub(crate) locks: ModelLocks,
    /// Fetches that may run at the same time; more wait.
    pub(crate) places: Semaphore,
    pub(crate) max_model_bytes: u64,
    pub(crate) check_config: ConfigCheck,
}

impl Fetcher {
    /// Fetches a model, or what is missing of it. Dropping this stops the fetch and keeps what has come.
    pub(crate) async fn pull(&self, model: &HubModel, mut progress: Progress) -> Result<StoredModel, RepositoryError> {
        let [folder, other] = self.caches.each_ref().map(|cache| cache.model(&model.repository));
        // What lies under a commit never changes: nobody needs to be asked.
        let found = || folder.find(model).or_else(|| other.find(model));
        if is_commit(&model.revision)
            && let Some(found) = found()
        {
            return Ok(found);
        }
        let lock = Arc::new(self.locks.lock(&folder.lock_path()).await?);
        let _place = self.places.acquire().await;
        let commit = self.client.commit(model).await?;
        let pinned = HubModel { revision: commit.clone(), ..model.clone() };
        let folder = if other.find(&pinned).is_some() { &other } else { &folder };
        if folder.find(&pinned).is_none() {
            let listing = self.client.listing(model, &commit).await?;
            let blobs = BlobFetcher { client: &self.client, folder, model, commit: &commit, lock: Arc::clone(&lock) };
            let files = self.choose(&listing, &blobs).await?;
            let total: u64 = files.iter().map(|file| file.size_bytes).sum();
            progress.set_total(total);
            progress.at(files.first().map_or("", |file| &file.path), 0);
            for file in &files {
                blobs.fetch(file, &mut progress).await?;
            }
            for file in &files {
                folder.link(&commit, &file.path, &file.digest)?;
            }
        }
        folder.write_reference(&model.revision, &commit)?;
        drop(lock);
        let incomplete = || RepositoryError::Storage(format!("{} is not whole after it was fetched", folder.path().display()));
        folder.find(model).ok_or_else(incomplete)
    }

    /// The files to fetch, what a model cannot be without last. What decides which they are (the configuration, and the index of
    /// weights) is fetched for it; a model that cannot run here is refused before any of its weights is asked for.
    async fn choose(&self, listing: &Listing, blobs: &BlobFetcher<'_>) -> Result<Vec<RemoteFile>, RepositoryError> {
        let repository = &blobs.model.repository;
        let config = listing.config(repository)?;
        let weights = listing.weights(repository)?;
        let mut files: Vec<&RemoteFile> = listing.companions(repository)?;
        let text = fetch_and_read(blobs, config).await?;
        (self.check_config)(&text).map_err(|problem| unsupported(repository, &problem))?;
        files.push(config);
        match weights {
            Weights::File(file) => files.push(file),
            Weights::Index(index) => {
                let text = fetch_and_read(blobs, index).await?;
                files.extend(listing.shards(repository, &text)?);
                files.push(index);
            }
        }
        let total = files.iter().try_fold(0_u64, |sum, file| sum.checked_add(file.size_bytes));
        match total {
            Some(total) if total <= self.max_model_bytes => Ok(files.into_iter().cloned().collect()),
            _ => {
                let total = total.map_or("too many".to_owned(), |total| total.to_string());
                let limit = self.max_model_bytes;
                Err(unsupported(repository, &format!("its files have {total} bytes, HF_MAX_MODEL_BYTES allows {limit}")))
            }
        }
    }
}

/// Fetches a file that is small, and reads it.
async fn fetch_and_read(blobs: &BlobFetcher<'_>, file: &RemoteFile) -> Result<Vec<u8>, RepositoryError> {
    blobs.fetch(file, &mut Progress::untold()).await?;
    read(blobs.folder, file)
}

fn read(folder: &ModelFolder, file: &RemoteFile) -> Result<Vec<u8>, RepositoryError> {
    let path = folder.blob(&file.digest);
    std::fs::read(&path).map_err(|error| storage_error(&path, &error))
}
