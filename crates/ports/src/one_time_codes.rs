//! Making one-time codes and knowing them again.

use domain::OneTimeCodeHash;

/// Makes one-time codes and the hashes that are kept of them.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait OneTimeCodes: Send + Sync {
    /// A new code of 256 random bits, fit for a link.
    fn draw(&self) -> String;

    /// What is kept of a code. The same code always gives the same hash.
    fn hash(&self, code: &str) -> OneTimeCodeHash;
}
