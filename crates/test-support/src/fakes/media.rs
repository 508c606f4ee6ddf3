//! What speaks and draws in tests, and what writes of it.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use domain::{AudioFormat, ImageSize, MediaRecord, VoiceName};
use futures_util::{StreamExt, stream};
use ports::{
    AudioStream, GenerationError, ImageGenerator, ImageRequest, MediaDocuments, Picture, PictureCodec, PictureError,
    SpeechRequest, SpeechSynthesizer, SynthesizerDescription, Voice,
};

/// One piece of what a fake says.
pub type Piece = Result<Bytes, GenerationError>;

/// Says what a test tells it to, to everybody. Copies share what they say.
#[derive(Clone)]
pub struct FakeSynthesizer(Arc<Mutex<Says>>);

struct Says {
    refusal: Option<GenerationError>,
    pieces: Vec<Piece>,
    /// Whether the last piece is followed by nothing, for ever.
    hangs: bool,
    requests: Vec<SpeechRequest>,
}

impl FakeSynthesizer {
    /// Says these pieces.
    pub fn saying<const N: usize>(pieces: [&'static str; N]) -> Self {
        let pieces = pieces.map(|piece| Ok(Bytes::from_static(piece.as_bytes()))).to_vec();
        Self(Arc::new(Mutex::new(Says { refusal: None, pieces, hangs: false, requests: Vec::new() })))
    }

    /// From now on says these pieces.
    pub fn say(&self, pieces: Vec<Piece>) {
        self.0.lock().unwrap().pieces = pieces;
    }

    /// From now on refuses to begin, or no longer does.
    pub fn refuse(&self, refusal: Option<GenerationError>) {
        self.0.lock().unwrap().refusal = refusal;
    }

    /// From now on says nothing after its last piece, and does not end.
    pub fn hang(&self) {
        self.0.lock().unwrap().hangs = true;
    }

    /// What it was asked to say.
    pub fn requests(&self) -> Vec<SpeechRequest> {
        self.0.lock().unwrap().requests.clone()
    }
}

#[async_trait]
impl SpeechSynthesizer for FakeSynthesizer {
    fn describe(&self) -> SynthesizerDescription {
        SynthesizerDescription { formats: &[AudioFormat::Mp3, AudioFormat::Wav], has_speed: true, has_pitch: false }
    }

    async fn voices(&self) -> Result<Vec<Voice>, GenerationError> {
        let voice = |name: &str| Voice { name: VoiceName::new(name).unwrap(), description: "A voice".into() };
        Ok(vec![voice("de"), voice("en")])
    }

    async fn synthesize(&self, request: SpeechRequest) -> Result<AudioStream, GenerationError> {
        let mut says = self.0.lock().unwrap();
        if let Some(refusal) = &says.refusal {
            return Err(refusal.clone());
        }
        if !["de", "en"].contains(&request.voice.as_str()) {
            return Err(GenerationError::Unsupported { field: "voice" });
        }
        says.requests.push(request);
        let pieces = stream::iter(says.pieces.clone());
        Ok(if says.hangs { pieces.chain(stream::pending()).boxed() } else { pieces.boxed() })
    }
}

/// Draws what a test tells it to. Copies share it.
#[derive(Clone)]
pub struct FakeImageGenerator(Arc<Mutex<Piece>>);

impl FakeImageGenerator {
    /// Always draws this.
    pub fn drawing(bytes: &'static str) -> Self {
        Self(Arc::new(Mutex::new(Ok(Bytes::from_static(bytes.as_bytes())))))
    }

    /// From now on draws this, or fails.
    pub fn draw(&self, drawn: Piece) {
        *self.0.lock().unwrap() = drawn;
    }
}

#[async_trait]
impl ImageGenerator for FakeImageGenerator {
    async fn generate(&self, _request: ImageRequest) -> Result<Bytes, GenerationError> {
        self.0.lock().unwrap().clone()
    }
}

/// Takes whatever is not `nonsense` for a picture.
#[derive(Debug, Clone, Copy, Default)]
pub struct FakePictureCodec;

#[async_trait]
impl PictureCodec for FakePictureCodec {
    async fn normalise(&self, sent: Bytes, size: ImageSize) -> Result<Picture, PictureError> {
        if &*sent == b"nonsense" {
            return Err(PictureError::NotAPicture("it is nonsense".into()));
        }
        let png = Bytes::from([b"PNG ".as_slice(), size.to_string().as_bytes(), b" ", &sent].concat());
        Ok(Picture { png, thumbnail_webp: Bytes::from_static(b"WEBP") })
    }
}

/// Writes the identifier, the state and the prompt, in a line.
#[derive(Debug, Clone, Copy, Default)]
pub struct FakeDocuments;

impl MediaDocuments for FakeDocuments {
    fn input(&self, record: &MediaRecord) -> Bytes {
        format!("{} {}\n", record.id, record.prompt).into()
    }

    fn record(&self, record: &MediaRecord) -> Bytes {
        self.history_line(record)
    }

    fn history_line(&self, record: &MediaRecord) -> Bytes {
        format!("{} {} {}\n", record.id, record.state.as_str(), record.prompt).into()
    }
}
