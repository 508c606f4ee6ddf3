//! How a text is spoken.

use std::fmt;

use crate::Refusal;

/// A voice's name: 1–64 ASCII letters, digits, `-`, `_`, `+` and `.`, beginning with a letter or a digit. `en`, `zh-CN`, `en-gb-scotland`.
///
/// Which of them there are is for the engine to say.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VoiceName(String);

impl VoiceName {
    /// Checks a name.
    pub fn new(name: impl Into<String>) -> Result<Self, Refusal> {
        let name = name.into();
        let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_+.".contains(c);
        if name.len() <= 64 && begins_well && name.chars().all(allowed) {
            Ok(Self(name))
        } else {
            Err(Refusal::field("voice", "is not the name of a voice; GET /tts/voices lists them"))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for VoiceName {
    fn default() -> Self {
        Self("en".to_owned())
    }
}

impl fmt::Display for VoiceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// How sound is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AudioFormat {
    /// MPEG-1 or -2 Audio Layer III.
    #[default]
    Mp3,
    /// Uncompressed, in a RIFF file.
    Wav,
    /// Opus in Ogg.
    Opus,
    /// The Free Lossless Audio Codec.
    Flac,
}

impl AudioFormat {
    /// Every format, the default one first.
    pub const ALL: [Self; 4] = [Self::Mp3, Self::Wav, Self::Opus, Self::Flac];

    /// The format's name on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mp3 => "mp3",
            Self::Wav => "wav",
            Self::Opus => "opus",
            Self::Flac => "flac",
        }
    }

    /// Its media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Mp3 => "audio/mpeg",
            Self::Wav => "audio/wav",
            Self::Opus => "audio/ogg",
            Self::Flac => "audio/flac",
        }
    }

    /// Reads a format by its name.
    pub fn parse(name: &str) -> Result<Self, Refusal> {
        let known = Self::ALL.into_iter().find(|format| format.as_str() == name);
        known.ok_or_else(|| Refusal::field("format", "must be mp3, wav, opus or flac"))
    }
}

/// How fast a text is spoken: 0.25–4 times the voice's own speed, as in OpenAI's API.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed(f64);

impl Speed {
    /// Checks a speed.
    pub fn new(speed: f64) -> Result<Self, Refusal> {
        if (0.25..=4.0).contains(&speed) { Ok(Self(speed)) } else { Err(Refusal::field("speed", "must be between 0.25 and 4")) }
    }

    /// The number itself.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Default for Speed {
    fn default() -> Self {
        Self(1.0)
    }
}

/// How high a text is spoken: 0–2, 1 being the voice's own, as in the Web Speech API's `SpeechSynthesisUtterance.pitch`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pitch(f64);

impl Pitch {
    /// Checks a pitch.
    pub fn new(pitch: f64) -> Result<Self, Refusal> {
        if (0.0..=2.0).contains(&pitch) { Ok(Self(pitch)) } else { Err(Refusal::field("pitch", "must be between 0 and 2")) }
    }

    /// The number itself.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Default for Pitch {
    fn default() -> Self {
        Self(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voices_name_can_be_no_option_and_no_path() {
        for name in ["", "-v", "../x", "a b", "a/b", "é", "+m1", &"a".repeat(65)] {
            assert!(VoiceName::new(name).is_err(), "{name:?}");
        }
        for name in ["en", "zh-CN", "en-gb-scotland", "en+f3", "uz_CYRL"] {
            assert!(VoiceName::new(name).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn speed_and_pitch_lie_within_their_bounds() {
        for speed in [0.24, 4.01, f64::NAN, f64::INFINITY, -1.0] {
            assert!(Speed::new(speed).is_err(), "{speed}");
        }
        for pitch in [-0.1, 2.1, f64::NAN] {
            assert!(Pitch::new(pitch).is_err(), "{pitch}");
        }
        assert!(Speed::new(0.25).is_ok() && Pitch::new(0.0).is_ok());
    }

    #[test]
    fn every_format_is_found_by_its_own_name() {
        for format in AudioFormat::ALL {
            assert_eq!(AudioFormat::parse(format.as_str()), Ok(format));
        }
        assert!(AudioFormat::parse("aac").is_err());
    }
}
