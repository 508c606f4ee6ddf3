//! Speech of Google Translate: the address that its own page asks, which promises nothing to anybody.

use async_trait::async_trait;
use domain::{AudioFormat, VoiceName};
use futures_util::stream;
use ports::{AudioStream, GenerationError, SpeechRequest, SpeechSynthesizer, SynthesizerDescription, Voice};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::relay::relayed;
use super::sentences::pieces;
use super::{MediaLimits, Settings, expect_type, media_error};
use crate::http::{Call, Endpoint};

/// Its name in errors and metrics.
pub(crate) const PROVIDER: &str = "gtts";
const SETTINGS: Settings = Settings { address: "GTTS_BASE_URL says where it is, and SPEECH_BACKEND chooses another", key: None };
/// It speaks no more at once.
const MAX_CHARACTERS: usize = 100;
/// A hundred characters take ten seconds, and a second 4 kB.
const MAX_PIECE_BYTES: usize = 1 << 20;

/// What it speaks, as its page lists it.
const LANGUAGES: &[(&str, &str)] = &[
    ("af", "Afrikaans"),
    ("ar", "Arabic"),
    ("bg", "Bulgarian"),
    ("bn", "Bengali"),
    ("bs", "Bosnian"),
    ("ca", "Catalan"),
    ("cs", "Czech"),
    ("da", "Danish"),
    ("de", "German"),
    ("el", "Greek"),
    ("en", "English"),
    ("es", "Spanish"),
    ("et", "Estonian"),
    ("eu", "Basque"),
    ("fi", "Finnish"),
    ("fr", "French"),
    ("gl", "Galician"),
    ("gu", "Gujarati"),
    ("hi", "Hindi"),
    ("hr", "Croatian"),
    ("hu", "Hungarian"),
    ("id", "Indonesian"),
    ("is", "Icelandic"),
    ("it", "Italian"),
    ("iw", "Hebrew"),
    ("ja", "Japanese"),
    ("jw", "Javanese"),
    ("km", "Khmer"),
    ("kn", "Kannada"),
    ("ko", "Korean"),
    ("la", "Latin"),
    ("lt", "Lithuanian"),
    ("lv", "Latvian"),
    ("ml", "Malayalam"),
    ("mr", "Marathi"),
    ("ms", "Malay"),
    ("my", "Burmese"),
    ("ne", "Nepali"),
    ("nl", "Dutch"),
    ("no", "Norwegian"),
    ("pa", "Punjabi"),
    ("pl", "Polish"),
    ("pt", "Portuguese"),
    ("pt-PT", "Portuguese (Portugal)"),
    ("ro", "Romanian"),
    ("ru", "Russian"),
    ("si", "Sinhala"),
    ("sk", "Slovak"),
    ("sq", "Albanian"),
    ("sr", "Serbian"),
    ("su", "Sundanese"),
    ("sv", "Swedish"),
    ("sw", "Swahili"),
    ("ta", "Tamil"),
    ("te", "Telugu"),
    ("th", "Thai"),
    ("tl", "Filipino"),
    ("tr", "Turkish"),
    ("uk", "Ukrainian"),
    ("ur", "Urdu"),
    ("vi", "Vietnamese"),
    ("yue", "Cantonese"),
    ("zh", "Chinese (Mandarin)"),
    ("zh-CN", "Chinese (Simplified)"),
    ("zh-TW", "Chinese (Traditional)"),
];

/// Its two paces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GttsPace {
    /// `gtts`.
    Normal,
    /// `gtts-slow`.
    Slow,
}

/// Speaks by asking Google Translate.
#[derive(Clone)]
pub struct Gtts {
    endpoint: Endpoint,
    pace: GttsPace,
    limits: MediaLimits,
}

impl Gtts {
    /// Asks there, at this pace.
    pub const fn new(endpoint: Endpoint, pace: GttsPace, limits: MediaLimits) -> Self {
        Self { endpoint, pace, limits }
    }

    /// One piece of a text, as MP3. Frames of MP3 stand each for itself, so that pieces can be joined.
    async fn speak(&self, language: &str, piece: &str, deadline: Instant) -> Result<Vec<u8>, GenerationError> {
        let speed = match self.pace {
            GttsPace::Normal => "1",
            GttsPace::Slow => "0.24",
        };
        let query = [
            ("ie", "UTF-8".to_owned()),
            ("client", "tw-ob".to_owned()),
            ("tl", language.to_owned()),
            ("ttsspeed", speed.to_owned()),
            ("q", piece.to_owned()),
        ];
        let failed = |failure| media_error(PROVIDER, SETTINGS, failure);
        let answer = self.endpoint.call(Call::get("translate_tts", deadline).with_query(&query)).await.map_err(failed)?;
        expect_type(PROVIDER, &answer, "audio")?;
        answer.bytes(MAX_PIECE_BYTES).await.map_err(failed)
    }
}

/// What is still to be spoken, the next piece last.
struct Unspoken {
    gtts: Gtts,
    language: &'static str,
    pieces: Vec<String>,
    deadline: Instant,
    place: OwnedSemaphorePermit,
}

#[async_trait]
impl SpeechSynthesizer for Gtts {
    fn describe(&self) -> SynthesizerDescription {
        SynthesizerDescription { formats: &[AudioFormat::Mp3], has_speed: false, has_pitch: false }
    }

    async fn voices(&self) -> Result<Vec<Voice>, GenerationError> {
        let voice = |(name, language): &(&str, &str)| {
            Some(Voice { name: VoiceName::new(*name).ok()?, description: (*language).to_owned() })
        };
        Ok(LANGUAGES.iter().filter_map(voice).collect())
    }

    async fn synthesize(&self, request: SpeechRequest) -> Result<AudioStream, GenerationError> {
        let known = LANGUAGES.iter().find(|(name, _)| name.eq_ignore_ascii_case(request.voice.as_str()));
        let (language, _) = known.ok_or(GenerationError::Unsupported { field: "voice" })?;
        let deadline = self.limits.deadline();
        let place = self.limits.places.take(deadline).await?;
        let mut pieces = pieces(&request.text, MAX_CHARACTERS);
        pieces.reverse();
        // The first piece is spoken here: a provider that cannot be reached is told of before anything is answered.
        let first = match pieces.pop() {
            Some(piece) => self.speak(language, &piece, deadline).await?,
            None => Vec::new(),
        };
        let unspoken = Unspoken { gtts: self.clone(), language, pieces, deadline, place };
        let sound = stream::try_unfold((Some(first), unspoken), async |(ready, mut unspoken)| {
            let piece = if let Some(piece) = ready {
                piece
            } else if let Some(piece) = unspoken.pieces.pop() {
                unspoken.gtts.speak(unspoken.language, &piece, unspoken.deadline).await?
            } else {
                drop(unspoken.place);
                return Ok(None);
            };
            Ok(Some((piece.into(), (None, unspoken))))
        });
        Ok(relayed(sound, deadline))
    }
}
