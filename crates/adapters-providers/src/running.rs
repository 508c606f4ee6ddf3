//! Which texts are being made at providers: how many there may be, of all and of each owner, and which ones a server that stops has to
//! wait for and then cut.
//!
//! Nobody waits for a place here: a provider has a queue of its own, and who is refused is told when to come back. What the limits keep
//! in bounds is what a text costs on this side: a connection, its buffers, and the provider's bill.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ports::{GenerationError, Owner};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// When a place is likely to be free again: most texts take a few seconds.
const RETRY_AFTER_SECONDS: u32 = 2;

/// How many texts may be made at the same time, at all providers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunningLimits {
    /// Of everybody.
    pub total: usize,
    /// Of one user; guests together count as one.
    pub per_owner: usize,
}

/// All texts under way. Clones are the same.
#[derive(Clone)]
pub(crate) struct Running {
    tracker: TaskTracker,
    cut: CancellationToken,
    taken: Arc<Taken>,
}

struct Taken {
    limits: RunningLimits,
    by_owner: Mutex<HashMap<Owner, usize>>,
}

/// A text's place among them, until it is dropped.
pub(crate) struct Place {
    _counted: TaskTrackerToken,
    cut: CancellationToken,
    taken: Arc<Taken>,
    owner: Owner,
}

impl Running {
    /// Nothing is under way yet.
    pub(crate) fn new(limits: RunningLimits) -> Self {
        let taken = Arc::new(Taken { limits, by_owner: Mutex::default() });
        Self { tracker: TaskTracker::new(), cut: CancellationToken::new(), taken }
    }

    /// Whether [`Running::begin`] would refuse this owner now.
    pub(crate) fn admits(&self, owner: Owner) -> Result<(), GenerationError> {
        if self.tracker.is_closed() {
            return Err(GenerationError::ShuttingDown);
        }
        if self.taken.has_room(&self.taken.lock(), owner) { Ok(()) } else { Err(full()) }
    }

    /// A place, or a refusal where the server is stopping or too many texts are under way.
    pub(crate) fn begin(&self, owner: Owner) -> Result<Place, GenerationError> {
        if self.tracker.is_closed() {
            return Err(GenerationError::ShuttingDown);
        }
        let mut by_owner = self.taken.lock();
        if !self.taken.has_room(&by_owner, owner) {
            return Err(full());
        }
        *by_owner.entry(owner).or_default() += 1;
        let taken = Arc::clone(&self.taken);
        Ok(Place { _counted: self.tracker.token(), cut: self.cut.clone(), taken, owner })
    }

    /// Refuses what comes from now on, and waits for what runs; cuts what has not ended by then.
    pub(crate) async fn shut_down(&self, grace: Duration) {
        self.tracker.close();
        if timeout(grace, self.tracker.wait()).await.is_err() {
            tracing::warn!(texts = self.tracker.len(), "texts that providers were still making are cut");
            self.cut.cancel();
        }
    }
}

const fn full() -> GenerationError {
    GenerationError::Overloaded { retry_after_seconds: RETRY_AFTER_SECONDS }
}

impl Taken {
    fn has_room(&self, by_owner: &HashMap<Owner, usize>, owner: Owner) -> bool {
        let own = by_owner.get(&owner).copied().unwrap_or(0);
        own < self.limits.per_owner && by_owner.values().sum::<usize>() < self.limits.total
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Owner, usize>> {
        self.by_owner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits for something unless the server stops meanwhile.
    pub(crate) async fn unless_cut<T>(&self, waiting: impl Future<Output = T>) -> Result<T, GenerationError> {
        tokio::select! {
            biased;
            () = self.cut.cancelled() => Err(GenerationError::ShuttingDown),
            done = waiting => Ok(done),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_owner = self.taken.lock();
        if let Some(own) = by_owner.get_mut(&self.owner) {
            *own -= 1;
            if *own == 0 {
                by_owner.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_support::builders::a_user_id;

    #[test]
    fn one_owner_has_so_many_places_and_all_of_them_so_many_together() {
        let running = Running::new(RunningLimits { total: 3, per_owner: 2 });
        let (ana, ben) = (Owner::User(a_user_id()), Owner::User(a_user_id()));
        let first = running.begin(ana).ok().unwrap();
        let _second = running.begin(ana).ok().unwrap();
        assert_eq!(running.begin(ana).err(), Some(full()));
        assert_eq!(running.admits(ana), Err(full()));
        assert_eq!(running.admits(ben), Ok(()), "another is not shut out by it");
        let _third = running.begin(ben).ok().unwrap();
        assert_eq!(running.begin(Owner::Guests).err(), Some(full()), "all places are taken");
        drop(first);
        assert_eq!(running.admits(ana), Ok(()));
        let _fourth = running.begin(Owner::Guests).ok().unwrap();
        assert_eq!(running.taken.lock().len(), 3);
    }

    #[tokio::test]
    async fn nothing_begins_once_the_server_stops() {
        let running = Running::new(RunningLimits { total: 1, per_owner: 1 });
        running.shut_down(Duration::ZERO).await;
        assert_eq!(running.admits(Owner::Guests), Err(GenerationError::ShuttingDown));
        assert_eq!(running.begin(Owner::Guests).err(), Some(GenerationError::ShuttingDown));
    }
}
