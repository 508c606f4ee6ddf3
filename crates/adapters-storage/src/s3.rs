//! Objects in S3, or in any server that speaks its protocol.
//!
//! An upload up to [`PART_BYTES`] is one request, a longer one a multipart upload: in both, S3 shows the object once it is whole. A
//! multipart upload that breaks off is aborted; one whose process died is S3's to remove, by a lifecycle rule for incomplete uploads.

use std::fmt;
use std::future::ready;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use domain::{ObjectKey, Timestamp};
use futures_util::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::signer::{Method, Signer};
use object_store::{
    Attribute, Attributes, ClientOptions, GetOptions, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, RetryConfig,
};
use ports::{ObjectBytes, ObjectInfo, ObjectStorage, ObjectUpload, StoreError};
use secrecy::{ExposeSecret, SecretString};

/// The parts of a long upload; S3 wants 5 MiB at least.
const PART_BYTES: usize = 8 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
const RETRIES: usize = 3;
const RETRY_TIMEOUT: Duration = Duration::from_secs(15);

/// Where the bucket is, and who may use it.
#[derive(Debug, Clone)]
pub struct S3Config {
    /// The server's URL; none for AWS itself.
    pub endpoint: Option<String>,
    /// The bucket's region; `us-east-1` suits servers that have none.
    pub region: String,
    /// The bucket, which must be there.
    pub bucket: String,
    /// Whose key it is.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: SecretString,
    /// Whether the bucket stands in the URL's path (`https://host/bucket/…`) and not in its host.
    pub path_style: bool,
}

/// Why a configuration cannot be used. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3ConfigError(String);

impl fmt::Display for S3ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for S3ConfigError {}

/// Keeps objects in a bucket. Copies share their connections.
#[derive(Debug, Clone)]
pub struct S3Storage {
    bucket: Arc<AmazonS3>,
}

impl S3Storage {
    /// Prepares to use a bucket; asks nobody yet.
    pub fn new(config: &S3Config) -> Result<Self, S3ConfigError> {
        let client =
            ClientOptions::new().with_allow_http(true).with_connect_timeout(CONNECT_TIMEOUT).with_timeout(REQUEST_TIMEOUT);
        let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::new()
            .with_region(&config.region)
            .with_bucket_name(&config.bucket)
            .with_access_key_id(&config.access_key_id)
            .with_secret_access_key(config.secret_access_key.expose_secret())
            .with_virtual_hosted_style_request(!config.path_style)
            .with_client_options(client)
            .with_retry(retry);
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let bucket = builder.build().map_err(|error| S3ConfigError(one_line(&error)))?;
        Ok(Self { bucket: Arc::new(bucket) })
    }
}

fn path(key: &ObjectKey) -> Path {
    // Every key is made of characters that a path leaves as they are.
    Path::from(key.as_str())
}

#[async_trait]
impl ObjectStorage for S3Storage {
    fn settings(&self) -> &'static str {
        "STORAGE, S3_ENDPOINT, S3_BUCKET and S3_ACCESS_KEY_ID"
    }

    async fn begin(&self, key: &ObjectKey, content_type: &'static str) -> Result<Box<dyn ObjectUpload>, StoreError> {
        let attributes = Attributes::from_iter([(Attribute::ContentType, content_type)]);
        let bucket = Arc::clone(&self.bucket);
        let unsent = BytesMut::new();
        Ok(Box::new(S3Upload { bucket, path: path(key), attributes, unsent, parts: Parts(None), size_bytes: 0 }))
    }

    async fn info(&self, key: &ObjectKey) -> Result<ObjectInfo, StoreError> {
        let meta = self.bucket.head(&path(key)).await.map_err(|error| store_error(&error))?;
        info(&meta).ok_or(StoreError::NotFound)
    }

    async fn read(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<ObjectBytes, StoreError> {
        // S3 refuses a range without a byte in it.
        if range.as_ref().is_some_and(Range::is_empty) {
            self.info(key).await?;
            return Ok(Box::pin(futures_util::stream::empty()));
        }
        let options = GetOptions { range: range.map(Into::into), ..GetOptions::default() };
        let found = self.bucket.get_opts(&path(key), options).await.map_err(|error| store_error(&error))?;
        Ok(Box::pin(found.into_stream().map_err(|error| store_error(&error))))
    }

    async fn remove(&self, key: &ObjectKey) -> Result<(), StoreError> {
        match self.bucket.delete(&path(key)).await.map_err(|error| store_error(&error)) {
            Err(StoreError::NotFound) => Ok(()),
            done => done,
        }
    }

    async fn list(&self, folder: &ObjectKey, after: Option<ObjectKey>, limit: u32) -> Result<Vec<ObjectInfo>, StoreError> {
        let folder = path(folder);
        let listed = match &after {
            Some(after) => self.bucket.list_with_offset(Some(&folder), &path(after)),
            None => self.bucket.list(Some(&folder)),
        };
        // Others' objects do not count: a page without one of ours would look like the last.
        let ours = listed.try_filter_map(|meta| ready(Ok(info(&meta)))).take(limit as usize);
        ours.try_collect().await.map_err(|error| store_error(&error))
    }

    async fn signed_url(&self, key: &ObjectKey, _now: Timestamp, lifetime: Duration) -> Result<String, StoreError> {
        // The signature counts from this machine's clock, which is also what `now` was read from.
        let url = self.bucket.signed_url(Method::GET, &path(key), lifetime).await;
        url.map(String::from).map_err(|error| store_error(&error))
    }

    async fn remove_unfinished(&self, _before: Timestamp) -> Result<u64, StoreError> {
        Ok(0)
    }
}

/// `None` for an object of somebody else's, whose name none of ours could be.
fn info(meta: &ObjectMeta) -> Option<ObjectInfo> {
    let key = ObjectKey::parse(meta.location.to_string()).ok()?;
    Some(ObjectInfo { key, size_bytes: meta.size, modified_at: meta.last_modified })
}

struct S3Upload {
    bucket: Arc<AmazonS3>,
    path: Path,
    attributes: Attributes,
    unsent: BytesMut,
    parts: Parts,
    size_bytes: u64,
}

/// A multipart upload, once one was begun. It is aborted if this is dropped with it.
struct Parts(Option<Box<dyn MultipartUpload>>);

impl Drop for Parts {
    fn drop(&mut self) {
        let (Some(mut upload), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) else { return };
        runtime.spawn(async move {
            if let Err(error) = upload.abort().await {
                tracing::warn!(
                    error = one_line(&error),
                    "an upload that broke off could not be aborted; S3's own rule removes it"
                );
            }
        });
    }
}

#[async_trait]
impl ObjectUpload for S3Upload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.size_bytes += bytes.len() as u64;
        self.unsent.extend_from_slice(&bytes);
        while self.unsent.len() >= PART_BYTES {
            let part = self.unsent.split_to(PART_BYTES).freeze();
            if self.parts.0.is_none() {
                let options = PutMultipartOptions { attributes: self.attributes.clone(), ..PutMultipartOptions::default() };
                let begun = self.bucket.put_multipart_opts(&self.path, options).await;
                self.parts.0 = Some(begun.map_err(|error| store_error(&error))?);
            }
            if let Some(upload) = &mut self.parts.0 {
                upload.put_part(PutPayload::from(part)).await.map_err(|error| store_error(&error))?;
            }
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, StoreError> {
        let rest = PutPayload::from(std::mem::take(&mut self.unsent).freeze());
        let Some(upload) = &mut self.parts.0 else {
            let options = PutOptions { attributes: self.attributes.clone(), ..PutOptions::default() };
            self.bucket.put_opts(&self.path, rest, options).await.map_err(|error| store_error(&error))?;
            return Ok(self.size_bytes);
        };
        if rest.content_length() > 0 {
            upload.put_part(rest).await.map_err(|error| store_error(&error))?;
        }
        upload.complete().await.map_err(|error| store_error(&error))?;
        self.parts.0 = None;
        Ok(self.size_bytes)
    }
}

fn store_error(error: &object_store::Error) -> StoreError {
    use object_store::Error as E;
    match error {
        E::NotFound { .. } => StoreError::NotFound,
        E::NotSupported { .. } | E::NotImplemented { .. } => StoreError::Corrupt(one_line(error)),
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
            let told = "S3 refuses the key: check S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY and what they may do in S3_BUCKET";
            StoreError::Unavailable(format!("{told} ({})", one_line(error)))
        }
        _ => StoreError::Unavailable(one_line(error)),
    }
}

/// S3's answers are pages of XML; the log gets their beginning.
fn one_line(error: &object_store::Error) -> String {
    let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    text.chars().take(300).collect()
}
