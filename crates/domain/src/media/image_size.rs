//! How large a picture is.

use std::fmt;
use std::str::FromStr;

use crate::Refusal;

/// Width and height in pixels, each 64–2048.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImageSize {
    width: u32,
    height: u32,
}

impl ImageSize {
    /// The shortest side allowed.
    pub const MIN: u32 = 64;
    /// The longest side allowed.
    pub const MAX: u32 = 2048;

    /// Checks a size.
    pub fn new(width: u32, height: u32) -> Result<Self, Refusal> {
        let allowed = Self::MIN..=Self::MAX;
        if allowed.contains(&width) && allowed.contains(&height) { Ok(Self { width, height }) } else { Err(refused_size()) }
    }

    /// The pixels from left to right.
    pub const fn width(self) -> u32 {
        self.width
    }

    /// The pixels from top to bottom.
    pub const fn height(self) -> u32 {
        self.height
    }
}

fn refused_size() -> Refusal {
    Refusal::field("size", format!("must be WIDTHxHEIGHT, as in 512x512, with {} to {} a side", ImageSize::MIN, ImageSize::MAX))
}

impl Default for ImageSize {
    fn default() -> Self {
        Self { width: 512, height: 512 }
    }
}

impl fmt::Display for ImageSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}x{}", self.width, self.height)
    }
}

impl FromStr for ImageSize {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let side = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let (width, height) = text.split_once('x').ok_or_else(refused_size)?;
        let (width, height) = side(width).zip(side(height)).ok_or_else(refused_size)?;
        Self::new(width, height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_lies_within_its_bounds() {
        assert_eq!("64x2048".parse(), Ok(ImageSize { width: 64, height: 2048 }));
        for text in ["", "512", "512X512", "63x512", "512x2049", "+512x512", "512x512x512", "x", "-1x512", "99999999999x64"] {
            assert!(text.parse::<ImageSize>().is_err(), "{text}");
        }
        assert_eq!(ImageSize::default().to_string(), "512x512");
    }
}
