//! Pictures and speech of other people's servers.
//!
//! Each is a port over an [`Endpoint`](crate::http::Endpoint), which bounds every wait and every byte. What a provider sends is passed on
//! as bytes: whether it is a picture is for the picture codec to say.

mod gtts;
mod openai_images;
mod openai_speech;
mod places;
mod pollinations;
mod relay;
mod sentences;

use std::time::Duration;

use ports::GenerationError;
use tokio::time::Instant;

pub use gtts::{Gtts, GttsPace};
pub use openai_images::OpenAiImages;
pub use openai_speech::OpenAiSpeech;
pub use places::Places;
pub use pollinations::{Pollinations, PollinationsApi};

use crate::failures::{generation_error, key_refused, request_refused, speaks_of_the_key};
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

    /// How long a provider may say nothing. It ends before the deadline does: that nothing came in time is then the provider's doing, and
    /// counts against it.
    fn patience(&self) -> Duration {
        self.deadline.saturating_sub(self.deadline / 10)
    }
}

/// Where to look when a provider cannot be used.
#[derive(Debug, Clone, Copy)]
struct Settings {
    /// When it is not there.
    address: &'static str,
    /// When it does not take the key; none where it takes no key.
    key: Option<&'static str>,
}

/// The largest picture that is read: a PNG of 4096 by 4096 pixels of noise has 48 MiB, and nobody draws that.
const MAX_IMAGE_BYTES: usize = 32 << 20;

/// What a failed call means to whoever wanted a picture or a recording: one that could not be reached, or whose key was refused, is told
/// with the settings to look at, and one that the provider does not like with the provider's reasons.
fn media_error(provider: &'static str, settings: Settings, failure: HttpFailure) -> GenerationError {
    let failure = match (failure, settings.key) {
        (HttpFailure::Refused(refusal), Some(key)) if matches!(refusal.status, 401 | 403) || speaks_of_the_key(&refusal) => {
            return key_refused(provider, refusal.status, key);
        }
        (HttpFailure::Refused(refusal), _) if matches!(refusal.status, 400 | 422) => return request_refused(provider, &refusal),
        (failure, _) => failure,
    };
    match generation_error(provider, failure) {
        GenerationError::ProviderUnreachable { provider } => {
            GenerationError::ModelUnavailable(format!("{provider} cannot be reached: {}", settings.address))
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
