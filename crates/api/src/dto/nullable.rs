//! Fields that tell `null` from their absence.

use serde::{Deserialize, Deserializer};

/// Reads what is there, `null` too, as a wish; with `#[serde(default)]`, what is absent is none.
#[expect(clippy::option_option, reason = "what is absent and what is null are two wishes")]
pub(super) fn nullable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
