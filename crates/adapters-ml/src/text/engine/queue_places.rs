//! Counts who waits, so that a request beyond the limit is refused at once, without asking the engine's thread.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ports::Owner;

/// The places in the queue.
#[derive(Debug)]
pub(crate) struct QueuePlaces {
    limit: usize,
    taken: Mutex<HashMap<Owner, usize>>,
}

/// A place in the queue, free again when this is dropped.
#[derive(Debug)]
pub(crate) struct QueuePlace {
    places: Arc<QueuePlaces>,
    owner: Owner,
}

impl QueuePlaces {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, taken: Mutex::new(HashMap::new()) })
    }

    /// Takes a place, if there is one and this owner does not hold half of all already: nobody can shut the others out.
    pub(crate) fn take(self: &Arc<Self>, owner: Owner) -> Option<QueuePlace> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.get(&owner).copied().unwrap_or(0);
        if taken.values().sum::<usize>() >= self.limit || own >= self.limit.div_ceil(2) {
            return None;
        }
        taken.insert(owner, own + 1);
        Some(QueuePlace { places: Arc::clone(self), owner })
    }
}

impl Drop for QueuePlace {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::UserId;
    use uuid::Uuid;

    #[test]
    fn one_owner_takes_no_more_than_half_and_a_place_comes_back() {
        let places = QueuePlaces::new(4);
        let held: Vec<_> = (0..2).map(|_| places.take(Owner::Guests).unwrap()).collect();
        assert!(places.take(Owner::Guests).is_none());
        let user = |number| Owner::User(UserId::new(Uuid::from_u128(number)));
        let _others: Vec<_> = (1..=2).map(|number| places.take(user(number)).unwrap()).collect();
        assert!(places.take(user(3)).is_none());
        drop(held);
        assert!(places.take(user(3)).is_some());
    }
}
