//! Which models stay in memory: chosen from figures alone, carried out by [`super::local_models`].

use std::fmt;
use std::time::{Duration, Instant};

/// A loaded model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resident {
    pub(super) name: String,
    pub(super) memory_bytes: u64,
    /// Whether a generation of it waits or runs, or somebody holds it who may begin one.
    pub(super) in_use: bool,
    pub(super) last_used: Instant,
}

/// The memory that a model asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MemoryNeeds {
    /// With less it is not loaded.
    pub(super) least_bytes: u64,
    /// With less it is loaded, but serves fewer or shorter texts than it should.
    pub(super) enough_bytes: u64,
}

/// A model does not fit beside those that are in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoRoom {
    limit_bytes: u64,
    needed_bytes: u64,
    in_use: Vec<(String, u64)>,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taken: u64 = self.in_use.iter().map(|(_, bytes)| bytes).sum();
        let models: Vec<String> = self.in_use.iter().map(|(name, bytes)| format!("{name} ({bytes} bytes)")).collect();
        write!(
            formatter,
            "it needs at least {} bytes; of the {} that all models together may take, {taken} are taken by models in use: {}",
            self.needed_bytes,
            self.limit_bytes,
            models.join(", ")
        )
    }
}

/// Which models to unload for a new one, by their places in `residents`: of those that are not in use the least recently used first, and
/// no more than give the new one enough. Where all of them together do not even give it the least, none: they would go for nothing.
pub(super) fn make_room(residents: &[Resident], limit_bytes: u64, needs: MemoryNeeds) -> Result<Vec<usize>, NoRoom> {
    let mut free = limit_bytes.saturating_sub(residents.iter().map(|resident| resident.memory_bytes).sum());
    let mut idle: Vec<(usize, &Resident)> = residents.iter().enumerate().filter(|(_, resident)| !resident.in_use).collect();
    idle.sort_by_key(|(index, resident)| (resident.last_used, *index));
    let mut unloaded = Vec::new();
    for (index, resident) in idle {
        if free >= needs.enough_bytes {
            break;
        }
        free = free.saturating_add(resident.memory_bytes);
        unloaded.push(index);
    }
    let in_use: Vec<&Resident> = residents.iter().filter(|resident| resident.in_use).collect();
    if free < needs.least_bytes && !in_use.is_empty() {
        let in_use = in_use.into_iter().map(|resident| (resident.name.clone(), resident.memory_bytes)).collect();
        return Err(NoRoom { limit_bytes, needed_bytes: needs.least_bytes, in_use });
    }
    // With nobody in use, a model that does not fit does not fit at all, and loading it will say so.
    Ok(if free < needs.least_bytes { Vec::new() } else { unloaded })
}

/// Which models nobody has used for so long, by their places in `residents`.
pub(super) fn idle_too_long(residents: &[Resident], now: Instant, idle_after: Duration) -> Vec<usize> {
    let is_idle = |resident: &Resident| !resident.in_use && now.saturating_duration_since(resident.last_used) >= idle_after;
    residents.iter().enumerate().filter(|(_, resident)| is_idle(resident)).map(|(index, _)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Models `a`, `b`, … with their memory, when they were last used (in seconds), and whether they are in use.
    fn residents(of: &[(u64, u64, bool)]) -> Vec<Resident> {
        let begun = Instant::now();
        ('a'..)
            .zip(of)
            .map(|(name, (memory_bytes, used_at, in_use))| Resident {
                name: name.to_string(),
                memory_bytes: *memory_bytes,
                in_use: *in_use,
                last_used: begun + Duration::from_secs(*used_at),
            })
            .collect()
    }

    fn room(residents: &[Resident], least_bytes: u64, enough_bytes: u64) -> Result<Vec<usize>, NoRoom> {
        make_room(residents, 100, MemoryNeeds { least_bytes, enough_bytes })
    }

    #[test]
    fn nothing_is_unloaded_where_there_is_room() {
        assert_eq!(room(&residents(&[(40, 1, false), (20, 2, false)]), 10, 40), Ok(vec![]));
    }

    #[test]
    fn the_least_recently_used_go_first_and_no_more_than_are_needed() {
        let residents = residents(&[(30, 3, false), (30, 1, false), (30, 2, false)]);
        assert_eq!(room(&residents, 10, 40), Ok(vec![1]));
        assert_eq!(room(&residents, 10, 41), Ok(vec![1, 2]));
    }

    #[test]
    fn what_is_in_use_stays_however_long_ago_it_was_opened() {
        let residents = residents(&[(30, 1, true), (30, 2, false), (30, 3, false)]);
        assert_eq!(room(&residents, 10, 40), Ok(vec![1]));
        assert_eq!(room(&residents, 10, 90), Ok(vec![1, 2]), "not enough, but more than the least");
    }

    #[test]
    fn what_does_not_fit_beside_those_in_use_unloads_nobody_and_is_refused_with_the_sums() {
        let refusal = room(&residents(&[(50, 1, true), (20, 2, true), (20, 3, false)]), 31, 40).unwrap_err().to_string();
        assert_eq!(
            refusal,
            "it needs at least 31 bytes; of the 100 that all models together may take, 70 are taken by models in use: a (50 bytes), b \
             (20 bytes)"
        );
    }

    #[test]
    fn what_fits_nowhere_unloads_nobody() {
        assert_eq!(room(&residents(&[(50, 1, false)]), 101, 200), Ok(vec![]));
    }

    #[test]
    fn a_model_is_idle_once_nobody_has_used_it_for_the_whole_time() {
        let residents = residents(&[(1, 0, false), (1, 5, false), (1, 0, true)]);
        let at =
            |seconds| idle_too_long(&residents, residents[0].last_used + Duration::from_secs(seconds), Duration::from_secs(10));
        assert_eq!((at(9), at(10), at(15)), (vec![], vec![0], vec![0, 1]));
    }
}
