//! What draws.

use async_trait::async_trait;
use bytes::Bytes;
use domain::{ImageSize, Seed};

use crate::GenerationError;

/// A picture to be made.
#[derive(Clone, PartialEq, Eq)]
pub struct ImageRequest {
    /// What it shows.
    pub prompt: String,
    /// How large it should be; a generator may answer another size.
    pub size: ImageSize,
    /// Where its random choices begin, where the generator has such a thing.
    pub seed: Seed,
    /// Which of a provider's models, where it has several and the request names one.
    pub provider_model: Option<String>,
}

/// Draws pictures.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ImageGenerator: Send + Sync {
    /// Draws, and answers what the generator made of it: bytes of a bounded length that should be a picture and may be anything.
    /// `Overloaded` where too many wait (nothing was begun). Dropping the call cancels it.
    async fn generate(&self, request: ImageRequest) -> Result<Bytes, GenerationError>;
}
