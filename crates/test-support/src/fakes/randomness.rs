//! "Chance" that a test can foresee.

use std::sync::atomic::{AtomicU64, Ordering};

use ports::Randomness;
use uuid::Uuid;

use crate::builders::a_uuid;

/// Counts where the real one draws: identifiers grow by one, and the seeds made from its bits are 1, 2, 3…
#[derive(Debug, Default)]
pub struct SequentialRandomness {
    drawn: AtomicU64,
}

impl Randomness for SequentialRandomness {
    /// Unique in the whole test, also across several of these fakes.
    fn uuid_v7(&self) -> Uuid {
        a_uuid()
    }

    /// `n << 11` for the n-th call: `domain::Seed` drops the lowest 11 bits.
    fn bits(&self) -> u64 {
        (self.drawn.fetch_add(1, Ordering::Relaxed) + 1) << 11
    }
}
