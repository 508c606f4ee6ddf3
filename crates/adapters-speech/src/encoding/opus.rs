//! Opus in Ogg (RFC 6716 and RFC 7845).
//!
//! The codec takes samples at a few rates only, of which 24,000 a second is the lowest that holds all that a voice of 22,050 has. Times
//! in the file count in samples at 48,000 a second, whatever the codec takes.

use ports::GenerationError;
use ropus::{Application, Bitrate, Channels, Encoder as Codec, Signal};

use super::Encoder;
use super::ogg::Pages;
use super::resample::Resampler;

/// Samples a second that the codec takes.
const CODEC_RATE: u32 = 24_000;
/// Samples a second in which a file counts (RFC 7845, section 4).
const FILE_RATE: u32 = 48_000;
/// 20 ms, the usual length of a packet, in samples of either rate.
const PACKET: usize = 480;
const PACKET_IN_FILE: u64 = 960;
/// Half a second: a reader gets the sound soon, and the pages' headers stay one part in sixty. Twenty-five packets have no more than 150
/// segments, of which a page holds 255.
const PACKETS_A_PAGE: u32 = 25;
/// The longest packet of this length (RFC 6716, section 3.2.1).
const MAX_PACKET_BYTES: usize = 1275;
/// One voice is clear at three quarters of what MP3 takes.
const BITS_PER_SECOND: u32 = 48_000;
/// The highest that does not analyse the sound for what it is, which is known.
const COMPLEXITY: u8 = 9;

pub(super) struct Opus {
    resampler: Resampler,
    codec: Codec,
    pages: Pages,
    samples_per_second: u32,
    samples: u64,
    /// Samples at the codec's rate that do not fill a packet yet.
    unencoded: Vec<f32>,
    packets: u64,
    packets_in_page: u32,
    header_written: bool,
}

impl Opus {
    pub(super) fn new(samples_per_second: u32) -> Result<Self, GenerationError> {
        // The transform codec alone: at this rate it is as good for a voice as the one for calls, and three times as fast.
        let codec = Codec::builder(CODEC_RATE, Channels::Mono, Application::Audio)
            .bitrate(Bitrate::Bits(BITS_PER_SECOND))
            .complexity(COMPLEXITY)
            .signal(Signal::Music)
            .build()
            .map_err(|error| failed(&error))?;
        Ok(Self {
            resampler: Resampler::new(samples_per_second, CODEC_RATE),
            codec,
            pages: Pages::new(),
            samples_per_second,
            samples: 0,
            unencoded: Vec::new(),
            packets: 0,
            packets_in_page: 0,
            header_written: false,
        })
    }

    /// Samples at the file's rate that a decoder gives before the sound begins.
    fn pre_skip(&self) -> u16 {
        let lookahead = self.codec.lookahead() * (FILE_RATE / CODEC_RATE);
        u16::try_from(lookahead).unwrap_or(u16::MAX)
    }

    /// The two packets that say what follows, each on a page of its own (sections 5.1 and 5.2).
    fn header(&mut self, bytes: &mut Vec<u8>) {
        if std::mem::replace(&mut self.header_written, true) {
            return;
        }
        let mut head = b"OpusHead".to_vec();
        // Version 1, one channel.
        head.extend([1, 1]);
        head.extend(self.pre_skip().to_le_bytes());
        head.extend(self.samples_per_second.to_le_bytes());
        // As loud as it is, and one channel is one channel.
        head.extend([0, 0, 0]);
        self.pages.add(&head);
        bytes.extend(self.pages.page(0));
        let mut tags = b"OpusTags".to_vec();
        let encoder = b"tertulia";
        tags.extend(u32::try_from(encoder.len()).unwrap_or_default().to_le_bytes());
        tags.extend(encoder);
        // No comments.
        tags.extend(0_u32.to_le_bytes());
        self.pages.add(&tags);
        bytes.extend(self.pages.page(0));
    }

    fn encode(&mut self, samples: Vec<f32>, bytes: &mut Vec<u8>) -> Result<(), GenerationError> {
        self.unencoded.extend(samples);
        let mut packet = [0; MAX_PACKET_BYTES];
        let mut done = 0;
        while let Some(samples) = self.unencoded.get(done..done + PACKET) {
            let length = self.codec.encode_float(samples, &mut packet).map_err(|error| failed(&error))?;
            // A full page is ended by the packet after it: the last one must have something to hold.
            if self.packets_in_page == PACKETS_A_PAGE {
                bytes.extend(self.pages.page(self.packets * PACKET_IN_FILE));
                self.packets_in_page = 0;
            }
            self.pages.add(packet.get(..length).unwrap_or_default());
            self.packets += 1;
            self.packets_in_page += 1;
            done += PACKET;
        }
        self.unencoded.drain(..done);
        Ok(())
    }
}

impl Encoder for Opus {
    fn push(&mut self, samples: &[i16]) -> Result<Vec<u8>, GenerationError> {
        let mut bytes = Vec::new();
        self.header(&mut bytes);
        self.samples += samples.len() as u64;
        let resampled = self.resampler.push(samples);
        self.encode(resampled, &mut bytes)?;
        Ok(bytes)
    }

    /// The last page says where the sound ends, which is in the middle of its last packet (section 4.4).
    fn finish(self: Box<Self>) -> Result<Vec<u8>, GenerationError> {
        let mut this = *self;
        let mut bytes = Vec::new();
        this.header(&mut bytes);
        let (file_rate, rate) = (u64::from(FILE_RATE), u64::from(this.samples_per_second.max(1)));
        let end = u64::from(this.pre_skip()) + (this.samples * file_rate).div_ceil(rate);
        let rest = this.resampler.finish();
        this.encode(rest, &mut bytes)?;
        // Silence, until what the codec still held back has come out.
        while this.packets * PACKET_IN_FILE < end {
            let silence = vec![0.0; PACKET - this.unencoded.len().min(PACKET)];
            this.encode(silence, &mut bytes)?;
        }
        bytes.extend(this.pages.last_page(end));
        Ok(bytes)
    }
}

fn failed(error: &dyn std::fmt::Debug) -> GenerationError {
    GenerationError::Failed(format!("Opus: {error:?}"))
}
