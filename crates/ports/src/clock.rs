//! What time it is.

use chrono::{DateTime, Utc};

/// Tells the time. Values are cut to microseconds, the finest that every database keeps.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> DateTime<Utc>;
}
