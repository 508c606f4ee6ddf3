//! How often something may be done: the generic cell rate algorithm (GCRA; ITU-T I.371, Annex A), as a pure function of one kept time.
//!
//! A limit of `n` requests a period lets a burst of `n` through at once and then one every `period / n`. The state is one number, the
//! *theoretical arrival time*, so it fits a map in memory and a key in Redis alike, and no counter has to be reset at a window's edge.

use std::time::Duration;

use crate::Refusal;

/// So many requests a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RateLimit {
    requests: u32,
    period: Duration,
}

/// What a limiter says of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateDecision {
    /// The limit that applied, in requests a period.
    pub limit: u32,
    /// How many more would be let through now.
    pub remaining: u32,
    /// When all of the limit is free again.
    pub reset_after: Duration,
    /// `None` if the request may go on; otherwise when to try again.
    pub retry_after: Option<Duration>,
}

impl RateLimit {
    /// The most requests a period that can be told apart in nanoseconds and still make sense as a limit.
    pub const MAX_REQUESTS: u32 = 1_000_000;

    /// So many requests a minute: 1–1,000,000.
    pub fn per_minute(requests: u32) -> Result<Self, Refusal> {
        if (1..=Self::MAX_REQUESTS).contains(&requests) {
            Ok(Self { requests, period: Duration::from_mins(1) })
        } else {
            Err(Refusal::field("requests_per_minute", format!("must be between 1 and {}", Self::MAX_REQUESTS)))
        }
    }

    /// How many requests a period.
    pub const fn requests(self) -> u32 {
        self.requests
    }

    /// The period.
    pub const fn period(self) -> Duration {
        self.period
    }

    /// The time one request takes up.
    pub fn interval(self) -> Duration {
        self.period / self.requests
    }

    /// Judges one request at `now`, both times counted from the same beginning. Answers the state to keep, unchanged where the request is
    /// refused.
    pub fn judge(self, arrival: Option<Duration>, now: Duration) -> (Duration, RateDecision) {
        let interval = self.interval();
        let burst = interval * self.requests;
        let arrival = arrival.unwrap_or(now).max(now);
        let next = arrival + interval;
        let over = next.saturating_sub(now + burst);
        if over.is_zero() {
            (next, self.decision(next.saturating_sub(now), None))
        } else {
            (arrival, self.decision(arrival.saturating_sub(now), Some(over)))
        }
    }

    fn decision(self, reset_after: Duration, retry_after: Option<Duration>) -> RateDecision {
        let taken = u32::try_from(reset_after.as_nanos().div_ceil(self.interval().as_nanos().max(1))).unwrap_or(u32::MAX);
        RateDecision { limit: self.requests, remaining: self.requests.saturating_sub(taken), reset_after, retry_after }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_burst_of_the_whole_limit_passes_and_the_next_must_wait_its_turn() {
        let limit = RateLimit::per_minute(60).unwrap();
        let mut state = None;
        for left in (0..60).rev() {
            let (next, decision) = limit.judge(state, seconds(5));
            assert_eq!((decision.retry_after, decision.remaining), (None, left));
            state = Some(next);
        }
        let (kept, refused) = limit.judge(state, seconds(5));
        assert_eq!((refused.retry_after, refused.remaining, refused.reset_after), (Some(seconds(1)), 0, seconds(60)));
        assert_eq!(Some(kept), state, "a refused request costs nothing");
        assert_eq!(limit.judge(state, seconds(6)).1.retry_after, None);
        assert_eq!(limit.judge(state, seconds(65)).1.remaining, 59);
    }

    proptest! {
        #[test]
        fn in_no_stretch_of_time_does_more_pass_than_the_limit_and_its_refill(
            requests in 1_u32..50, gaps in prop::collection::vec(0_u64..5_000, 1..200)
        ) {
            let limit = RateLimit::per_minute(requests).unwrap();
            let (mut state, mut now, mut passed) = (None, Duration::ZERO, Vec::new());
            for gap in gaps {
                now += Duration::from_millis(gap);
                let (next, decision) = limit.judge(state, now);
                state = Some(next);
                if decision.retry_after.is_none() { passed.push(now); }
            }
            for (i, first) in passed.iter().enumerate() {
                for (j, last) in passed.iter().enumerate().skip(i) {
                    let refill = last.saturating_sub(*first).as_nanos() / limit.interval().as_nanos();
                    prop_assert!((j - i + 1) as u128 <= u128::from(requests) + refill);
                }
            }
        }
    }
}
