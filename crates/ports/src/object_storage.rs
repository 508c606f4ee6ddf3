//! Where objects are kept: pictures, recordings and the documents beside them.

use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::{ObjectKey, Timestamp};
use futures_core::Stream;

use crate::StoreError;

/// What is known of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its name.
    pub key: ObjectKey,
    /// How large it is.
    pub size_bytes: u64,
    /// When it was kept.
    pub modified_at: Timestamp,
}

/// The bytes of an object, a piece at a time. After an error nothing follows.
pub type ObjectBytes = Pin<Box<dyn Stream<Item = Result<Bytes, StoreError>> + Send + 'static>>;

/// An object on its way into the storage. Nobody sees it before it is finished, and **dropping it discards it**: an upload that breaks
/// off leaves nothing that looks like an object, and what was under the name before stays.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ObjectUpload: Send {
    /// Adds bytes at the end. After an error the upload can only be dropped.
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError>;

    /// Makes the object appear, whole, in place of one that had its name, and answers its size in bytes. Once this has answered, the
    /// object outlives the process and the machine's power.
    async fn finish(self: Box<Self>) -> Result<u64, StoreError>;
}

/// Keeps objects by their names.
///
/// Whoever reads an object reads one version of it, whole, also while it is replaced or removed. `Unavailable` may pass; `Corrupt` will
/// not.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ObjectStorage: Send + Sync {
    /// The settings to look at where it cannot be used.
    fn settings(&self) -> &'static str;

    /// Begins an object. `content_type` is what a signed URL answers with, where the storage itself answers.
    async fn begin(&self, key: &ObjectKey, content_type: &'static str) -> Result<Box<dyn ObjectUpload>, StoreError>;

    /// What is known of an object, or `NotFound`.
    async fn info(&self, key: &ObjectKey) -> Result<ObjectInfo, StoreError>;

    /// The bytes of an object, or those within a range, which must lie inside it. `NotFound` where there is none.
    async fn read(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<ObjectBytes, StoreError>;

    /// Removes an object. That there is none is no failure.
    async fn remove(&self, key: &ObjectKey) -> Result<(), StoreError>;

    /// The objects below a folder (`requests`, `users/…`), in the order of their names, at most `limit` and only those after `after`.
    async fn list(&self, folder: &ObjectKey, after: Option<ObjectKey>, limit: u32) -> Result<Vec<ObjectInfo>, StoreError>;

    /// A URL by which anybody can read the object for so long from `now`. One that begins with `/` is a path of this server. Whether
    /// there is such an object is not looked at.
    async fn signed_url(&self, key: &ObjectKey, now: Timestamp, lifetime: Duration) -> Result<String, StoreError>;

    /// Removes what uploads left behind that began before this time and whose process died; answers how many there were.
    async fn remove_unfinished(&self, before: Timestamp) -> Result<u64, StoreError>;
}
