//! What both kinds of completion tell beside their text.

use domain::FinishReason;
use serde::Serialize;
use services::CompletionHead;
use utoipa::ToSchema;

use crate::dto::texts::UsageResponse;

/// Why a choice ended, in OpenAI's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OpenAiFinishReason {
    /// The model ended it, or a stop string did.
    Stop,
    /// It reached its length.
    Length,
}

impl From<FinishReason> for OpenAiFinishReason {
    fn from(reason: FinishReason) -> Self {
        match reason {
            FinishReason::Stop => Self::Stop,
            // A text that was cut is an error here, so this one reached its length.
            FinishReason::Length | FinishReason::Interrupted => Self::Length,
        }
    }
}

/// The tokens, as a member of an answer or a chunk.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum UsageMember {
    /// Nobody asked for them: there is no such member.
    Absent,
    /// They are told in the last chunk; until then it is `null`.
    Later,
    /// Tokens read and made.
    Told(UsageResponse),
}

impl UsageMember {
    pub(super) const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// What every answer and every chunk of one completion repeats.
#[derive(Debug, Clone)]
pub(super) struct Heading {
    pub(super) id: String,
    pub(super) created: i64,
    pub(super) model: String,
    /// The weights, in a few characters: the same seed gives the same text only where this is the same.
    pub(super) system_fingerprint: Option<String>,
}

impl Heading {
    pub(super) fn new(prefix: &str, head: &CompletionHead) -> Self {
        let fingerprint = head.weights_digest.as_deref().and_then(|digest| digest.get(..FINGERPRINT_DIGITS));
        Self {
            id: format!("{prefix}-{}", head.id.uuid().simple()),
            created: head.created_at.timestamp(),
            model: head.model.to_string(),
            system_fingerprint: fingerprint.map(|digits| format!("fp_{digits}")),
        }
    }
}

/// As many as OpenAI's have.
const FINGERPRINT_DIGITS: usize = 10;
