//! When to leave a provider alone.
//!
//! A circuit breaker (Nygard, *Release It!*, 2007): after so many failures in a row nobody calls for a while; then one caller tries, and
//! on what becomes of that one it depends whether the others may follow. A pure state: the time is handed in, nothing waits.

use std::time::{Duration, Instant};

/// When to open, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerConfig {
    /// Failures in a row after which nobody calls any more; at least 1.
    pub failures_to_open: u32,
    /// How long nobody calls.
    pub open_for: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { failures_to_open: 5, open_for: Duration::from_secs(10) }
    }
}

/// Whether the provider is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// It is.
    Closed,
    /// It is not, for so much longer. At zero the next caller tries.
    Open {
        /// How much longer.
        retry_in: Duration,
    },
    /// One caller tries; the others are refused until that has an outcome.
    HalfOpen,
}

/// In what capacity a caller was let through. It is handed back with the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// As one of many.
    Normal,
    /// As the one who tries.
    Probe,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct CircuitBreaker {
    config: BreakerConfig,
    state: State,
}

impl CircuitBreaker {
    /// A breaker that is closed.
    pub const fn new(config: BreakerConfig) -> Self {
        Self { config, state: State::Closed { failures: 0 } }
    }

    /// Lets a caller through, or says how long to wait.
    pub fn admit(&mut self, now: Instant) -> Result<Admission, Duration> {
        match self.state {
            State::Closed { .. } => Ok(Admission::Normal),
            State::Open { until } if until <= now => {
                self.state = State::HalfOpen;
                Ok(Admission::Probe)
            }
            State::Open { until } => Err(until - now),
            State::HalfOpen => Err(self.config.open_for),
        }
    }

    /// The provider began to answer: it is there. Failures are not forgotten by that, since it may yet break off every time.
    /// `true` if this closes the circuit.
    pub fn answered(&mut self, admission: Admission) -> bool {
        let closes = admission == Admission::Probe && matches!(self.state, State::HalfOpen);
        if closes {
            self.state = State::Closed { failures: 0 };
        }
        closes
    }

    /// The provider answered to the end.
    pub fn succeeded(&mut self) {
        if let State::Closed { failures } = &mut self.state {
            *failures = 0;
        }
    }

    /// The provider could not be reached, or broke off. `true` if this opens the circuit.
    pub fn failed(&mut self, admission: Admission, now: Instant) -> bool {
        let opens = match (&mut self.state, admission) {
            (State::Closed { failures }, _) => {
                *failures = failures.saturating_add(1);
                *failures >= self.config.failures_to_open
            }
            (State::HalfOpen, Admission::Probe) => true,
            // Whoever was let through before the circuit opened says nothing new.
            (State::HalfOpen | State::Open { .. }, _) => false,
        };
        if opens {
            self.state = State::Open { until: now + self.config.open_for };
        }
        opens
    }

    /// The caller went away without learning anything. If it was the one who tries, the next one does.
    pub fn abandoned(&mut self, admission: Admission, now: Instant) {
        if admission == Admission::Probe && matches!(self.state, State::HalfOpen) {
            self.state = State::Open { until: now };
        }
    }

    /// Whether the provider is called now.
    pub fn state(&self, now: Instant) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { until } => BreakerState::Open { retry_in: until.saturating_duration_since(now) },
            State::HalfOpen => BreakerState::HalfOpen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHILE_OPEN: Duration = Duration::from_secs(10);

    fn breaker() -> (CircuitBreaker, Instant) {
        (CircuitBreaker::new(BreakerConfig { failures_to_open: 3, open_for: WHILE_OPEN }), Instant::now())
    }

    fn fail(breaker: &mut CircuitBreaker, now: Instant) -> bool {
        let admission = breaker.admit(now).unwrap();
        breaker.failed(admission, now)
    }

    fn opened() -> (CircuitBreaker, Instant) {
        let (mut breaker, now) = breaker();
        assert_eq!([fail(&mut breaker, now), fail(&mut breaker, now), fail(&mut breaker, now)], [false, false, true]);
        (breaker, now)
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let (mut breaker, now) = breaker();
        for _ in 0..5 {
            assert!(!fail(&mut breaker, now) && !fail(&mut breaker, now));
            breaker.succeeded();
        }
        assert_eq!(breaker.state(now), BreakerState::Closed);
        let (mut breaker, now) = opened();
        assert_eq!(breaker.admit(now + Duration::from_secs(4)), Err(Duration::from_secs(6)));
        assert_eq!(breaker.state(now), BreakerState::Open { retry_in: WHILE_OPEN });
    }

    #[test]
    fn an_answer_that_breaks_off_every_time_opens_it_too() {
        let (mut breaker, now) = breaker();
        for opens in [false, false, true] {
            let admission = breaker.admit(now).unwrap();
            assert!(!breaker.answered(admission));
            assert_eq!(breaker.failed(admission, now), opens);
        }
    }

    #[test]
    fn after_a_while_one_caller_tries_and_the_others_wait_for_the_outcome() {
        let (mut breaker, now) = opened();
        let later = now + WHILE_OPEN;
        assert_eq!(breaker.admit(later), Ok(Admission::Probe));
        assert_eq!(breaker.state(later), BreakerState::HalfOpen);
        assert!(breaker.admit(later).is_err());
        assert!(breaker.answered(Admission::Probe));
        assert_eq!(breaker.admit(later), Ok(Admission::Normal));
        assert!(!fail(&mut breaker, later), "it counts from the beginning");
    }

    #[test]
    fn a_try_that_fails_opens_it_for_as_long_again() {
        let (mut breaker, now) = opened();
        let later = now + WHILE_OPEN;
        let probe = breaker.admit(later).unwrap();
        assert!(breaker.failed(probe, later));
        assert_eq!(breaker.admit(later), Err(WHILE_OPEN));
    }

    #[test]
    fn a_try_that_is_given_up_is_left_to_the_next() {
        let (mut breaker, now) = opened();
        let later = now + WHILE_OPEN;
        let probe = breaker.admit(later).unwrap();
        breaker.abandoned(probe, later);
        assert_eq!(breaker.admit(later), Ok(Admission::Probe));
    }

    #[test]
    fn what_began_before_it_opened_decides_nothing_afterwards() {
        let (mut breaker, now) = breaker();
        let old = breaker.admit(now).unwrap();
        for _ in 0..3 {
            fail(&mut breaker, now);
        }
        let later = now + WHILE_OPEN;
        assert_eq!(breaker.admit(later), Ok(Admission::Probe));
        assert!(!breaker.failed(old, later) && !breaker.answered(old));
        breaker.abandoned(old, later);
        breaker.succeeded();
        assert_eq!(breaker.state(later), BreakerState::HalfOpen);
    }
}
