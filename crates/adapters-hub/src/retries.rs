//! When to try again what broke off.

use std::time::Duration;

/// How often something is tried, and how long the waits between are. They double, and are shortened by chance, so that many who were cut
/// off at the same moment do not come back at the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Tries in a row that bring nothing before it is given up.
    pub attempts: u32,
    /// The longest first wait.
    pub first_wait: Duration,
    /// The longest wait, also where the other side asks for a longer one.
    pub longest_wait: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: 6, first_wait: Duration::from_millis(500), longest_wait: Duration::from_secs(30) }
    }
}

impl Retries {
    /// The wait after so many failures in a row, or `None` to give up. What the other side asked for is kept to, within reason.
    pub(crate) fn wait_after(&self, failures: u32, asked_for: Option<Duration>) -> Option<Duration> {
        if failures >= self.attempts {
            return None;
        }
        if let Some(wait) = asked_for {
            return Some(wait.min(self.longest_wait));
        }
        let doublings = failures.saturating_sub(1).min(16);
        let longest = self.first_wait.saturating_mul(1 << doublings).min(self.longest_wait);
        Some(longest.mul_f64(0.5 + rand::random::<f64>() / 2.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_then_it_is_given_up() {
        let retries = Retries { attempts: 5, first_wait: Duration::from_secs(1), longest_wait: Duration::from_secs(3) };
        for (failures, longest) in [(1, 1.0), (2, 2.0), (3, 3.0), (4, 3.0)] {
            let wait = retries.wait_after(failures, None).unwrap().as_secs_f64();
            assert!((longest / 2.0..=longest).contains(&wait), "{failures}: {wait}");
        }
        assert_eq!(retries.wait_after(5, None), None);
    }

    #[test]
    fn a_wait_that_was_asked_for_is_kept_within_reason() {
        let retries = Retries::default();
        assert_eq!(retries.wait_after(1, Some(Duration::from_secs(7))), Some(Duration::from_secs(7)));
        assert_eq!(retries.wait_after(1, Some(Duration::from_hours(9))), Some(retries.longest_wait));
    }
}
