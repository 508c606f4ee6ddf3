//! How long who keeps failing must wait: growing waits against guessing passwords, as a pure function of what is kept.
//!
//! An attempt counts as failed from the moment it begins, and is forgiven when it succeeds: a thousand that begin at once are judged as
//! if they came one after the other.

use std::time::Duration;

/// How many failures are free and how the waits grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThrottlePolicy {
    /// Failures without a wait.
    pub free_failures: u32,
    /// Failures are forgotten when, after the last one and its wait, so long none was added. Also the longest wait.
    pub window: Duration,
    /// The wait after the first failure that is not free; each further one doubles it, up to the window.
    pub first_wait: Duration,
}

/// What is kept of one account or address. Times are counted from the same beginning as `now`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Failures {
    /// How many, those that have only begun included.
    pub count: u32,
    /// When the last one was.
    pub last_at: Duration,
    /// Until when no attempt is let through.
    pub blocked_until: Duration,
    /// Whether an attempt was turned away in the wait that lasts now.
    pub turned_away: bool,
}

/// That an attempt must wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThrottleWait {
    /// How long.
    pub duration: Duration,
    /// Whether it is the first that this wait turns away. A flood of attempts has one such for each wait.
    pub is_first: bool,
}

impl ThrottlePolicy {
    /// Judges an attempt: the state to keep if it may begin, or how long to wait. Of the first that must wait, what is kept is to be
    /// marked as [turned away](Failures::turned_away).
    ///
    /// A failure that lies more than a window ahead of now was counted by a clock that has been set back since; it is forgotten, so that
    /// nobody is locked out until that clock has caught up.
    pub fn attempt(self, kept: Option<Failures>, now: Duration) -> Result<Failures, ThrottleWait> {
        let is_remembered =
            |failures: &Failures| now < self.remembered_until(*failures) && failures.last_at <= now.saturating_add(self.window);
        let kept = kept.filter(is_remembered).unwrap_or_default();
        if let Some(wait) = kept.blocked_until.checked_sub(now).filter(|wait| !wait.is_zero()) {
            return Err(ThrottleWait { duration: wait, is_first: !kept.turned_away });
        }
        let count = kept.count.saturating_add(1);
        let blocked_until = now.saturating_add(self.wait_after(count));
        Ok(Failures { count, last_at: now, blocked_until, turned_away: false })
    }

    /// Forgives one attempt, because it succeeded after all.
    pub fn forgive(self, kept: Failures) -> Failures {
        let count = kept.count.saturating_sub(1);
        Failures { count, blocked_until: Duration::ZERO, turned_away: false, ..kept }
    }

    /// When failures are forgotten if none is added.
    pub fn remembered_until(self, kept: Failures) -> Duration {
        kept.last_at.max(kept.blocked_until).saturating_add(self.window)
    }

    fn wait_after(self, failures: u32) -> Duration {
        match failures.checked_sub(self.free_failures) {
            None | Some(0) => Duration::ZERO,
            Some(beyond) => {
                let factor = 2_u32.checked_pow(beyond - 1).unwrap_or(u32::MAX);
                self.first_wait.saturating_mul(factor).min(self.window)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: ThrottlePolicy =
        ThrottlePolicy { free_failures: 10, window: Duration::from_mins(15), first_wait: Duration::from_secs(2) };

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn ten_failures_are_free_and_then_the_waits_double_up_to_the_window() {
        let mut kept = None;
        for _ in 0..10 {
            kept = Some(POLICY.attempt(kept, seconds(0)).unwrap());
        }
        let mut now = seconds(0);
        let mut waits = Vec::new();
        for _ in 0..12 {
            kept = Some(POLICY.attempt(kept, now).unwrap());
            let wait = POLICY.attempt(kept, now).unwrap_err().duration;
            waits.push(wait.as_secs());
            now += wait;
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
    }

    #[test]
    fn failures_are_forgotten_after_a_quiet_window() {
        let mut kept = None;
        for _ in 0..10 {
            kept = Some(POLICY.attempt(kept, seconds(0)).unwrap());
        }
        assert_eq!(POLICY.attempt(kept, seconds(900)).unwrap().count, 1);
        assert_eq!(POLICY.attempt(kept, seconds(899)).unwrap().count, 11);
    }

    #[test]
    fn a_clock_that_was_set_back_locks_nobody_out() {
        let kept = Failures { count: 50, last_at: seconds(10_000), blocked_until: seconds(10_900), turned_away: true };
        assert_eq!(POLICY.attempt(Some(kept), seconds(10)).unwrap().count, 1);
    }

    #[test]
    fn no_number_of_failures_and_no_setting_overflows() {
        let longest = ThrottlePolicy { free_failures: 0, window: Duration::MAX, first_wait: Duration::MAX };
        let kept = longest.attempt(None, seconds(1)).unwrap();
        let wait = longest.attempt(Some(kept), seconds(2)).unwrap_err();
        assert_eq!(wait.duration, Duration::MAX.saturating_sub(seconds(2)));
        let many = Failures { count: u32::MAX, last_at: seconds(1), blocked_until: seconds(1), turned_away: false };
        let kept = POLICY.attempt(Some(many), seconds(2)).unwrap();
        assert_eq!((kept.count, kept.blocked_until), (u32::MAX, seconds(902)));
    }

    #[test]
    fn the_first_that_a_wait_turns_away_is_told_apart_from_the_flood() {
        let blocked = Failures { count: 11, last_at: seconds(0), blocked_until: seconds(2), turned_away: false };
        assert_eq!(POLICY.attempt(Some(blocked), seconds(1)), Err(ThrottleWait { duration: seconds(1), is_first: true }));
        let marked = Failures { turned_away: true, ..blocked };
        assert_eq!(POLICY.attempt(Some(marked), seconds(1)), Err(ThrottleWait { duration: seconds(1), is_first: false }));
        assert!(!POLICY.attempt(Some(marked), seconds(2)).unwrap().turned_away, "the next wait has its own first");
        assert!(!POLICY.forgive(marked).turned_away);
    }

    #[test]
    fn an_attempt_that_succeeds_is_forgiven() {
        let began = POLICY.attempt(None, seconds(1)).unwrap();
        assert_eq!(POLICY.forgive(began).count, 0);
    }
}
