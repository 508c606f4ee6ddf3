//! Speech of a server that speaks OpenAI's API (<https://platform.openai.com/docs/api-reference/audio/createSpeech>).

use async_trait::async_trait;
use domain::{AudioFormat, VoiceName};
use futures_util::stream;
use ports::{AudioStream, GenerationError, SpeechRequest, SpeechSynthesizer, SynthesizerDescription, Voice};
use serde::Serialize;

use super::relay::relayed;
use super::{MediaLimits, Settings, expect_type, media_error};
use crate::failures::midway_error;
use crate::http::{Call, Endpoint};

const PROVIDER: &str = "openai";
const SETTINGS: Settings =
    Settings { address: "OPENAI_BASE_URL says where it is, and SPEECH_BACKEND chooses another", key: Some("OPENAI_API_KEY") };
/// The voices that the contract names for every model. They are languages, and its voices speak them all.
const LANGUAGES: [&str; 8] = ["en", "es", "fr", "de", "it", "pt", "ja", "zh-CN"];
/// The voices that OpenAI documents; another server may have others, and is asked for whatever a request names.
const VOICES: [&str; 11] = ["alloy", "ash", "ballad", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer", "verse"];

/// Speaks by asking a server that speaks OpenAI's API.
pub struct OpenAiSpeech {
    endpoint: Endpoint,
    model: String,
    limits: MediaLimits,
}

impl OpenAiSpeech {
    /// Asks there, for this model where a request names none.
    pub const fn new(endpoint: Endpoint, model: String, limits: MediaLimits) -> Self {
        Self { endpoint, model, limits }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    input: &'a str,
    voice: &'a str,
    response_format: &'static str,
    speed: f64,
}

#[async_trait]
impl SpeechSynthesizer for OpenAiSpeech {
    fn describe(&self) -> SynthesizerDescription {
        const FORMATS: &[AudioFormat] = &[AudioFormat::Mp3, AudioFormat::Wav, AudioFormat::Opus, AudioFormat::Flac];
        SynthesizerDescription { formats: FORMATS, has_speed: true, has_pitch: false }
    }

    async fn voices(&self) -> Result<Vec<Voice>, GenerationError> {
        let voice = |name: &&str| Some(Voice { name: VoiceName::new(*name).ok()?, description: "every language".to_owned() });
        Ok(VOICES.iter().filter_map(voice).collect())
    }

    async fn synthesize(&self, request: SpeechRequest) -> Result<AudioStream, GenerationError> {
        let deadline = self.limits.deadline();
        let place = self.limits.places.take(deadline).await?;
        let is_language = LANGUAGES.iter().any(|language| language.eq_ignore_ascii_case(request.voice.as_str()));
        let voice = if is_language { "alloy" } else { request.voice.as_str() };
        let body = Body {
            model: request.provider_model.as_deref().unwrap_or(&self.model),
            input: &request.text,
            voice,
            response_format: request.format.as_str(),
            speed: request.speed.get(),
        };
        let body = serde_json::to_vec(&body).map_err(|error| GenerationError::Failed(error.to_string()))?;
        let call = Call::post("audio/speech", body, deadline).patient_for(self.limits.patience());
        let answer = self.endpoint.call(call).await.map_err(|failure| media_error(PROVIDER, SETTINGS, failure))?;
        expect_type(PROVIDER, &answer, "audio")?;
        let sound = stream::try_unfold((answer, place), async |(mut answer, place)| {
            let piece = answer.chunk().await.map_err(|failure| midway_error(PROVIDER, failure))?;
            if piece.is_none() {
                answer.succeeded();
            }
            Ok(piece.map(|piece| (piece, (answer, place))))
        });
        Ok(relayed(sound, deadline))
    }
}
