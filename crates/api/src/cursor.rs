//! Cursors on the wire: opaque to clients, strictly checked when they come back.
//!
//! A cursor is 24 bytes (the record's time in microseconds since 1970, big-endian, and its identifier) in base64url without padding. It
//! holds no secret and no right: a page shows only what its caller may see, wherever it begins.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use domain::Cursor;
use uuid::Uuid;

use crate::ApiError;

/// Ten thousand years after Christ; no record is younger, and not every database can compare a later time.
const MAX_MICROSECONDS: i64 = 253_402_300_799_999_999;

/// Writes a cursor for a client to send back.
pub fn encode(cursor: &Cursor) -> String {
    let mut bytes = [0; 24];
    let (time, id) = bytes.split_at_mut(8);
    time.copy_from_slice(&cursor.created_at.timestamp_micros().to_be_bytes());
    id.copy_from_slice(cursor.id.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a cursor that a client sent; anything that this server cannot have written is a 422.
pub fn decode(text: &str) -> Result<Cursor, ApiError> {
    decode_strictly(text).ok_or_else(|| ApiError::malformed("cursor: is not a next_cursor of this server"))
}

fn decode_strictly(text: &str) -> Option<Cursor> {
    let bytes: [u8; 24] = (text.len() == 32).then(|| URL_SAFE_NO_PAD.decode(text).ok())??.try_into().ok()?;
    let (time, id) = bytes.split_at(8);
    let microseconds = i64::from_be_bytes(time.try_into().ok()?);
    let created_at = (0..=MAX_MICROSECONDS).contains(&microseconds).then(|| DateTime::from_timestamp_micros(microseconds))??;
    Some(Cursor { created_at, id: Uuid::from_slice(id).ok()? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_written_is_read_back(microseconds in 0..=MAX_MICROSECONDS, id: u128) {
            let created_at = DateTime::from_timestamp_micros(microseconds).unwrap();
            let cursor = Cursor { created_at, id: Uuid::from_u128(id) };
            prop_assert_eq!(decode(&encode(&cursor)).unwrap(), cursor);
        }

        #[test]
        fn any_text_is_read_or_refused_and_never_read_in_two_ways(text in "\\PC{0,40}|[A-Za-z0-9_-]{32}") {
            if let Ok(cursor) = decode(&text) {
                prop_assert_eq!(encode(&cursor), text);
            }
        }
    }

    #[test]
    fn times_that_no_record_has_are_refused() {
        for microseconds in [-1, MAX_MICROSECONDS + 1, i64::MAX, i64::MIN] {
            let mut bytes = [0; 24];
            bytes[..8].copy_from_slice(&i64::to_be_bytes(microseconds));
            assert!(decode(&URL_SAFE_NO_PAD.encode(bytes)).is_err(), "{microseconds}");
        }
    }
}
