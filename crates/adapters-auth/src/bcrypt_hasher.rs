//! Password hashing with bcrypt (Provos and Mazières, "A Future-Adaptable Password Scheme", 1999).
//!
//! One hash at cost 12 takes a core about a quarter of a second. At most `max_concurrent` are computed at once, each on a thread of its own
//! that steps back for every other thread, and at most `max_waiting` wait for their turn: a flood of sign-ins is refused, and what is not
//! refused uses what time the rest of the server leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use domain::{Password, PasswordHash};
use ports::{HashingError, PasswordHasher};
use tokio::sync::{Semaphore, oneshot};

/// How passwords are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BcryptConfig {
    /// The base-2 logarithm of bcrypt's rounds: 4–31.
    pub cost: u32,
    /// How many hashes are computed at the same time.
    pub max_concurrent: usize,
    /// How many may wait for their turn; one more is refused.
    pub max_waiting: usize,
}

impl Default for BcryptConfig {
    fn default() -> Self {
        Self { cost: 12, max_concurrent: 1, max_waiting: 64 }
    }
}

/// A cost that bcrypt does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cost must be between 4 and 31, got {0}")]
pub struct CostOutOfRange(u32);

/// Hashes and compares passwords.
pub struct BcryptHasher {
    cost: u32,
    running: Arc<Semaphore>,
    /// Those that run and those that wait, together.
    admitted: Arc<AtomicUsize>,
    max_admitted: usize,
    /// Compared with where there is no account, so that the time taken does not tell.
    decoy: PasswordHash,
}

impl BcryptHasher {
    /// Checks the settings.
    pub fn new(config: BcryptConfig) -> Result<Self, CostOutOfRange> {
        if !(4..=31).contains(&config.cost) {
            return Err(CostOutOfRange(config.cost));
        }
        let max_concurrent = config.max_concurrent.clamp(1, Semaphore::MAX_PERMITS);
        Ok(Self {
            cost: config.cost,
            running: Arc::new(Semaphore::new(max_concurrent)),
            admitted: Arc::new(AtomicUsize::new(0)),
            max_admitted: max_concurrent.saturating_add(config.max_waiting),
            decoy: PasswordHash::new(decoy(config.cost)),
        })
    }

    /// Runs `work` on a thread of its own when its turn comes. Dropping the call while it waits gives its place back; once the work runs it
    /// runs to its end, and its place is held until then.
    ///
    /// Not one of the runtime's blocking threads: those serve the database too, and a thread that has stepped back may not step forward
    /// again. Beside what it does, a thread is made in no time.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, bcrypt::BcryptError> + Send + 'static,
    ) -> Result<T, HashingError> {
        let place = Place::take(&self.admitted, self.max_admitted)?;
        let permit = Arc::clone(&self.running).acquire_owned().await.map_err(failed)?;
        let (sender, result) = oneshot::channel();
        let thread = std::thread::Builder::new().name("password".to_owned()).spawn(move || {
            let hashed = {
                let _held_until_done = (place, permit);
                step_back();
                work()
            };
            // Whoever asked may have gone.
            let _ = sender.send(hashed);
        });
        thread.map_err(failed)?;
        result.await.map_err(failed)?.map_err(failed)
    }
}

/// Lets other threads go before this one.
///
/// Five steps of niceness give a thread a third of another's weight (`sched_prio_to_weight` in Linux' `kernel/sched/core.c`): whoever
/// serves a request goes first, and a sign-in still gets a quarter of a core beside an engine that uses all of them. Where it is refused the
/// hash is computed all the same.
fn step_back() {
    // On Linux alone is this a property of a thread; POSIX, and macOS with it, would slow down the whole process.
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpriority_process, setpriority_process};
        let stepped_back = getpriority_process(None).and_then(|niceness| setpriority_process(None, niceness + NICENESS_STEPS));
        if let Err(error) = stepped_back {
            tracing::debug!(%error, "a thread that hashes passwords could not step back");
        }
    }
}

/// How far a hash steps back.
#[cfg(target_os = "linux")]
const NICENESS_STEPS: i32 = 5;

/// A hash that is nobody's: comparing with it takes as long as with any other of its cost. Its salt and its digest are zeros, so that the
/// start of the server need not wait for one to be computed.
fn decoy(cost: u32) -> String {
    format!("$2b${cost:02}${}{}", ".".repeat(22), ".".repeat(31))
}

fn failed(error: impl std::fmt::Display) -> HashingError {
    HashingError::Failed(error.to_string())
}

/// One of the places for running and waiting hashes.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(admitted: &Arc<AtomicUsize>, max: usize) -> Result<Self, HashingError> {
        let place = Self(Arc::clone(admitted));
        if admitted.fetch_add(1, Ordering::Relaxed) < max { Ok(place) } else { Err(HashingError::Overloaded) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl PasswordHasher for BcryptHasher {
    async fn hash(&self, password: &Password) -> Result<PasswordHash, HashingError> {
        // `Password` holds at most 72 bytes, all of which bcrypt reads. The crate's `non_truncating_hash` would refuse 72, because it
        // counts the closing NUL.
        let password = password.expose().to_owned();
        let cost = self.cost;
        self.run(move || bcrypt::hash(password, cost)).await.map(PasswordHash::new)
    }

    async fn verify(&self, candidate: &str, hash: Option<PasswordHash>) -> Result<bool, HashingError> {
        // Beyond 72 bytes bcrypt would compare the beginning alone.
        let could_match = hash.is_some() && candidate.len() <= Password::MAX_BYTES;
        let hash = hash.unwrap_or_else(|| self.decoy.clone());
        let candidate: String = candidate.chars().take(Password::MAX_BYTES).collect();
        let matches = self.run(move || bcrypt::verify(candidate, hash.expose())).await?;
        Ok(matches && could_match)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hasher(max_waiting: usize) -> BcryptHasher {
        BcryptHasher::new(BcryptConfig { cost: 4, max_concurrent: 1, max_waiting }).unwrap()
    }

    #[tokio::test]
    async fn a_password_is_known_again_and_no_other_is() {
        let hasher = hasher(8);
        let hash = hasher.hash(&Password::new("correct horse").unwrap()).await.unwrap();
        assert!(hasher.verify("correct horse", Some(hash.clone())).await.unwrap());
        assert!(!hasher.verify("Correct horse", Some(hash.clone())).await.unwrap());
        assert!(!hasher.verify("", Some(hash.clone())).await.unwrap());
    }

    #[tokio::test]
    async fn two_hashes_of_one_password_differ() {
        let hasher = hasher(8);
        let password = Password::new("correct horse").unwrap();
        assert_ne!(hasher.hash(&password).await.unwrap().expose(), hasher.hash(&password).await.unwrap().expose());
    }

    #[tokio::test]
    async fn all_72_bytes_count_and_a_longer_candidate_never_matches() {
        let hasher = hasher(8);
        let longest = "x".repeat(72);
        let hash = hasher.hash(&Password::new(longest.clone()).unwrap()).await.unwrap();
        assert!(hasher.verify(&longest, Some(hash.clone())).await.unwrap());
        assert!(!hasher.verify(&format!("{longest}y"), Some(hash.clone())).await.unwrap(), "bcrypt alone would accept this");
        assert!(!hasher.verify(&"x".repeat(71), Some(hash.clone())).await.unwrap());
    }

    #[tokio::test]
    async fn without_an_account_nothing_matches() {
        assert!(!hasher(8).verify("no account has this password", None).await.unwrap());
    }

    #[tokio::test]
    async fn a_flood_is_refused_and_what_was_admitted_is_served() {
        let hasher = Arc::new(hasher(2));
        let tries: Vec<_> = (0..50)
            .map(|_| {
                let hasher = Arc::clone(&hasher);
                tokio::spawn(async move { hasher.verify("x", None).await })
            })
            .collect();
        let mut refused = 0;
        for attempt in tries {
            match attempt.await.unwrap() {
                Ok(matches) => assert!(!matches),
                Err(error) => {
                    assert_eq!(error, HashingError::Overloaded);
                    refused += 1;
                }
            }
        }
        assert!(refused > 0 && refused < 50, "{refused} of 50 refused");
        assert_eq!(hasher.admitted.load(Ordering::Relaxed), 0, "every place was given back");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_hash_steps_back_and_nobody_else_does() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let before = niceness();
        let (sender, inside) = oneshot::channel();
        let work = move || {
            let _ = sender.send(rustix::process::getpriority_process(None).unwrap());
            Ok(())
        };
        hasher(8).run(work).await.unwrap();
        assert_eq!((inside.await.unwrap(), niceness()), ((before + NICENESS_STEPS).min(19), before));
    }

    #[tokio::test]
    async fn work_that_panics_is_a_failure_and_gives_its_place_back() {
        let hasher = hasher(0);
        let broken = hasher.run::<()>(|| panic!("a bug")).await;
        assert!(matches!(broken, Err(HashingError::Failed(_))), "{broken:?}");
        assert!(!hasher.verify("x", None).await.unwrap());
    }

    #[test]
    fn the_decoy_is_read_as_a_hash_and_nothing_matches_it() {
        assert_eq!(bcrypt::verify("anything", &decoy(4)).ok(), Some(false));
    }

    #[test]
    fn a_cost_beyond_bcrypt_is_refused() {
        for cost in [0, 3, 32] {
            assert!(BcryptHasher::new(BcryptConfig { cost, ..BcryptConfig::default() }).is_err());
        }
    }
}
