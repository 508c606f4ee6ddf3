//! Whole numbers in requests. JSON knows one kind of number (RFC 8259, section 6), and some clients write 50 as `50.0`; a fraction is refused.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// Reads a field that must be there (`deserialize_with`).
pub(super) fn required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Integer::deserialize(deserializer).map(|integer| integer.0)
}

/// Reads a field that may be absent or `null` (`deserialize_with`, together with `default`).
pub(super) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Ok(Option::<Integer>::deserialize(deserializer)?.map(|integer| integer.0))
}

/// A whole number, however it is written.
struct Integer(i64);

impl<'de> Deserialize<'de> for Integer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IntegerVisitor)
    }
}

struct IntegerVisitor;

impl Visitor<'_> for IntegerVisitor {
    type Value = Integer;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an integer")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Integer, E> {
        Ok(Integer(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Integer, E> {
        i64::try_from(number).map(Integer).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Integer, E> {
        // Beyond this a float no longer tells neighbouring integers apart.
        const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
        if number.fract() == 0.0 && number.abs() <= MAX_EXACT {
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and below 2^53")]
            return Ok(Integer(number as i64));
        }
        Err(E::invalid_type(Unexpected::Float(number), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<i64> {
        serde_json::from_str::<Integer>(json).ok().map(|integer| integer.0)
    }

    #[test]
    fn a_whole_number_is_read_however_it_is_written() {
        assert_eq!(read("50"), Some(50));
        assert_eq!(read("50.0"), Some(50));
        assert_eq!(read("5e1"), Some(50));
        assert_eq!(read("-1"), Some(-1));
        assert_eq!(read("9223372036854775807"), Some(i64::MAX));
    }

    #[test]
    fn what_is_not_whole_or_not_exact_is_refused() {
        for json in ["50.5", "1e300", "9223372036854775808", "9.3e18", "\"50\"", "true", "null", "[50]"] {
            assert_eq!(read(json), None, "{json}");
        }
    }
}
