//! Identifiers of pictures and recordings.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::Refusal;

/// Identifies a picture or a recording.
///
/// A UUID of version 7; for one that belongs to nobody followed by 128 random bits. A UUID of version 7 tells its time and may be counted
/// up from another one, so that it can be guessed; whoever knows the whole identifier of an anonymous record was given it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MediaId {
    uuid: Uuid,
    secret: Option<u128>,
}

impl MediaId {
    /// The identifier of a user's record.
    pub const fn owned(uuid: Uuid) -> Self {
        Self { uuid, secret: None }
    }

    /// The identifier of a record that belongs to nobody.
    pub const fn anonymous(uuid: Uuid, random_bits: u128) -> Self {
        Self { uuid, secret: Some(random_bits) }
    }

    /// The UUID alone, which orders records of the same instant.
    pub const fn uuid(self) -> Uuid {
        self.uuid
    }
}

impl fmt::Display for MediaId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uuid.fmt(formatter)?;
        self.secret.map_or(Ok(()), |secret| write!(formatter, "-{secret:032x}"))
    }
}

/// Bytes of a UUID written with hyphens.
const UUID_BYTES: usize = 36;
/// Hexadecimal digits of an anonymous identifier's random bits.
const SECRET_DIGITS: usize = 32;

impl FromStr for MediaId {
    type Err = Refusal;

    /// Reads what [`fmt::Display`] writes, and no other spelling: an identifier has one name in storage.
    fn from_str(text: &str) -> Result<Self, Refusal> {
        let refused = || Refusal::field("id", "is not an identifier of this server");
        let (uuid, rest) = text.split_at_checked(UUID_BYTES).ok_or_else(refused)?;
        let uuid = Uuid::parse_str(uuid).map_err(|_| refused())?;
        let secret = match rest.strip_prefix('-') {
            None => None,
            Some(digits) if digits.len() == SECRET_DIGITS => Some(u128::from_str_radix(digits, 16).map_err(|_| refused())?),
            Some(_) => return Err(refused()),
        };
        let id = Self { uuid, secret };
        if id.to_string() == text { Ok(id) } else { Err(refused()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: Uuid = Uuid::from_u128(0x0197_a1b2_0000_7000_8000_0000_0000_00ff);

    #[test]
    fn an_identifier_has_one_spelling() {
        let (owned, anonymous) = (MediaId::owned(UUID), MediaId::anonymous(UUID, 5));
        assert_eq!(owned.to_string(), "0197a1b2-0000-7000-8000-0000000000ff");
        assert_eq!(anonymous.to_string(), "0197a1b2-0000-7000-8000-0000000000ff-00000000000000000000000000000005");
        for id in [owned, anonymous] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        let digits = "0".repeat(SECRET_DIGITS);
        for text in [
            String::new(),
            "x".into(),
            format!("{owned}-"),
            format!("{owned}-5"),
            format!("{owned}{digits}"),
            format!("{owned}-+{}", &digits[1..]),
            owned.to_string().to_uppercase(),
            format!("{anonymous}/../x"),
            "é".repeat(30),
        ] {
            assert!(text.parse::<MediaId>().is_err(), "{text}");
        }
    }
}
