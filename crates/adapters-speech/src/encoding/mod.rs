//! Samples into bytes that a player understands, piece by piece.

mod flac;
mod mp3;
mod ogg;
mod opus;
mod resample;
mod wav;

use domain::AudioFormat;
use ports::GenerationError;

/// What can be made here, the default one first.
pub(crate) const FORMATS: &[AudioFormat] = &AudioFormat::ALL;

/// Encodes one recording of one channel.
pub(crate) trait Encoder: Send {
    /// Takes samples and gives what has come of them so far, which may be nothing.
    fn push(&mut self, samples: &[i16]) -> Result<Vec<u8>, GenerationError>;

    /// Gives the rest.
    fn finish(self: Box<Self>) -> Result<Vec<u8>, GenerationError>;
}

/// An encoder for samples of so many a second.
pub(crate) fn encoder(format: AudioFormat, samples_per_second: u32) -> Result<Box<dyn Encoder>, GenerationError> {
    match format {
        AudioFormat::Mp3 => Ok(Box::new(mp3::Mp3::new(samples_per_second)?)),
        AudioFormat::Wav => Ok(Box::new(wav::Wav::new(samples_per_second))),
        AudioFormat::Opus => Ok(Box::new(opus::Opus::new(samples_per_second)?)),
        AudioFormat::Flac => Ok(Box::new(flac::Flac::new(samples_per_second))),
    }
}
