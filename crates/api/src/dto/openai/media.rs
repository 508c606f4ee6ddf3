//! Pictures and speech.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use services::{ImageOrder, SpeechOrder};
use utoipa::ToSchema;

use super::unserved::{self, Others, Unserved, unsupported};
use crate::ApiError;
use crate::dto::integer;

const OF_IMAGES: &[Unserved] = &[
    ("stream", |value| *value == false),
    ("background", |value| value == "auto" || value == "opaque"),
    ("output_format", |value| value == "png"),
    ("output_compression", |value| value.as_f64() == Some(100.0)),
    ("partial_images", |value| value.as_f64() == Some(0.0)),
];

const OF_SPEECH: &[Unserved] =
    &[("instructions", |value| value == ""), ("stream_format", |value| value == "audio" || value == "")];

/// The most pictures of one request; each is made after the other.
const MAX_IMAGES: i64 = 4;

/// Pictures to be made. `quality`, `style`, `moderation` and `user` are ignored; what else is known of OpenAI's API and would change the
/// answer is refused.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ImagesRequest {
    /// What they show.
    prompt: String,
    /// A model of this server; OpenAI's own names (`gpt-image-1`, `dall-e-3`, …) stand for the default one.
    model: Option<String>,
    /// How many.
    #[schema(minimum = 1, maximum = 4)]
    #[serde(default, deserialize_with = "integer::optional")]
    n: Option<i64>,
    /// `1024x1024`, or any other within this server's bounds; `auto` for the default.
    size: Option<String>,
    /// `url` or `b64_json`. Without it `b64_json` for `gpt-image-…`, which know nothing else, and `url` for the others.
    response_format: Option<String>,
    #[serde(flatten)]
    #[schema(ignore)]
    others: Others,
}

/// How pictures are handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handover {
    /// As signed links.
    Links,
    /// In the answer.
    Bytes,
}

impl ImagesRequest {
    /// What is asked for, how often, and how it is to be handed over.
    pub(crate) fn read(self) -> Result<(ImageOrder, usize, Handover), ApiError> {
        unserved::refuse(&self.others, OF_IMAGES)?;
        let n = self.n.unwrap_or(1);
        if !(1..=MAX_IMAGES).contains(&n) {
            return Err(domain::Refusal::field("n", format!("must be between 1 and {MAX_IMAGES}, got {n}")).into());
        }
        let knows_only_bytes = self.model.as_deref().is_some_and(|model| model.starts_with("gpt-image"));
        let handover = match self.response_format.as_deref() {
            Some("url") => Handover::Links,
            Some("b64_json") => Handover::Bytes,
            Some(_) => return Err(unsupported("response_format", "must be url or b64_json")),
            None if knows_only_bytes => Handover::Bytes,
            None => Handover::Links,
        };
        let size = self.size.filter(|size| size != "auto").or_else(|| Some("1024x1024".to_owned()));
        let is_openais = |model: &String| ["gpt-image", "dall-e", "chatgpt-image"].iter().any(|name| model.starts_with(name));
        let model = self.model.filter(|model| !is_openais(model));
        Ok((ImageOrder { prompt: self.prompt, size, model, seed: None }, usize::try_from(n).unwrap_or(1), handover))
    }
}

/// The pictures that were made.
#[derive(Serialize, ToSchema)]
pub(crate) struct ImagesResponse {
    /// When, in seconds since 1970.
    created: i64,
    /// In the order of their making.
    data: Vec<ImageDatum>,
}

/// A picture: one of the two.
#[derive(Serialize, ToSchema)]
pub(crate) struct ImageDatum {
    /// A signed link to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// The PNG itself, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    b64_json: Option<String>,
}

impl ImageDatum {
    pub(crate) fn link(url: String) -> Self {
        Self { url: Some(url), b64_json: None }
    }

    pub(crate) fn bytes(png: &[u8]) -> Self {
        Self { url: None, b64_json: Some(STANDARD.encode(png)) }
    }
}

impl ImagesResponse {
    pub(crate) fn new(created: DateTime<Utc>, data: Vec<ImageDatum>) -> Self {
        Self { created: created.timestamp(), data }
    }
}

/// A text to be spoken.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SpeechCreationRequest {
    /// The words.
    input: String,
    /// A model of this server; OpenAI's own names (`tts-1`, `tts-1-hd`, `gpt-4o-mini-tts`) stand for the default one.
    model: Option<String>,
    /// A name of `GET /tts/voices`; OpenAI's own (`alloy`, …) stand for the default one where the model is none of OpenAI's.
    #[schema(value_type = Option<String>)]
    voice: Option<Value>,
    /// `mp3`, `wav`, `flac` or `opus`, as far as the model makes it.
    response_format: Option<String>,
    /// 0.25–4.
    speed: Option<f64>,
    #[serde(flatten)]
    #[schema(ignore)]
    others: Others,
}

const OPENAI_VOICES: [&str; 13] =
    ["alloy", "ash", "ballad", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer", "verse", "marin", "cedar"];

impl SpeechCreationRequest {
    /// What is asked for; `default_model` is what a request without a model means.
    pub(crate) fn read(self, default_model: &str) -> Result<SpeechOrder, ApiError> {
        unserved::refuse(&self.others, OF_SPEECH)?;
        let is_openais = |model: &String| model.starts_with("tts-1") || model.starts_with("gpt-4o-mini-tts");
        let model = self.model.filter(|model| !is_openais(model));
        let speaks_openai = model.as_deref().unwrap_or(default_model).starts_with("openai");
        let voice = match self.voice {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name),
            Some(_) => return Err(unsupported("voice", "must be the name of a voice")),
        };
        let voice = voice.filter(|name| speaks_openai || !OPENAI_VOICES.contains(&name.as_str()));
        let (format, speed) = (self.response_format, self.speed);
        Ok(SpeechOrder { prompt: self.input, voice, model, format, speed, pitch: None })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn images(body: Value) -> Result<(ImageOrder, usize, Handover), ApiError> {
        serde_json::from_value::<ImagesRequest>(body).unwrap().read()
    }

    fn speech(body: Value, default_model: &str) -> Result<SpeechOrder, ApiError> {
        serde_json::from_value::<SpeechCreationRequest>(body).unwrap().read(default_model)
    }

    #[test]
    fn openais_own_names_stand_for_the_defaults() {
        let (order, n, handover) = images(json!({"prompt": "a", "model": "gpt-image-1", "quality": "high"})).unwrap();
        assert_eq!((order.model, order.size.as_deref(), n, handover), (None, Some("1024x1024"), 1, Handover::Bytes));
        let (order, n, handover) = images(json!({"prompt": "a", "model": "openai:x", "n": 2, "size": "64x64"})).unwrap();
        assert_eq!(
            (order.model.as_deref(), order.size.as_deref(), n, handover),
            (Some("openai:x"), Some("64x64"), 2, Handover::Links)
        );
        let order = speech(json!({"input": "a", "model": "tts-1", "voice": "alloy"}), "espeak").unwrap();
        assert_eq!((order.model, order.voice), (None, None));
        let order = speech(json!({"input": "a", "model": "tts-1", "voice": "alloy"}), "openai").unwrap();
        assert_eq!((order.model, order.voice.as_deref()), (None, Some("alloy")));
        let order = speech(json!({"input": "a", "model": "gtts", "voice": "de"}), "espeak").unwrap();
        assert_eq!((order.model.as_deref(), order.voice.as_deref()), (Some("gtts"), Some("de")));
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        for (body, field) in [
            (json!({"prompt": "a", "stream": true}), "stream"),
            (json!({"prompt": "a", "background": "transparent"}), "background"),
            (json!({"prompt": "a", "response_format": "gif"}), "response_format"),
            (json!({"prompt": "a", "n": 5}), "n"),
        ] {
            assert_eq!(images(body).map(drop).unwrap_err().param(), Some(field));
        }
        for (body, field) in [
            (json!({"input": "a", "instructions": "whisper"}), "instructions"),
            (json!({"input": "a", "stream_format": "sse"}), "stream_format"),
            (json!({"input": "a", "voice": {"id": "x"}}), "voice"),
        ] {
            assert_eq!(speech(body, "espeak").map(drop).unwrap_err().param(), Some(field));
        }
    }
}
