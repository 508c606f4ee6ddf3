//! Pictures and speech: what is asked for, and what was made. Here is what both have in common.

mod images;
mod speech;

use chrono::{DateTime, Utc};
use domain::MediaState;
use serde::{Deserialize, Serialize};
use services::SignedLink;
use utoipa::{IntoParams, ToSchema};

pub(crate) use images::{ImageRequest, ImageResponse};
pub(crate) use speech::{SpeechRequest, SpeechResponse, VoiceListResponse, VoicesQuery};

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

/// A signed link.
#[derive(Serialize, ToSchema)]
pub(crate) struct DownloadResponse {
    /// Where it leads; it works without a token.
    #[schema(example = "http://127.0.0.1:8000/objects/requests/2026/11/21/…?expires=1795132800&signature=…")]
    url: String,
    /// Until when it works.
    expires_at: DateTime<Utc>,
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
