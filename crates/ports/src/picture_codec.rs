//! Pictures from strangers, made into pictures of our own.

use async_trait::async_trait;
use bytes::Bytes;
use domain::ImageSize;

/// A picture as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// The picture, as PNG.
    pub png: Bytes,
    /// A small copy, as WebP.
    pub thumbnail_webp: Bytes,
}

/// Why bytes are not a picture that can be kept. Holds nothing of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAPicture(pub String);

/// Reads whatever a generator sent and writes it anew.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait PictureCodec: Send + Sync {
    /// A PNG of exactly this size, cut at its longer sides where the proportions differ, and its small copy. Nothing but the pixels is
    /// kept. PNG, JPEG and WebP are read; anything else, and what would need too much memory, is refused before it is unpacked.
    async fn normalise(&self, sent: Bytes, size: ImageSize) -> Result<Picture, NotAPicture>;
}
