//! Pictures of a server that speaks OpenAI's API (<https://platform.openai.com/docs/api-reference/images/create>).

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::ImageSize;
use ports::{GenerationError, ImageGenerator, ImageRequest};
use serde::{Deserialize, Serialize};

use super::{MAX_IMAGE_BYTES, MediaLimits, Settings, media_error};
use crate::http::{Call, Endpoint};

const PROVIDER: &str = "openai";
const SETTINGS: Settings =
    Settings { address: "OPENAI_BASE_URL says where it is, and IMAGE_BACKEND chooses another", key: Some("OPENAI_API_KEY") };
/// Base64 takes four bytes for three, and JSON a few around them.
const MAX_ANSWER_BYTES: usize = MAX_IMAGE_BYTES / 3 * 4 + 4096;

/// Draws by asking a server that speaks OpenAI's API.
pub struct OpenAiImages {
    endpoint: Endpoint,
    model: String,
    limits: MediaLimits,
}

impl OpenAiImages {
    /// Asks there, for this model where a request names none.
    pub const fn new(endpoint: Endpoint, model: String, limits: MediaLimits) -> Self {
        Self { endpoint, model, limits }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    prompt: &'a str,
    n: u32,
    size: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<&'static str>,
}

#[derive(Deserialize)]
struct Drawn {
    data: Vec<Picture>,
}

#[derive(Deserialize)]
struct Picture {
    b64_json: Option<String>,
}

/// The size to ask for: a model that knows only a few is asked for the one of the nearest proportions.
fn asked_size(model: &str, size: ImageSize) -> String {
    let known: &[(u32, u32)] = if model.starts_with("gpt-image") {
        &[(1024, 1024), (1536, 1024), (1024, 1536)]
    } else if model == "dall-e-3" {
        &[(1024, 1024), (1792, 1024), (1024, 1792)]
    } else if model == "dall-e-2" {
        &[(256, 256), (512, 512), (1024, 1024)]
    } else {
        &[]
    };
    let proportion = |width: u32, height: u32| f64::from(width) / f64::from(height);
    let wanted = proportion(size.width(), size.height());
    let distance = |(width, height): &(u32, u32)| {
        let enough = *width >= size.width().min(1024);
        ((proportion(*width, *height) / wanted).ln().abs(), !enough, *width)
    };
    let nearest = known.iter().min_by(|a, b| {
        let (a, b) = (distance(a), distance(b));
        a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2))
    });
    nearest.map_or_else(|| size.to_string(), |(width, height)| format!("{width}x{height}"))
}

#[async_trait]
impl ImageGenerator for OpenAiImages {
    async fn generate(&self, request: ImageRequest) -> Result<Bytes, GenerationError> {
        let deadline = self.limits.deadline();
        let _place = self.limits.places.take(deadline).await?;
        let model = request.provider_model.as_deref().unwrap_or(&self.model);
        let failed = |problem: String| GenerationError::ProviderFailed { provider: PROVIDER, problem };
        let body = Body {
            model,
            prompt: &request.prompt,
            n: 1,
            size: asked_size(model, request.size),
            // These send nothing else, and refuse to be asked for it.
            response_format: (!model.starts_with("gpt-image")).then_some("b64_json"),
        };
        let body = serde_json::to_vec(&body).map_err(|error| GenerationError::Failed(error.to_string()))?;
        let call = Call::post("images/generations", body, deadline).patient_for(self.limits.patience());
        let unreached = |failure| media_error(PROVIDER, SETTINGS, failure);
        let drawn: Drawn = self.endpoint.call(call).await.map_err(unreached)?.json(MAX_ANSWER_BYTES).await.map_err(unreached)?;
        let picture = drawn.data.into_iter().next().and_then(|picture| picture.b64_json);
        // A link would lead to a host that nobody here has chosen.
        let picture = picture.ok_or_else(|| failed("it sent no picture, or a link in its place".to_owned()))?;
        Ok(STANDARD.decode(picture).map_err(|_| failed("what it sent is no base64".to_owned()))?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_knows_few_sizes_is_asked_for_the_nearest() {
        let of = |model, width, height| asked_size(model, ImageSize::new(width, height).unwrap());
        assert_eq!(of("gpt-image-1", 512, 512), "1024x1024");
        assert_eq!(of("gpt-image-1", 1920, 1080), "1536x1024");
        assert_eq!(of("gpt-image-1", 600, 1000), "1024x1536");
        assert_eq!(of("dall-e-3", 1920, 1080), "1792x1024");
        assert_eq!(of("dall-e-2", 300, 300), "512x512");
        assert_eq!(of("dall-e-2", 2048, 2048), "1024x1024");
        assert_eq!(of("stable-diffusion", 640, 480), "640x480");
    }
}
