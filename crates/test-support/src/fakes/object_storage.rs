//! Objects in memory, and links to them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use domain::{ObjectKey, Timestamp};
use futures_util::stream;
use ports::{ObjectBytes, ObjectInfo, ObjectLinks, ObjectStorage, ObjectUpload, StoreError};
use sha2::{Digest, Sha256};

use crate::builders::a_time;

/// Keeps objects in memory. Copies share them.
#[derive(Clone, Default)]
pub struct FakeStorage(Arc<Mutex<Contents>>);

#[derive(Default)]
struct Contents {
    down: bool,
    objects: BTreeMap<ObjectKey, Bytes>,
}

impl FakeStorage {
    /// From now on every call fails with [`StoreError::Unavailable`], or no longer does.
    pub fn set_down(&self, down: bool) {
        self.0.lock().unwrap().down = down;
    }

    /// The names of all objects, in their order.
    pub fn keys(&self) -> Vec<String> {
        self.0.lock().unwrap().objects.keys().map(ToString::to_string).collect()
    }

    /// An object's bytes.
    pub fn object(&self, key: &str) -> Option<Bytes> {
        self.0.lock().unwrap().objects.get(&ObjectKey::parse(key).unwrap()).cloned()
    }

    fn contents<T>(&self, work: impl FnOnce(&mut Contents) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut contents = self.0.lock().unwrap();
        if contents.down {
            return Err(StoreError::Unavailable("the test has taken it down".into()));
        }
        work(&mut contents)
    }
}

#[async_trait]
impl ObjectStorage for FakeStorage {
    fn settings(&self) -> &'static str {
        "STORAGE"
    }

    async fn begin(&self, key: &ObjectKey, _content_type: &'static str) -> Result<Box<dyn ObjectUpload>, StoreError> {
        self.contents(|_| Ok(()))?;
        Ok(Box::new(FakeUpload { storage: self.clone(), key: key.clone(), bytes: BytesMut::new() }))
    }

    async fn info(&self, key: &ObjectKey) -> Result<ObjectInfo, StoreError> {
        self.contents(|contents| contents.objects.get(key).map(|bytes| info(key, bytes)).ok_or(StoreError::NotFound))
    }

    async fn read(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<ObjectBytes, StoreError> {
        let bytes = self.contents(|contents| contents.objects.get(key).cloned().ok_or(StoreError::NotFound))?;
        let part = match range {
            Some(range) => bytes.slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()),
            None => bytes,
        };
        let pieces: Vec<_> = part.chunks(1000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        Ok(Box::pin(stream::iter(pieces)))
    }

    async fn remove(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.contents(|contents| {
            contents.objects.remove(key);
            Ok(())
        })
    }

    async fn list(&self, folder: &ObjectKey, after: Option<ObjectKey>, limit: u32) -> Result<Vec<ObjectInfo>, StoreError> {
        let folder = format!("{folder}/");
        let is_listed = |key: &ObjectKey| key.as_str().starts_with(&folder) && after.as_ref().is_none_or(|after| key > after);
        self.contents(|contents| {
            let listed = contents.objects.iter().filter(|(key, _)| is_listed(key));
            Ok(listed.map(|(key, bytes)| info(key, bytes)).take(limit as usize).collect())
        })
    }

    async fn signed_url(&self, key: &ObjectKey, now: Timestamp, lifetime: Duration) -> Result<String, StoreError> {
        let expires_at = now + lifetime;
        let signature = FakeLinks.sign(key, expires_at);
        Ok(format!("/objects/{key}?expires={}&signature={signature}", expires_at.timestamp()))
    }

    /// Uploads live in memory, and go with whoever began them.
    async fn remove_unfinished(&self, _before: Timestamp) -> Result<u64, StoreError> {
        Ok(0)
    }
}

fn info(key: &ObjectKey, bytes: &Bytes) -> ObjectInfo {
    ObjectInfo { key: key.clone(), size_bytes: bytes.len() as u64, modified_at: a_time() }
}

struct FakeUpload {
    storage: FakeStorage,
    key: ObjectKey,
    bytes: BytesMut,
}

#[async_trait]
impl ObjectUpload for FakeUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.bytes.extend_from_slice(&bytes);
        self.storage.contents(|_| Ok(()))
    }

    async fn finish(self: Box<Self>) -> Result<u64, StoreError> {
        let Self { storage, key, bytes } = *self;
        let size_bytes = bytes.len() as u64;
        storage.contents(|contents| {
            contents.objects.insert(key, bytes.freeze());
            Ok(())
        })?;
        Ok(size_bytes)
    }
}

/// Signs with a key that every test knows.
#[derive(Debug, Clone, Copy, Default)]
pub struct FakeLinks;

impl ObjectLinks for FakeLinks {
    fn sign(&self, key: &ObjectKey, expires_at: Timestamp) -> String {
        hex::encode(Sha256::digest(format!("a link to {key} until {}", expires_at.timestamp())))
    }

    fn is_signed(&self, key: &ObjectKey, expires_at: Timestamp, signature: &str) -> bool {
        self.sign(key, expires_at) == signature
    }
}
