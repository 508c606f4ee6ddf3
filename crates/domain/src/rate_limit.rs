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

    /// How far ahead of now the theoretical arrival time may be: the whole limit, used up. In whole intervals, so that exactly
    /// [`Self::requests`] fit in, whatever the division of the period left over.
    pub fn burst(self) -> Duration {
        self.interval() * self.requests
    }

    /// Judges one request at `now`, both times counted from the same beginning. Answers the state to keep, unchanged where the request is
    /// refused.
    ///
    /// No state is believed to be further ahead than the whole limit: a clock that was set back, or a limit that was changed, makes
    /// nobody wait longer than for one request's turn.
    pub fn judge(self, arrival: Option<Duration>, now: Duration) -> (Duration, RateDecision) {
        let full = now.saturating_add(self.burst());
        let arrival = arrival.unwrap_or(now).clamp(now, full);
        let next = arrival.saturating_add(self.interval());
        let over = next.saturating_sub(full);
        if over.is_zero() {
            (next, self.decision(next.saturating_sub(now), None))
        } else {
            (arrival, self.decision(arrival.saturating_sub(now), Some(over)))
        }
    }

    /// What to say of a request that was judged elsewhere, by the same rule: `reset_after` is how far the state that is kept is ahead
    /// of now.
    pub fn decision(self, reset_after: Duration, retry_after: Option<Duration>) -> RateDecision {
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

    #[test]
    fn a_limit_that_does_not_divide_its_period_lets_exactly_itself_through() {
        for requests in [1, 7, 999, 7_919, 999_983, RateLimit::MAX_REQUESTS] {
            let limit = RateLimit::per_minute(requests).unwrap();
            let mut state = None;
            let passed = (0..requests.saturating_add(10))
                .filter(|_| {
                    let (next, decision) = limit.judge(state, seconds(1));
                    state = Some(next);
                    decision.retry_after.is_none()
                })
                .count();
            assert_eq!(u32::try_from(passed), Ok(requests));
        }
    }

    #[test]
    fn a_clock_that_was_set_back_makes_nobody_wait_longer_than_a_turn() {
        let limit = RateLimit::per_minute(60).unwrap();
        let (_, decision) = limit.judge(Some(seconds(7_200)), seconds(10));
        assert_eq!((decision.retry_after, decision.reset_after), (Some(seconds(1)), seconds(60)));
    }

    #[test]
    fn a_limit_that_is_changed_applies_to_what_was_counted_before() {
        let (high, low) = (RateLimit::per_minute(600).unwrap(), RateLimit::per_minute(6).unwrap());
        let mut state = None;
        for _ in 0..600 {
            state = Some(high.judge(state, seconds(1)).0);
        }
        assert_eq!(low.judge(state, seconds(1)).1.retry_after, Some(seconds(10)));
        assert_eq!(high.judge(low.judge(None, seconds(1)).0.into(), seconds(1)).1.remaining, 499);
    }

    #[test]
    fn the_end_of_time_is_survived() {
        let limit = RateLimit::per_minute(7).unwrap();
        let (state, _) = limit.judge(Some(Duration::MAX), Duration::MAX);
        assert_eq!(state, Duration::MAX);
    }

    proptest! {
        #[test]
        fn what_is_said_to_remain_passes_and_not_one_more(requests in 1_u32..200, before in 0_u32..200, gap_ms in 0_u64..60_000) {
            let limit = RateLimit::per_minute(requests).unwrap();
            let mut state = None;
            for _ in 0..before {
                state = Some(limit.judge(state, seconds(1)).0);
            }
            let now = seconds(1) + Duration::from_millis(gap_ms);
            let (mut state, decision) = limit.judge(state, now);
            for _ in 0..decision.remaining {
                let (next, passes) = limit.judge(Some(state), now);
                prop_assert_eq!(passes.retry_after, None);
                state = next;
            }
            let wait = limit.judge(Some(state), now).1.retry_after.unwrap();
            let too_short = wait.saturating_sub(Duration::from_nanos(1));
            prop_assert!(limit.judge(Some(state), now + wait).1.retry_after.is_none(), "the wait that is told suffices");
            prop_assert!(limit.judge(Some(state), now + too_short).1.retry_after.is_some(), "and is needed");
        }

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
