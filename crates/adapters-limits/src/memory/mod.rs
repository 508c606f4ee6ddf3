//! The adapters of one process.
//!
//! Each keeps its states in one map behind one plain lock. A call holds it for about a microsecond and never across a wait, so a million
//! calls a second would fit; several locks would buy nothing that a web server could notice, and would make both the bound and the order
//! of forgetting approximate. The time is read under the lock: states never see it run backwards.

mod bounded_states;
mod rate_limiter;
mod sign_in_throttle;

pub use rate_limiter::MemoryRateLimiter;
pub use sign_in_throttle::MemorySignInThrottle;

/// How many subjects are kept unless told otherwise: 20 to 30 MB when full.
pub const DEFAULT_MAX_SUBJECTS: usize = 100_000;
