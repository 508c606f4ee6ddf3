//! Biases by token. JSON has no numbers for names, so an identifier comes as a string; one that is none is named in the refusal.

use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Reads a field that may be absent or `null` (`deserialize_with`, together with `default`).
pub(super) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<BTreeMap<u32, f64>>, D::Error> {
    let Some(named) = Option::<BTreeMap<String, f64>>::deserialize(deserializer)? else { return Ok(None) };
    let by_token = named.into_iter().map(|(name, bias)| match name.parse() {
        Ok(token) => Ok((token, bias)),
        Err(_) => Err(D::Error::custom("must have token identifiers for names: whole numbers from 0, in quotes")),
    });
    by_token.collect::<Result<_, _>>().map(Some)
}
