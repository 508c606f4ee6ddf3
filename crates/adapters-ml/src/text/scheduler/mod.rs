//! Decides what the model computes next and for whom.
//!
//! A plain state: no clock (time comes in as milliseconds), no channel, no input or output. Each step the engine asks for a [`Plan`],
//! carries it out and reports what came of it ([`Scheduler::prefilled`], [`Scheduler::generated`]). A sequence waits, is read (prefill)
//! in bounded chunks so that a long prompt never stalls the others, and is then decoded together with all others, one token a step,
//! until the engine says that it is finished. Who is next is decided in `fair_share.rs`, where a sequence lies in `slots.rs`.
//!
//! Interactive work goes strictly before batch work, which never takes the last free slot. No owner may hold every slot: somebody
//! new always finds one, whatever one other owner has queued.

mod fair_share;
mod plan;
mod slots;
mod work;

use std::collections::BTreeMap;

use ports::{Owner, Priority};

use super::speculation::Speculation;
use fair_share::{FairShare, NEW_TOKEN_COST};
pub use plan::{Admission, DecodeBatch, DraftCheck, Plan, PrefillChunk, Purpose, SequenceId, SlotCopy, Submission};
use slots::SlotTable;

/// The scheduler's limits. The engine's settings are checked before they come here.
#[derive(Debug, Clone)]
pub struct SchedulerConfig {
    /// Sequences that can have a place at the same time.
    pub slots: usize,
    /// Tokens that a slot holds.
    pub context_length: usize,
    /// The most sequences that wait.
    pub max_queued: usize,
    /// The most slots one owner holds; one less than `slots` at the most, where there is more than one.
    pub max_running_per_owner: usize,
    /// Prompt tokens read between two decode steps.
    pub prefill_chunk_tokens: usize,
    /// Prompt tokens read in a step in which nobody waits for the next token.
    pub idle_prefill_chunk_tokens: usize,
    /// Whether kept sequences are shared.
    pub share_prefixes: bool,
    /// Whether drafts are made.
    pub speculate: bool,
    /// Whether it makes no difference, to the last bit, if a token is read alone or with others. If not, prompts are always read two
    /// tokens or more at a time, what decoding left in the cache is not shared, and no drafts are made: a text must not depend on what
    /// else was running.
    pub extend_matches_decode: bool,
    /// The longest wait for a slot.
    pub queue_timeout_ms: u64,
    /// The longest time from submission to the last token.
    pub generation_timeout_ms: u64,
}

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueFull;

#[derive(Debug)]
enum Stage {
    /// In the queue, with its prompt.
    Waiting { prompt: Vec<u32>, reported_position: Option<u32> },
    /// Its prompt is planned to be read up to here.
    Prefilling { slot: usize, planned: usize },
    /// One token is chosen that is not in the cache yet.
    Decoding { slot: usize },
}

#[derive(Debug)]
struct Sequence {
    owner: Owner,
    priority: Priority,
    arrived_ms: u64,
    prompt_tokens: usize,
    purpose: Purpose,
    paused: bool,
    stage: Stage,
    speculation: Speculation,
}

impl Sequence {
    fn slot(&self) -> Option<usize> {
        match self.stage {
            Stage::Waiting { .. } => None,
            Stage::Prefilling { slot, .. } | Stage::Decoding { slot } => Some(slot),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Scheduler {
    config: SchedulerConfig,
    /// In the order of arrival.
    sequences: BTreeMap<SequenceId, Sequence>,
    slots: SlotTable,
    share: FairShare,
    waiting: usize,
    /// Whether positions in the queue may have changed since they were reported.
    queue_changed: bool,
}

impl Scheduler {
    /// An empty scheduler.
    pub fn new(config: SchedulerConfig) -> Self {
        let slots = SlotTable::new(config.slots, config.share_prefixes, config.extend_matches_decode);
        Self { config, sequences: BTreeMap::new(), slots, share: FairShare::default(), waiting: 0, queue_changed: false }
    }

    /// Takes a generation into the queue.
    pub fn submit(&mut self, now_ms: u64, submission: Submission) -> Result<(), QueueFull> {
        if self.waiting >= self.config.max_queued {
            return Err(QueueFull);
        }
        self.share.arrive(submission.owner);
        self.waiting += 1;
        self.queue_changed = true;
        let sequence = Sequence {
            owner: submission.owner,
            priority: submission.priority,
            arrived_ms: now_ms,
            prompt_tokens: submission.prompt.len(),
            purpose: submission.purpose,
            paused: false,
            stage: Stage::Waiting { prompt: submission.prompt, reported_position: None },
            speculation: Speculation::default(),
        };
        self.sequences.insert(submission.id, sequence);
        Ok(())
    }

    /// A chunk of a prompt is in the cache.
    pub fn prefilled(&mut self, chunk: &PrefillChunk) {
        if let Some(slot) = self.slots.get_mut(chunk.slot).filter(|slot| slot.holder == Some(chunk.id)) {
            slot.valid = chunk.start + chunk.tokens.len();
            slot.read_together = slot.valid;
        }
    }

    /// Tokens were chosen for a sequence whose prompt is read: one, or after a check the right part of the draft and one more.
    pub fn generated(&mut self, id: SequenceId, tokens: &[u32]) {
        let Some(sequence) = self.sequences.get_mut(&id) else { return };
        let Some(slot_index) = sequence.slot() else { return };
        sequence.stage = Stage::Decoding { slot: slot_index };
        if let Some(slot) = self.slots.get_mut(slot_index) {
            slot.tokens.extend_from_slice(tokens);
            slot.valid = slot.tokens.len().saturating_sub(1);
        }
        self.share.charge(sequence.owner, NEW_TOKEN_COST * tokens.len() as u64);
    }

    /// How a check went: so many guessed tokens, so many of them right.
    pub fn checked(&mut self, id: SequenceId, guessed: usize, right: usize) {
        if let Some(sequence) = self.sequences.get_mut(&id) {
            sequence.speculation.observe(guessed, right);
        }
    }

    /// The sequence is over: finished, cancelled or refused. Its slot is free at once. Answers whether it was known.
    pub fn remove(&mut self, id: SequenceId) -> bool {
        let Some(sequence) = self.sequences.remove(&id) else { return false };
        let slot = sequence.slot();
        self.share.leave(sequence.owner, slot.is_some());
        match slot {
            Some(slot) => self.slots.release(slot),
            None => self.waiting -= 1,
        }
        self.queue_changed = true;
        true
    }

    /// A paused sequence keeps its slot and is left out of decoding: nobody reads its text at the moment.
    pub fn set_paused(&mut self, id: SequenceId, paused: bool) {
        if let Some(sequence) = self.sequences.get_mut(&id) {
            sequence.paused = paused;
        }
    }

    /// A step failed: whatever had a slot is over, and the cache is worth nothing. Answers who was over.
    pub fn fail_running(&mut self) -> Vec<SequenceId> {
        let running: Vec<SequenceId> = self.ids_where(|sequence| sequence.slot().is_some());
        for id in &running {
            self.remove(*id);
        }
        self.slots.forget_all();
        running
    }

    /// Ends the wait of all who wait. Answers who they were.
    pub fn refuse_waiting(&mut self) -> Vec<SequenceId> {
        let waiting = self.ids_where(|sequence| sequence.slot().is_none());
        for id in &waiting {
            self.remove(*id);
        }
        waiting
    }

    /// When the next deadline passes, if any sequence is here.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.sequences.values().map(|sequence| self.deadline_ms(sequence)).min()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many have a slot.
    pub fn running(&self) -> usize {
        self.sequences.len() - self.waiting
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.sequences.is_empty()
    }

    /// Whether this sequence waits or runs.
    pub fn contains(&self, id: SequenceId) -> bool {
        self.sequences.contains_key(&id)
    }

    /// Tokens in the cache, of running and of kept sequences.
    pub fn cached_tokens(&self) -> usize {
        (0..self.slots.len()).filter_map(|slot| self.slots.get(slot)).map(|slot| slot.valid).sum()
    }

    fn deadline_ms(&self, sequence: &Sequence) -> u64 {
        let whole = sequence.arrived_ms.saturating_add(self.config.generation_timeout_ms);
        match sequence.stage {
            Stage::Waiting { .. } => whole.min(sequence.arrived_ms.saturating_add(self.config.queue_timeout_ms)),
            _ => whole,
        }
    }

    fn ids_where(&self, predicate: impl Fn(&Sequence) -> bool) -> Vec<SequenceId> {
        self.sequences.iter().filter(|(_, sequence)| predicate(sequence)).map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests;
