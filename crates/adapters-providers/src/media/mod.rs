//! Pictures and speech of other people's servers.
//!
//! Each is a port over an [`Endpoint`](crate::http::Endpoint), which bounds every wait and every byte. What a provider sends is passed on
//! as bytes: whether it is a picture is for the picture codec to say.

mod gtts;
mod openai_images;
mod openai_speech;
mod places;
mod pollinations;
mod sentences;

use std::time::Duration;

use ports::GenerationError;
use tokio::time::Instant;

pub use gtts::{Gtts, GttsPace};
pub use openai_images::OpenAiImages;
pub use openai_speech::OpenAiSpeech;
pub use places::Places;
pub use pollinations::{Pollinations, PollinationsApi};

use crate::failures::generation_error;
use crate::http::{Answer, HttpFailure};

/// How much a provider of pictures or speech may be asked for.
#[derive(Debug, Clone)]
pub struct MediaLimits {
    /// How long a picture or a recording may take, waiting included.
    pub deadline: Duration,
    /// Who may be at work, and who may wait.
    pub places: Places,
}

impl MediaLimits {
    fn deadline(&self) -> Instant {
        Instant::now() + self.deadline
    }
}

/// The largest picture that is read: a PNG of 4096 by 4096 pixels of noise has 48 MiB, and nobody draws that.
const MAX_IMAGE_BYTES: usize = 32 << 20;

/// What a failed call means to whoever wanted a picture or a recording: one that could not be reached is told with the settings to look at.
fn media_error(provider: &'static str, settings: &str, failure: HttpFailure) -> GenerationError {
    match generation_error(provider, failure) {
        GenerationError::ProviderUnreachable { provider } => {
            GenerationError::ModelUnavailable(format!("{provider} cannot be reached: {settings}"))
        }
        other => other,
    }
}

/// Refuses an answer that says itself that it is something else: an error page with status 200, say.
fn expect_type(provider: &'static str, answer: &Answer, kind: &str) -> Result<(), GenerationError> {
    let is_such = answer.content_type().split('/').next() == Some(kind) || answer.content_type() == "application/octet-stream";
    let problem = || format!("it answered with no {kind}");
    if is_such { Ok(()) } else { Err(GenerationError::ProviderFailed { provider, problem: problem() }) }
}
