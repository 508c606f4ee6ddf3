//! How much each owner has under way.
//!
//! What makes pictures and recordings takes them in the order of their coming. An owner who asks for everything at once must not fill its
//! queue, so that there is nothing left for the others. Guests are one owner together.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use domain::UserId;
use ports::GenerationError;

type Counts = Arc<Mutex<HashMap<Option<UserId>, usize>>>;

/// The owners who have something under way.
#[derive(Clone)]
pub(super) struct UnderWay {
    counts: Counts,
    most: usize,
}

/// One of an owner's pictures and recordings, counted until it is dropped.
pub(super) struct Counted {
    counts: Counts,
    owner: Option<UserId>,
}

impl UnderWay {
    /// So many of each owner's.
    pub(super) fn at_most(most: usize) -> Self {
        Self { counts: Counts::default(), most }
    }

    /// Counts one more, or refuses it.
    pub(super) fn begin(&self, owner: Option<UserId>) -> Result<Counted, GenerationError> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&owner).copied().unwrap_or_default();
        if count >= self.most {
            return Err(GenerationError::Overloaded { retry_after_seconds: 5 });
        }
        counts.insert(owner, count + 1);
        Ok(Counted { counts: Arc::clone(&self.counts), owner })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = counts.entry(self.owner) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn who_has_enough_under_way_leaves_room_for_the_others() {
        let under_way = UnderWay::at_most(2);
        let ana = Some(UserId::new(Uuid::from_u128(1)));
        let mut of_ana = vec![under_way.begin(ana).unwrap(), under_way.begin(ana).unwrap()];
        assert!(matches!(under_way.begin(ana), Err(GenerationError::Overloaded { .. })));
        let of_guest = under_way.begin(None).unwrap();
        of_ana.pop();
        of_ana.push(under_way.begin(ana).unwrap());
        drop((of_ana, of_guest));
        assert!(under_way.counts.lock().unwrap().is_empty(), "nobody is counted who has nothing under way");
    }
}
