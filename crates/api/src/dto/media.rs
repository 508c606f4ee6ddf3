//! Pictures and speech: what is asked for, and what was made.

use chrono::{DateTime, Utc};
use domain::{MediaRecord, MediaSettings, MediaState};
use ports::Voice;
use serde::{Deserialize, Serialize};
use services::{ImageOrder, SignedLink, SpeechOrder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::integer;

/// A picture to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImageRequest {
    /// What it shows.
    #[schema(example = "a lighthouse in a storm, oil on canvas", min_length = 1)]
    prompt: String,
    /// Width and height in pixels, each 64–2048.
    #[schema(example = "512x512", default = "512x512")]
    size: Option<String>,
    /// `pollinations`, `openai`, or `openai:` and the name of a model there; the server's default if absent.
    #[schema(example = "pollinations")]
    model: Option<String>,
    /// Where the random choices begin, as far as the provider heeds it; drawn if absent.
    #[schema(minimum = 0, example = 42)]
    #[serde(default, deserialize_with = "integer::optional")]
    seed: Option<i64>,
}

impl From<ImageRequest> for ImageOrder {
    fn from(request: ImageRequest) -> Self {
        let ImageRequest { prompt, size, model, seed } = request;
        Self { prompt, size, model, seed }
    }
}

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

/// How far it is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MediaStatus {
    /// It waits for its turn.
    Queued,
    /// It is being made.
    Running,
    /// It is made and kept.
    Done,
    /// It could not be made; `error` says why.
    Failed,
}

/// The links to what was made; none while there is nothing.
#[derive(Default)]
pub(crate) struct MediaLinks {
    pub(crate) content: Option<SignedLink>,
    pub(crate) thumbnail: Option<SignedLink>,
}

/// What both kinds have in common, once their links are signed.
struct Common {
    status: MediaStatus,
    size_bytes: Option<u64>,
    error: Option<String>,
    finished_at: Option<DateTime<Utc>>,
}

impl From<&MediaState> for Common {
    fn from(state: &MediaState) -> Self {
        let (status, size_bytes, error) = match state {
            MediaState::Queued => (MediaStatus::Queued, None, None),
            MediaState::Running => (MediaStatus::Running, None, None),
            MediaState::Done { size_bytes, .. } => (MediaStatus::Done, Some(*size_bytes), None),
            MediaState::Failed { reason, .. } => (MediaStatus::Failed, None, Some(reason.clone())),
        };
        Self { status, size_bytes, error, finished_at: state.finished_at() }
    }
}

/// A picture.
#[derive(Serialize, ToSchema)]
pub(crate) struct ImageResponse {
    /// Which one.
    #[schema(example = "0197a1b2-0000-7000-8000-000000000000")]
    id: String,
    /// Whose it is; `null` if it was made without signing in.
    #[schema(required)]
    user_id: Option<Uuid>,
    /// How far it is.
    status: MediaStatus,
    /// What it shows.
    #[schema(example = "a lighthouse in a storm, oil on canvas")]
    prompt: String,
    /// Which model made it.
    #[schema(example = "pollinations")]
    model: String,
    /// Width and height in pixels.
    #[schema(example = "512x512")]
    size: String,
    /// Where the random choices began.
    #[schema(example = 42)]
    seed: i64,
    /// The media type of what `download_url` leads to.
    #[schema(example = "image/png")]
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
    /// A signed link to the picture, which works without a token for a while; `null` until it is done.
    #[schema(required)]
    download_url: Option<String>,
    /// The same to a small copy, as WebP.
    #[schema(required)]
    thumbnail_url: Option<String>,
}

impl ImageResponse {
    pub(crate) fn new(record: MediaRecord, links: MediaLinks) -> Self {
        let common = Common::from(&record.state);
        let (size, seed) = match &record.settings {
            MediaSettings::Image { size, seed } => (size.to_string(), seed.get()),
            // The routes read each kind by itself.
            MediaSettings::Speech { .. } => (String::new(), 0),
        };
        Self {
            id: record.id.to_string(),
            user_id: record.user_id.map(domain::UserId::uuid),
            status: common.status,
            content_type: record.content_type(),
            prompt: record.prompt,
            model: record.model.to_string(),
            size,
            seed,
            size_bytes: common.size_bytes,
            error: common.error,
            created_at: record.created_at,
            finished_at: common.finished_at,
            download_url: links.content.map(|link| link.url),
            thumbnail_url: links.thumbnail.map(|link| link.url),
        }
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

/// A signed link.
#[derive(Serialize, ToSchema)]
pub(crate) struct DownloadResponse {
    /// Where it leads; it works without a token.
    #[schema(example = "http://127.0.0.1:8000/objects/requests/2026/11/21/…?expires=1795132800&signature=…")]
    url: String,
    /// Until when it works.
    expires_at: DateTime<Utc>,
}

impl DownloadResponse {
    /// Where it leads.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl From<SignedLink> for DownloadResponse {
    fn from(link: SignedLink) -> Self {
        Self { url: link.url, expires_at: link.expires_at }
    }
}

/// How to answer a download.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DownloadQuery {
    /// Whether to answer with a redirect (307) instead of the link.
    #[serde(default)]
    pub(crate) redirect: bool,
}

/// What makes a link one of this server's.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LinkQuery {
    /// Until when it works, in seconds since 1970.
    pub(crate) expires: i64,
    /// What nobody else can make.
    pub(crate) signature: String,
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
