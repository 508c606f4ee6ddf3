//! The two digests of the hub, which are also the names under which it keeps files: SHA-256 for large files (Git LFS), and for all others
//! what Git calls a blob's object id.

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::names::is_hex;

/// What a file's content must hash to, in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BlobDigest {
    /// A large file: the SHA-256 of its content.
    Sha256(String),
    /// Any other: the SHA-1 of `blob SIZE\0` and its content (<https://git-scm.com/book/en/v2/Git-Internals-Git-Objects>).
    Git(String),
}

impl BlobDigest {
    /// The `oid` of a large file.
    pub(crate) fn of_large_file(oid: &str) -> Option<Self> {
        let hex = oid.strip_prefix("sha256:").unwrap_or(oid);
        is_hex(hex, 64).then(|| Self::Sha256(hex.to_owned()))
    }

    /// The `oid` of any other file.
    pub(crate) fn of_git_blob(oid: &str) -> Option<Self> {
        is_hex(oid, 40).then(|| Self::Git(oid.to_owned()))
    }

    /// The name of the file's place among the blobs.
    pub(crate) fn name(&self) -> &str {
        let (Self::Sha256(hex) | Self::Git(hex)) = self;
        hex
    }
}

/// Computes a digest while the bytes come in.
pub(crate) enum Hasher {
    Sha256(Sha256),
    Git(Sha1),
}

impl Hasher {
    /// For a file that is to have this digest and size.
    pub(crate) fn new(digest: &BlobDigest, size_bytes: u64) -> Self {
        match digest {
            BlobDigest::Sha256(_) => Self::Sha256(Sha256::new()),
            BlobDigest::Git(_) => Self::Git(Sha1::new_with_prefix(format!("blob {size_bytes}\0"))),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Git(hasher) => hasher.update(bytes),
        }
    }

    /// The digest of everything so far, in lower-case hexadecimal.
    pub(crate) fn finish(self) -> String {
        match self {
            Self::Sha256(hasher) => hex::encode(hasher.finalize()),
            Self::Git(hasher) => hex::encode(hasher.finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_of(expected: &BlobDigest, content: &[u8]) -> String {
        let mut hasher = Hasher::new(expected, u64::try_from(content.len()).unwrap());
        content.chunks(3).for_each(|part| hasher.update(part));
        hasher.finish()
    }

    #[test]
    fn a_small_file_hashes_as_git_hashes_it() {
        // `printf 'hello\n' | git hash-object --stdin`
        let expected = BlobDigest::of_git_blob("ce013625030ba8dba906f756967f9e9ca394464a").unwrap();
        assert_eq!(digest_of(&expected, b"hello\n"), expected.name());
    }

    #[test]
    fn a_large_file_hashes_by_sha256() {
        let expected = BlobDigest::of_large_file("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad").unwrap();
        assert_eq!(digest_of(&expected, b"abc"), expected.name());
    }

    #[test]
    fn what_is_no_digest_becomes_no_file_name() {
        for oid in ["", "../../etc/passwd", "CE013625030BA8DBA906F756967F9E9CA394464A", "ce01"] {
            assert!(BlobDigest::of_git_blob(oid).is_none() && BlobDigest::of_large_file(oid).is_none(), "{oid}");
        }
    }
}
