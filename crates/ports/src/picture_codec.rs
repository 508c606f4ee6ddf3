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

/// Why no picture came of what was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// It is not a picture that can be kept. Holds nothing of it.
    #[error("{0}")]
    NotAPicture(String),
    /// Too many others wait to be worked on.
    #[error("too many pictures wait to be worked on")]
    Overloaded,
}

/// Reads whatever a generator sent and writes it anew.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait PictureCodec: Send + Sync {
    /// A PNG of exactly this size, cut at its longer sides where the proportions differ, and its small copy. Nothing but the pixels is
    /// kept. PNG, JPEG and WebP are read; anything else, and what would need too much memory, is refused before it is unpacked. Dropping
    /// the call gives up its turn.
    async fn normalise(&self, sent: Bytes, size: ImageSize) -> Result<Picture, PictureError>;
}
