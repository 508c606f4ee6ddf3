//! Ogg (RFC 3533): packets of one stream in pages, each with a checksum.

use std::hash::{BuildHasher, RandomState};

/// What a page's header may say of its place in the stream (section 6).
const FIRST_PAGE: u8 = 2;
const LAST_PAGE: u8 = 4;
/// A packet's length is written as so many of these and one smaller number.
const FULL_SEGMENT: usize = 255;

/// The pages of one stream.
pub(super) struct Pages {
    serial: u32,
    written: u32,
    /// The lengths of the next page's packets, as its header has them.
    segments: Vec<u8>,
    packets: Vec<u8>,
}

impl Pages {
    /// A stream with a number of its own, by which files can be joined end to end (section 4).
    pub(super) fn new() -> Self {
        let [a, b, c, d, ..] = RandomState::new().hash_one(0).to_le_bytes();
        Self { serial: u32::from_le_bytes([a, b, c, d]), written: 0, segments: Vec::new(), packets: Vec::new() }
    }

    /// Adds a packet to the next page. A page holds 255 segments: it is for the caller to end it before that.
    pub(super) fn add(&mut self, packet: &[u8]) {
        self.packets.extend(packet);
        let mut rest = packet.len();
        while rest >= FULL_SEGMENT {
            self.segments.push(u8::MAX);
            rest -= FULL_SEGMENT;
        }
        self.segments.extend(u8::try_from(rest));
    }

    /// Ends a page that others follow. What `position` counts is the codec's own.
    pub(super) fn page(&mut self, position: u64) -> Vec<u8> {
        let place = if self.written == 0 { FIRST_PAGE } else { 0 };
        self.end_page(place, position)
    }

    /// Ends the stream.
    pub(super) fn last_page(mut self, position: u64) -> Vec<u8> {
        self.end_page(LAST_PAGE, position)
    }

    fn end_page(&mut self, place: u8, position: u64) -> Vec<u8> {
        let head = |checksum: u32| {
            let mut bytes = Vec::with_capacity(27 + self.segments.len() + self.packets.len());
            bytes.extend(b"OggS\0");
            bytes.push(place);
            bytes.extend(position.to_le_bytes());
            bytes.extend(self.serial.to_le_bytes());
            bytes.extend(self.written.to_le_bytes());
            bytes.extend(checksum.to_le_bytes());
            bytes.extend(u8::try_from(self.segments.len()));
            bytes.extend(&self.segments);
            bytes
        };
        // The checksum is of the page with zero in its place.
        let mut page = head(checksum(checksum(0, &head(0)), &self.packets));
        page.append(&mut self.packets);
        self.segments.clear();
        self.written = self.written.wrapping_add(1);
        page
    }
}

/// CRC-32 with the polynomial 0x04C11DB7, the highest bit first, beginning with zero (section 6).
fn checksum(before: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(before, |crc, byte| {
        let index = crc.to_be_bytes()[0] ^ byte;
        crc << 8 ^ CHECKSUMS.get(usize::from(index)).copied().unwrap_or_default()
    })
}

/// The checksum of each byte.
const CHECKSUMS: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0_u32;
    while byte < 256 {
        let mut crc = byte << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = crc << 1 ^ if crc >> 31 == 0 { 0 } else { 0x04C1_1DB7 };
            bit += 1;
        }
        #[expect(clippy::indexing_slicing, reason = "computed while compiling, where it would not compile")]
        {
            table[byte as usize] = crc;
        }
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_format() {
        // CRC-32/BZIP2 of the catalogue but for what it begins and ends with, whose check value is that of CRC-32/CKSUM before its length.
        assert_eq!(checksum(0, b"123456789"), 0x89A1_897F);
    }

    #[test]
    fn a_packet_s_length_is_told_by_its_segments() {
        let mut pages = Pages::new();
        for length in [0, 254, 255, 510] {
            pages.add(&vec![7; length]);
        }
        assert_eq!(pages.segments, [0, 254, 255, 0, 255, 255, 0]);
        let page = pages.page(0x0102);
        assert_eq!((page[5], &page[6..14], page[26]), (FIRST_PAGE, 0x0102_u64.to_le_bytes().as_slice(), 7));
        assert_eq!(page.len(), 27 + 7 + 254 + 255 + 510);
        assert_eq!((pages.page(0)[5], pages.last_page(0)[18..22].to_vec()), (0, vec![2, 0, 0, 0]));
    }
}
