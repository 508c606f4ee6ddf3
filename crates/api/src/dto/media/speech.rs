//! Speech, and who can speak.

use chrono::{DateTime, Utc};
use domain::{MediaRecord, MediaSettings};
use ports::Voice;
use serde::{Deserialize, Serialize};
use services::SpeechOrder;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Common, MediaLinks, MediaStatus};

/// A text to be spoken.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SpeechRequest {
    /// The words.
    #[schema(example = "Once upon a time there was a king.", min_length = 1)]
    prompt: String,
    /// A name of `GET /tts/voices`.
    #[schema(example = "en", default = "en")]
    voice: Option<String>,
    /// `espeak`, `gtts`, `gtts-slow`, `openai`, or `openai:` and the name of a model there; the server's default if absent.
    #[schema(example = "espeak")]
    model: Option<String>,
    /// `mp3`, `wav`, `flac` or `opus`, as far as the model makes it.
    #[schema(example = "mp3", default = "mp3")]
    format: Option<String>,
    /// 1 is the voice's own.
    #[schema(minimum = 0.25, maximum = 4, default = 1)]
    speed: Option<f64>,
    /// 1 is the voice's own.
    #[schema(minimum = 0, maximum = 2, default = 1)]
    pitch: Option<f64>,
    /// Whether to answer with the sound itself, while it is made.
    #[serde(default)]
    pub(crate) stream: bool,
}

impl From<SpeechRequest> for SpeechOrder {
    fn from(request: SpeechRequest) -> Self {
        let SpeechRequest { prompt, voice, model, format, speed, pitch, stream: _ } = request;
        Self { prompt, voice, model, format, speed, pitch }
    }
}

/// A recording.
#[derive(Serialize, ToSchema)]
pub(crate) struct SpeechResponse {
    /// Which one.
    #[schema(example = "0197a1b2-0000-7000-8000-000000000000")]
    id: String,
    /// Whose it is; `null` if it was made without signing in.
    #[schema(required)]
    user_id: Option<Uuid>,
    /// How far it is.
    status: MediaStatus,
    /// The words.
    #[schema(example = "Once upon a time there was a king.")]
    prompt: String,
    /// Which model spoke.
    #[schema(example = "espeak")]
    model: String,
    /// With which voice.
    #[schema(example = "en")]
    voice: String,
    /// How the sound is encoded.
    #[schema(example = "mp3")]
    format: &'static str,
    /// How fast.
    #[schema(example = 1.0)]
    speed: f64,
    /// How high.
    #[schema(example = 1.0)]
    pitch: f64,
    /// The media type of what `download_url` leads to.
    #[schema(example = "audio/mpeg")]
    content_type: &'static str,
    /// How large it is; `null` until it is done.
    #[schema(required)]
    size_bytes: Option<u64>,
    /// Why it could not be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// When it was asked for.
    created_at: DateTime<Utc>,
    /// When it ended; `null` until then.
    #[schema(required)]
    finished_at: Option<DateTime<Utc>>,
    /// A signed link to the recording, which works without a token for a while; `null` until it is done.
    #[schema(required)]
    download_url: Option<String>,
}

impl SpeechResponse {
    pub(crate) fn new(record: MediaRecord, links: MediaLinks) -> Self {
        let common = Common::from(&record.state);
        let content_type = record.content_type();
        let (voice, format, speed, pitch) = match record.settings {
            MediaSettings::Speech { voice, format, speed, pitch } => {
                (voice.to_string(), format.as_str(), speed.get(), pitch.get())
            }
            // The routes read each kind by itself.
            MediaSettings::Image { .. } => (String::new(), "", 1.0, 1.0),
        };
        Self {
            id: record.id.to_string(),
            user_id: record.user_id.map(domain::UserId::uuid),
            status: common.status,
            prompt: record.prompt,
            model: record.model.to_string(),
            voice,
            format,
            speed,
            pitch,
            content_type,
            size_bytes: common.size_bytes,
            error: common.error,
            created_at: record.created_at,
            finished_at: common.finished_at,
            download_url: links.content.map(|link| link.url),
        }
    }
}

/// Which synthesizer's voices.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct VoicesQuery {
    /// The synthesizer; the server's default if absent.
    pub(crate) model: Option<String>,
}

/// A voice.
#[derive(Serialize, ToSchema)]
pub(crate) struct VoiceResponse {
    /// What a request names it by.
    #[schema(example = "en")]
    name: String,
    /// What it speaks.
    #[schema(example = "English (Great Britain)")]
    description: String,
}

/// The voices of a synthesizer.
#[derive(Serialize, ToSchema)]
pub(crate) struct VoiceListResponse {
    /// In the order of their names.
    items: Vec<VoiceResponse>,
    /// Always `null`: they are not many.
    #[schema(required)]
    next_cursor: Option<String>,
}

impl From<Vec<Voice>> for VoiceListResponse {
    fn from(voices: Vec<Voice>) -> Self {
        let items = voices
            .into_iter()
            .map(|voice| VoiceResponse { name: voice.name.to_string(), description: voice.description })
            .collect();
        Self { items, next_cursor: None }
    }
}
