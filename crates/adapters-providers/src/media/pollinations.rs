//! Pictures of Pollinations (<https://github.com/pollinations/pollinations/blob/main/APIDOCS.md>).

use async_trait::async_trait;
use bytes::Bytes;
use ports::{GenerationError, ImageGenerator, ImageRequest};

use super::{MAX_IMAGE_BYTES, MediaLimits, Settings, expect_type, media_error};
use crate::http::{Call, Endpoint};

/// Its name in errors and metrics.
pub(crate) const PROVIDER: &str = "pollinations";
const SETTINGS: Settings = Settings {
    address: "POLLINATIONS_BASE_URL says where it is, and IMAGE_BACKEND chooses another",
    key: Some("POLLINATIONS_API_KEY"),
};
/// It takes seeds that fit in 31 bits.
const SEEDS: i64 = 1 << 31;

/// Which of its two interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollinationsApi {
    /// The older one: `GET /prompt/{prompt}`, open to anybody.
    Prompt,
    /// The newer one: `GET /image/{prompt}`, with a key.
    Image,
}

/// Draws by asking Pollinations.
pub struct Pollinations {
    endpoint: Endpoint,
    api: PollinationsApi,
    limits: MediaLimits,
}

impl Pollinations {
    /// Asks there.
    pub const fn new(endpoint: Endpoint, api: PollinationsApi, limits: MediaLimits) -> Self {
        Self { endpoint, api, limits }
    }
}

#[async_trait]
impl ImageGenerator for Pollinations {
    async fn generate(&self, request: ImageRequest) -> Result<Bytes, GenerationError> {
        let deadline = self.limits.deadline();
        let _place = self.limits.places.take(deadline).await?;
        let mut query = vec![
            ("width", request.size.width().to_string()),
            ("height", request.size.height().to_string()),
            ("seed", (request.seed.get() % SEEDS).to_string()),
            ("nologo", "true".to_owned()),
            ("private", "true".to_owned()),
        ];
        query.extend(request.provider_model.map(|model| ("model", model)));
        let folder = match self.api {
            PollinationsApi::Prompt => "prompt",
            PollinationsApi::Image => "image",
        };
        // It draws first and answers then: there is nothing to hear before the picture.
        let call = Call::get(folder, deadline).of(&request.prompt).with_query(&query).patient_for(self.limits.patience());
        let failed = |failure| media_error(PROVIDER, SETTINGS, failure);
        let answer = self.endpoint.call(call).await.map_err(failed)?;
        expect_type(PROVIDER, &answer, "image")?;
        Ok(answer.bytes(MAX_IMAGE_BYTES).await.map_err(failed)?.into())
    }
}
