//! Under which name a subject is kept. Subjects hold what clients send (account names), so their length is bounded here.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

/// Long enough for every address, identifier and account name of the server.
const MOST_BYTES: usize = 128;

/// The subject itself or, where it is long, its digest.
pub(crate) fn subject_key(subject: &str) -> Cow<'_, str> {
    if subject.len() <= MOST_BYTES {
        Cow::Borrowed(subject)
    } else {
        Cow::Owned(format!("sha256:{}", hex::encode(Sha256::digest(subject))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_subject_is_kept_under_its_name_and_a_long_one_under_its_digest() {
        assert_eq!(subject_key("address:2001:db8::1"), "address:2001:db8::1");
        let (one, other) = (subject_key(&"x".repeat(5_000)).into_owned(), subject_key(&"x".repeat(5_001)).into_owned());
        assert_eq!(one.len(), "sha256:".len() + 64);
        assert_ne!(one, other);
    }
}
