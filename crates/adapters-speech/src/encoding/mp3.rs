//! MP3, by LAME.

use mp3lame_encoder::{Bitrate, Builder, FlushNoGap, Mode, MonoPcm, Quality, max_required_buffer_size};
use ports::GenerationError;

use super::Encoder;

/// What `flush` may write, as LAME's `lame_encode_flush` documents it.
const FLUSH_BYTES: usize = 7200;

pub(super) struct Mp3(mp3lame_encoder::Encoder);

impl Mp3 {
    /// 64 kbit/s for one voice: as good as its synthesis.
    pub(super) fn new(samples_per_second: u32) -> Result<Self, GenerationError> {
        let build = || {
            Builder::new()?
                .with_num_channels(1)
                .ok()?
                .with_sample_rate(samples_per_second)
                .ok()?
                .with_mode(Mode::Mono)
                .ok()?
                .with_brate(Bitrate::Kbps64)
                .ok()?
                .with_quality(Quality::Good)
                .ok()?
                // It would be a first frame whose content is known at the end: too late for a stream.
                .with_to_write_vbr_tag(false)
                .ok()?
                .build()
                .ok()
        };
        build().map(Self).ok_or_else(|| GenerationError::Failed("LAME refused its parameters".to_owned()))
    }
}

impl Encoder for Mp3 {
    fn push(&mut self, samples: &[i16]) -> Result<Vec<u8>, GenerationError> {
        let mut bytes = Vec::with_capacity(max_required_buffer_size(samples.len()));
        let failed = |error| GenerationError::Failed(format!("LAME: {error:?}"));
        self.0.encode_to_vec(MonoPcm(samples), &mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<u8>, GenerationError> {
        let mut bytes = Vec::with_capacity(FLUSH_BYTES);
        let failed = |error| GenerationError::Failed(format!("LAME: {error:?}"));
        self.0.flush_to_vec::<FlushNoGap>(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }
}
