//! What speaks.

use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use domain::{AudioFormat, Pitch, Speed, VoiceName};
use futures_core::Stream;

use crate::GenerationError;

/// A text to be spoken.
#[derive(Clone, PartialEq)]
pub struct SpeechRequest {
    /// The words.
    pub text: String,
    /// Who speaks.
    pub voice: VoiceName,
    /// How the sound is to be encoded.
    pub format: AudioFormat,
    /// How fast.
    pub speed: Speed,
    /// How high.
    pub pitch: Pitch,
    /// Which of a provider's models, where it has several and the request names one.
    pub provider_model: Option<String>,
}

/// The encoded sound, a piece at a time, while it is made. After an error nothing follows. **Dropping it cancels**: what makes the sound
/// ends, and its place is free.
pub type AudioStream = Pin<Box<dyn Stream<Item = Result<Bytes, GenerationError>> + Send + 'static>>;

/// A voice of a synthesizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voice {
    /// What a request names it by.
    pub name: VoiceName,
    /// What it speaks, as its engine calls it: `English (Great Britain)`.
    pub description: String,
}

/// What a synthesizer can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SynthesizerDescription {
    /// The encodings it makes; the first is its own.
    pub formats: &'static [AudioFormat],
    /// Whether it heeds a speed.
    pub has_speed: bool,
    /// Whether it heeds a pitch.
    pub has_pitch: bool,
}

/// Speaks texts.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait SpeechSynthesizer: Send + Sync {
    /// What it can do.
    fn describe(&self) -> SynthesizerDescription;

    /// Its voices, in the order of their names. Fails with `ModelUnavailable`, which says what to do, where the engine is not there.
    async fn voices(&self) -> Result<Vec<Voice>, GenerationError>;

    /// Begins to speak, once it is this text's turn. What can be known at once is this call's error: `Overloaded` (nothing was begun),
    /// `Unsupported` for a voice or a format that it does not have, `ModelUnavailable`. Dropping the call gives up its turn.
    async fn synthesize(&self, request: SpeechRequest) -> Result<AudioStream, GenerationError>;
}
