//! The engine's settings, with what each costs and gives.

use std::time::Duration;

use super::scheduler::SchedulerConfig;
use super::step_model::StepModelLimits;

/// How an engine shares its model out. [`EngineConfig::default`] is meant for a small machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineConfig {
    /// The most generations that wait for a place, 1–100,000; beyond it callers are told to come back. One owner may take half of it.
    /// Default 128.
    pub max_queued_generations: usize,
    /// The most generations of one user, or of all guests together, that run at the same time, 1–1,024. Whatever it says, one place is
    /// always left to others. Default 8.
    pub max_running_per_user: usize,
    /// The longest wait for a place, 1 ms to a day. Default 60 s.
    pub queue_timeout: Duration,
    /// The longest time from a request to its last token, waiting included, 1 ms to a day. Default 120 s.
    pub generation_timeout: Duration,
    /// How long a stop waits for what runs before cutting it, up to an hour. Default 10 s.
    pub shutdown_grace: Duration,
    /// Prompt tokens read between two decode steps, 16–65,536. More reads prompts sooner, less lets running texts flow more evenly.
    /// Default 128.
    pub prefill_chunk_tokens: usize,
    /// Prompt tokens read in one step while no text is running, 16–65,536. What arrives in the meantime waits that long. Default 512.
    pub idle_prefill_chunk_tokens: usize,
    /// Whether a request may start from what an earlier one of the same owner left in the cache. Default yes.
    pub share_prefixes: bool,
    /// Whether tokens are guessed from the text so far and verified together, on models where that cannot change the text
    /// ([`StepModel::extend_matches_decode`](super::step_model::StepModel::extend_matches_decode)). Default yes.
    pub speculate: bool,
    /// Events that may wait to be read before a generation pauses, 4–65,536. Default 32.
    pub stream_buffer_events: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            max_queued_generations: 128,
            max_running_per_user: 8,
            queue_timeout: Duration::from_mins(1),
            generation_timeout: Duration::from_mins(2),
            shutdown_grace: Duration::from_secs(10),
            prefill_chunk_tokens: 128,
            idle_prefill_chunk_tokens: 512,
            share_prefixes: true,
            speculate: true,
            stream_buffer_events: 32,
        }
    }
}

impl EngineConfig {
    /// The longest deadline that can be set.
    const DAY: Duration = Duration::from_hours(24);

    /// Checks every value against its range; the error names the field.
    pub fn check(&self) -> Result<(), String> {
        let counts = [
            ("max_queued_generations", self.max_queued_generations, 1, 100_000),
            ("max_running_per_user", self.max_running_per_user, 1, 1024),
            ("prefill_chunk_tokens", self.prefill_chunk_tokens, 16, 65_536),
            ("idle_prefill_chunk_tokens", self.idle_prefill_chunk_tokens, 16, 65_536),
            ("stream_buffer_events", self.stream_buffer_events, 4, 65_536),
        ];
        for (field, value, least, most) in counts {
            if !(least..=most).contains(&value) {
                return Err(format!("{field} must be between {least} and {most}, got {value}"));
            }
        }
        let least = Duration::from_millis(1);
        let times = [
            ("queue_timeout", self.queue_timeout, least, Self::DAY),
            ("generation_timeout", self.generation_timeout, least, Self::DAY),
            ("shutdown_grace", self.shutdown_grace, Duration::ZERO, Duration::from_hours(1)),
        ];
        for (field, value, least, most) in times {
            if !(least..=most).contains(&value) {
                return Err(format!("{field} must be between {least:?} and {most:?}, got {value:?}"));
            }
        }
        Ok(())
    }

    /// The most prompt tokens that are read in one call of the model.
    pub(super) fn largest_chunk(&self) -> usize {
        self.prefill_chunk_tokens.max(self.idle_prefill_chunk_tokens)
    }

    pub(super) fn scheduler_config(&self, limits: StepModelLimits, extend_matches_decode: bool) -> SchedulerConfig {
        SchedulerConfig {
            slots: limits.slots,
            context_length: limits.context_length,
            max_queued: self.max_queued_generations,
            max_running_per_owner: self.max_running_per_user,
            prefill_chunk_tokens: self.prefill_chunk_tokens,
            idle_prefill_chunk_tokens: self.largest_chunk(),
            share_prefixes: self.share_prefixes,
            speculate: self.speculate,
            extend_matches_decode,
            queue_timeout_ms: milliseconds(self.queue_timeout),
            generation_timeout_ms: milliseconds(self.generation_timeout),
        }
    }
}

/// Whole milliseconds.
pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_inside_their_own_ranges_and_what_is_outside_is_named() {
        assert_eq!(EngineConfig::default().check(), Ok(()));
        let refusal = EngineConfig { max_queued_generations: 0, ..EngineConfig::default() }.check().unwrap_err();
        assert!(refusal.contains("max_queued_generations"), "{refusal}");
        let refusal = EngineConfig { queue_timeout: Duration::ZERO, ..EngineConfig::default() }.check().unwrap_err();
        assert!(refusal.contains("queue_timeout"), "{refusal}");
    }
}
