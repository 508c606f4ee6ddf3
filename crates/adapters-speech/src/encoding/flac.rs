//! FLAC (RFC 9639), as simple as a good ratio for speech allows: blocks of 4096 samples, each predicted from the two before it (a fixed
//! predictor of the second order), the differences Rice-coded with one parameter a block; or, where that would be longer, as they are.
//!
//! How many samples there will be and their checksum are not known when the header is written; the format allows both to be absent.

use ports::GenerationError;

use super::Encoder;

/// Samples of a block; the last one may be shorter.
const BLOCK: usize = 4096;
const BITS_PER_SAMPLE: u32 = 16;
/// The largest parameter that fits its four bits; 15 means something else (section 9.2.7.1).
const MAX_RICE_PARAMETER: u32 = 14;
/// Samples before the first that is predicted.
const ORDER: usize = 2;

pub(super) struct Flac {
    samples_per_second: u32,
    unencoded: Vec<i16>,
    header_written: bool,
    frames: u32,
}

impl Flac {
    pub(super) const fn new(samples_per_second: u32) -> Self {
        Self { samples_per_second, unencoded: Vec::new(), header_written: false, frames: 0 }
    }

    /// The marker and the `STREAMINFO` block (section 8.2).
    fn header(&mut self, bytes: &mut Vec<u8>) {
        if std::mem::replace(&mut self.header_written, true) {
            return;
        }
        let mut bits = BitWriter::default();
        bits.bytes.extend(b"fLaC");
        // The last metadata block, of type 0, with 34 bytes.
        bits.put(0x80, 8);
        bits.put(34, 24);
        bits.put(BLOCK as u64, 16);
        bits.put(BLOCK as u64, 16);
        // The smallest and the largest frame: unknown.
        bits.put(0, 48);
        bits.put(u64::from(self.samples_per_second), 20);
        // Channels less one, bits less one.
        bits.put(0, 3);
        bits.put(u64::from(BITS_PER_SAMPLE - 1), 5);
        // Samples and MD5: unknown.
        bits.put(0, 36);
        bits.put(0, 64);
        bits.put(0, 64);
        bytes.extend(bits.bytes);
    }

    /// One frame (section 9).
    fn frame(&mut self, samples: &[i16]) -> Vec<u8> {
        let mut bits = BitWriter::default();
        // The sync code, and blocks of a fixed size.
        bits.put(0xFFF8, 16);
        // The block's size follows as 16 bits, the sample rate stands in STREAMINFO.
        bits.put(0b0111_0000, 8);
        // One channel of 16 bits.
        bits.put(0b0000_1000, 8);
        bits.put_utf8(self.frames);
        bits.put(samples.len().saturating_sub(1) as u64, 16);
        bits.put(u64::from(crc8(&bits.bytes)), 8);
        subframe(&mut bits, samples);
        bits.align();
        let checksum = crc16(&bits.bytes);
        bits.put(u64::from(checksum), 16);
        self.frames += 1;
        bits.bytes
    }
}

impl Encoder for Flac {
    fn push(&mut self, samples: &[i16]) -> Result<Vec<u8>, GenerationError> {
        let mut bytes = Vec::new();
        self.header(&mut bytes);
        self.unencoded.extend_from_slice(samples);
        while self.unencoded.len() >= BLOCK {
            let rest = self.unencoded.split_off(BLOCK);
            let block = std::mem::replace(&mut self.unencoded, rest);
            bytes.extend(self.frame(&block));
        }
        Ok(bytes)
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<u8>, GenerationError> {
        let mut bytes = Vec::new();
        self.header(&mut bytes);
        let rest = std::mem::take(&mut self.unencoded);
        if !rest.is_empty() {
            bytes.extend(self.frame(&rest));
        }
        Ok(bytes)
    }
}

/// The block's only channel (section 9.2).
fn subframe(bits: &mut BitWriter, samples: &[i16]) {
    let differences: Vec<u32> = samples.windows(ORDER + 1).filter_map(difference).map(zigzag).collect();
    let parameter = best_rice_parameter(&differences);
    let predicted_bits = rice_bits(&differences, parameter);
    if samples.len() <= ORDER || predicted_bits >= samples.len() as u64 * u64::from(BITS_PER_SAMPLE) {
        // As they are.
        bits.put(0b0000_0010, 8);
        for sample in samples {
            bits.put_sample(*sample);
        }
        return;
    }
    // A fixed predictor of the second order.
    bits.put(0b0001_0100, 8);
    for sample in samples.iter().take(ORDER) {
        bits.put_sample(*sample);
    }
    // Rice coding with parameters of four bits, in one partition.
    bits.put(0, 2);
    bits.put(0, 4);
    bits.put(u64::from(parameter), 4);
    for difference in differences {
        bits.put_unary(difference >> parameter);
        bits.put(u64::from(difference) & ((1 << parameter) - 1), parameter);
    }
}

/// What a straight line through the two samples before does not foresee.
fn difference(window: &[i16]) -> Option<i32> {
    let [before, last, next] = window else { return None };
    Some(i32::from(*next) - 2 * i32::from(*last) + i32::from(*before))
}

/// Small numbers of either sign as small numbers (section 9.2.7.3).
const fn zigzag(difference: i32) -> u32 {
    ((difference << 1) ^ (difference >> 31)).cast_unsigned()
}

fn rice_bits(differences: &[u32], parameter: u32) -> u64 {
    differences.iter().map(|difference| u64::from((difference >> parameter) + 1 + parameter)).sum()
}

fn best_rice_parameter(differences: &[u32]) -> u32 {
    (0..=MAX_RICE_PARAMETER).min_by_key(|parameter| rice_bits(differences, *parameter)).unwrap_or_default()
}

/// Bits, the highest first.
#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    /// Bits that do not fill a byte yet, in the lowest places.
    partial: u64,
    partial_bits: u32,
}

/// So many bits can be added at once to those that do not fill a byte yet.
const MOST_AT_ONCE: u32 = 56;

impl BitWriter {
    /// Adds the lowest `count` bits of a value, of which there are at most 64.
    fn put(&mut self, value: u64, count: u32) {
        if count > MOST_AT_ONCE {
            self.put(value >> MOST_AT_ONCE, count - MOST_AT_ONCE);
            return self.put(value, MOST_AT_ONCE);
        }
        let bits = value & ((1 << count) - 1);
        self.partial = self.partial << count | bits;
        self.partial_bits += count;
        while self.partial_bits >= 8 {
            self.partial_bits -= 8;
            self.bytes.push((self.partial >> self.partial_bits).to_le_bytes()[0]);
        }
        self.partial &= (1 << self.partial_bits) - 1;
    }

    fn put_sample(&mut self, sample: i16) {
        self.put(u64::from(sample.cast_unsigned()), BITS_PER_SAMPLE);
    }

    fn put_unary(&mut self, mut zeros: u32) {
        while zeros >= MOST_AT_ONCE {
            self.put(0, MOST_AT_ONCE);
            zeros -= MOST_AT_ONCE;
        }
        self.put(1, zeros + 1);
    }

    /// A frame's number, coded as UTF-8 codes a character, up to 31 bits (section 9.1.5).
    fn put_utf8(&mut self, number: u32) {
        if number < 0x80 {
            return self.put(number.into(), 8);
        }
        let bits = u32::BITS - number.leading_zeros();
        // Bytes beyond the first, each with six bits; the first has what then is left of seven.
        let following = (1..6).find(|following| bits <= following * 6 + 6 - following).unwrap_or(5);
        let ones = following + 1;
        self.put(u64::MAX << 1, ones + 1);
        self.put((number >> (following * 6)).into(), 7 - ones);
        for place in (0..following).rev() {
            self.put(0b10, 2);
            self.put((number >> (place * 6)).into(), 6);
        }
    }

    fn align(&mut self) {
        if self.partial_bits > 0 {
            self.put(0, 8 - self.partial_bits);
        }
    }
}

/// The header's checksum: x^8 + x^2 + x + 1 (section 9.1.8).
fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, byte| (0..8).fold(crc ^ byte, |crc: u8, _| crc << 1 ^ if crc & 0x80 == 0 { 0 } else { 0x07 }))
}

/// The frame's checksum: x^16 + x^15 + x^2 + 1 (section 9.3).
fn crc16(bytes: &[u8]) -> u16 {
    let step = |crc: u16, byte: &u8| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| crc << 1 ^ if crc & 0x8000 == 0 { 0 } else { 0x8005 })
    };
    bytes.iter().fold(0, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_differences_of_either_sign_become_small_numbers() {
        assert_eq!([0, -1, 1, -2, 2, 131_070, -131_072].map(zigzag), [0, 1, 2, 3, 4, 262_140, 262_143]);
    }

    #[test]
    fn a_frame_s_number_is_coded_as_utf8_codes_a_character() {
        for number in [0, 0x7F, 0x80, 0x7FF, 0x800, 0xFFFF, 0x1_0000, 0x10_FFFF] {
            let Some(character) = char::from_u32(number) else { continue };
            let mut bits = BitWriter::default();
            bits.put_utf8(number);
            assert_eq!(bits.bytes, character.to_string().as_bytes(), "{number:x}");
        }
    }

    #[test]
    fn bits_stand_in_the_order_in_which_they_were_put() {
        let mut bits = BitWriter::default();
        bits.put(0b101, 3);
        bits.put_unary(60);
        bits.put(u64::MAX, 64);
        bits.put(0, 64);
        bits.align();
        let text: String = bits.bytes.iter().map(|byte| format!("{byte:08b}")).collect::<Vec<_>>().concat();
        let expected = format!("101{}1{}{}", "0".repeat(60), "1".repeat(64), "0".repeat(64));
        assert_eq!(text, expected);
    }

    #[test]
    fn the_checksums_are_those_of_the_format() {
        // The catalogue's check values for CRC-8/SMBUS and CRC-16/UMTS.
        assert_eq!((crc8(b"123456789"), crc16(b"123456789")), (0xF4, 0xFEE8));
    }
}
