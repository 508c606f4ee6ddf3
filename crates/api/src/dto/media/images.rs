//! Pictures.

use chrono::{DateTime, Utc};
use domain::{MediaRecord, MediaSettings};
use serde::{Deserialize, Serialize};
use services::ImageOrder;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Common, MediaLinks, MediaStatus};
use crate::dto::integer;

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
