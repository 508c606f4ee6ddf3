//! Making API keys and knowing them again.

use std::fmt;

use domain::ApiKeyHash;

/// A key that was just made, to be shown to its owner this once. It never prints.
#[derive(Clone, PartialEq, Eq)]
pub struct NewApiKey {
    /// The key itself.
    pub key: String,
    /// How it begins, which is kept in the clear.
    pub prefix: String,
    /// What is kept of the whole.
    pub hash: ApiKeyHash,
}

impl fmt::Debug for NewApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "NewApiKey({}…)", self.prefix)
    }
}

/// Makes and takes apart API keys.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait ApiKeyCodec: Send + Sync {
    /// A new key of 256 random bits behind a prefix of its own.
    fn draw(&self) -> NewApiKey;

    /// The prefix and the hash of what a caller presents, or `None` if it does not have a key's shape (an access token, say).
    fn read(&self, presented: &str) -> Option<(String, ApiKeyHash)>;

    /// Whether two hashes are the same, in a time that does not tell where they differ.
    fn same(&self, one: &ApiKeyHash, other: &ApiKeyHash) -> bool;
}
