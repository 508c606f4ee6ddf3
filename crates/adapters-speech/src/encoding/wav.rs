//! WAV: 16 bits a sample, one channel.
//!
//! Its header tells how long the recording is, so that nothing can be given before the end: the samples are gathered. A text's length is
//! bounded, and with it what is gathered.

use ports::GenerationError;

use super::Encoder;

const HEADER_BYTES: u32 = 44;

pub(super) struct Wav {
    samples_per_second: u32,
    data: Vec<u8>,
}

impl Wav {
    pub(super) const fn new(samples_per_second: u32) -> Self {
        Self { samples_per_second, data: Vec::new() }
    }
}

impl Encoder for Wav {
    fn push(&mut self, samples: &[i16]) -> Result<Vec<u8>, GenerationError> {
        self.data.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        Ok(Vec::new())
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, GenerationError> {
        let too_long = |_| GenerationError::Failed("a recording is longer than WAV can say".to_owned());
        let data_bytes = u32::try_from(self.data.len()).map_err(too_long)?;
        let riff_bytes = data_bytes.saturating_add(HEADER_BYTES - 8);
        let mut file = Vec::with_capacity(self.data.len() + HEADER_BYTES as usize);
        file.extend(b"RIFF");
        file.extend(riff_bytes.to_le_bytes());
        file.extend(b"WAVEfmt ");
        file.extend(16_u32.to_le_bytes());
        // PCM, one channel.
        file.extend(1_u16.to_le_bytes());
        file.extend(1_u16.to_le_bytes());
        file.extend(self.samples_per_second.to_le_bytes());
        file.extend((self.samples_per_second * 2).to_le_bytes());
        // Bytes, then bits, of a sample.
        file.extend(2_u16.to_le_bytes());
        file.extend(16_u16.to_le_bytes());
        file.extend(b"data");
        file.extend(data_bytes.to_le_bytes());
        file.extend(self.data);
        Ok(file)
    }
}
