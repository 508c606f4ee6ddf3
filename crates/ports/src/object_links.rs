//! Links to objects that this server hands out itself.

use domain::{ObjectKey, Timestamp};

/// Signs links, and checks those that come back. Pure: it reads no clock and keeps nothing.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait ObjectLinks: Send + Sync {
    /// The signature of a link to this object until this time, as text that needs no escaping in a URL. Times count in whole seconds.
    fn sign(&self, key: &ObjectKey, expires_at: Timestamp) -> String;

    /// Whether this is the signature of a link to this very object until this very time. Takes equally long for every wrong one.
    fn is_signed(&self, key: &ObjectKey, expires_at: Timestamp, signature: &str) -> bool;
}
