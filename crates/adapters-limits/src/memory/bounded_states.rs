//! A map that holds no more than so many states and forgets first what matters least.
//!
//! Every state has a time at which its subject is as free as one that was never seen. Beside the map lies the order of these times. Each
//! write takes up to two states off its front if their time has come, so what is over leaves by itself, without a task that sweeps.
//! Where the map is full of states whose time has not come, the one nearest to it goes: a flood of new subjects washes out its own kind
//! before it reaches whoever is held back the longest. The newcomer itself is always kept, so no flood lifts the limits.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// More than one, so that what is over leaves faster than new states come.
const PRUNED_A_WRITE: usize = 2;

#[derive(Debug)]
pub(super) struct BoundedStates<S> {
    max_subjects: usize,
    states: HashMap<Arc<str>, Kept<S>>,
    by_free_at: BTreeSet<(Duration, Arc<str>)>,
}

#[derive(Debug)]
struct Kept<S> {
    state: S,
    free_at: Duration,
}

impl<S: Copy> BoundedStates<S> {
    /// At least one subject is kept.
    pub(super) fn new(max_subjects: usize) -> Self {
        Self { max_subjects: max_subjects.max(1), states: HashMap::new(), by_free_at: BTreeSet::new() }
    }

    /// What is kept of a subject; it may be over.
    pub(super) fn get(&self, subject: &str) -> Option<S> {
        self.states.get(subject).map(|kept| kept.state)
    }

    /// Keeps a state until its subject is free.
    pub(super) fn put(&mut self, subject: &str, state: S, free_at: Duration, now: Duration) {
        let name = self.take_out(subject).unwrap_or_else(|| Arc::from(subject));
        for _ in 0..PRUNED_A_WRITE {
            if self.by_free_at.first().is_some_and(|(free_at, _)| *free_at <= now) {
                self.forget_the_first();
            }
        }
        if self.states.len() >= self.max_subjects {
            self.forget_the_first();
        }
        self.by_free_at.insert((free_at, Arc::clone(&name)));
        self.states.insert(name, Kept { state, free_at });
    }

    /// Forgets a subject.
    pub(super) fn remove(&mut self, subject: &str) {
        self.take_out(subject);
    }

    fn take_out(&mut self, subject: &str) -> Option<Arc<str>> {
        let (name, kept) = self.states.remove_entry(subject)?;
        let place = (kept.free_at, name);
        self.by_free_at.remove(&place);
        Some(place.1)
    }

    fn forget_the_first(&mut self) {
        if let Some((_, name)) = self.by_free_at.pop_first() {
            self.states.remove(&name);
        }
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
    fn when_full_what_is_over_goes_first_and_then_what_is_nearest_to_its_end() {
        let mut states = BoundedStates::new(3);
        states.put("long", 1, seconds(900), seconds(0));
        states.put("over", 2, seconds(5), seconds(0));
        states.put("short", 3, seconds(60), seconds(0));
        states.put("new", 4, seconds(61), seconds(5));
        assert_eq!((states.get("over"), states.get("short")), (None, Some(3)));
        states.put("newer", 5, seconds(10), seconds(5));
        assert_eq!((states.get("short"), states.get("newer")), (None, Some(5)), "the newcomer stays, however short its time");
        for n in 0..100 {
            states.put(&format!("flood {n}"), n, seconds(10), seconds(5));
        }
        assert_eq!(states.get("long"), Some(1));
    }

    #[test]
    fn what_is_over_leaves_without_being_asked_for() {
        let mut states = BoundedStates::new(1_000);
        for n in 0..500 {
            states.put(&n.to_string(), n, seconds(1), seconds(0));
        }
        for _ in 0..250 {
            states.put("busy", 0, seconds(9), seconds(2));
        }
        assert_eq!(states.states.len(), 1);
    }

    #[test]
    fn a_state_is_replaced_and_removed_with_its_place_in_the_order() {
        let mut states = BoundedStates::new(10);
        states.put("a", 1, seconds(1), seconds(0));
        states.put("a", 2, seconds(9), seconds(0));
        assert_eq!((states.get("a"), states.by_free_at.len()), (Some(2), 1));
        states.remove("a");
        states.remove("never there");
        assert_eq!((states.get("a"), states.by_free_at.len()), (None, 0));
    }

    proptest! {
        #[test]
        fn the_order_and_the_map_always_hold_the_same_and_no_more_than_allowed(
            writes in prop::collection::vec((0_u8..20, 0_u64..30, any::<bool>()), 1..200)
        ) {
            let mut states = BoundedStates::new(8);
            for (now, (name, free_in, is_removed)) in (0_u64..).zip(writes) {
                let name = name.to_string();
                if is_removed {
                    states.remove(&name);
                } else {
                    states.put(&name, now, seconds(now + free_in), seconds(now));
                    prop_assert_eq!(states.get(&name), Some(now));
                }
                prop_assert!(states.states.len() <= 8);
                let ordered: Vec<_> = states.by_free_at.iter().map(|(_, name)| name.clone()).collect();
                prop_assert_eq!(ordered.len(), states.states.len());
                prop_assert!(ordered.iter().all(|name| states.states.contains_key(name)));
            }
        }
    }
}
