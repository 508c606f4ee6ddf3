//! A model for tests whose logits depend on every token of a slot's own history, and which notices when it is driven wrongly.
//!
//! It keeps the tokens that were written to each position. Reading a position that was never written, or that was overwritten by
//! another sequence, changes what it says or fails, so a mix-up of sequences cannot pass unseen.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::step_model::{Logits, StepError, StepModel, StepModelLimits};

pub(crate) struct FakeModel {
    limits: StepModelLimits,
    /// What each position of each slot holds.
    slots: Vec<Vec<Option<u32>>>,
    logits: Vec<f32>,
    /// How many of the last tokens the logits depend on; few make a text that repeats itself.
    pub(crate) memory_tokens: usize,
    /// Calls so far.
    pub(crate) calls: Arc<AtomicUsize>,
    /// How long a step takes.
    pub(crate) step_time: Duration,
    /// A prompt with this token fails the step, or panics.
    pub(crate) failing_token: Option<u32>,
    pub(crate) panicking_token: Option<u32>,
}

impl FakeModel {
    pub(crate) fn new(slots: usize, context_length: usize, vocabulary: usize) -> Self {
        Self {
            limits: StepModelLimits { slots, context_length, vocabulary, width: Self::WIDTH },
            slots: vec![vec![None; context_length]; slots],
            logits: Vec::new(),
            memory_tokens: usize::MAX,
            calls: Arc::default(),
            step_time: Duration::ZERO,
            failing_token: None,
            panicking_token: None,
        }
    }

    const WIDTH: usize = 8;

    /// The hidden state after these tokens: it depends on all of them.
    pub(crate) fn hidden_state_after(tokens: &[u32]) -> Vec<f32> {
        Self::logits_after(tokens, Self::WIDTH)
    }

    /// The logits after these tokens.
    pub(crate) fn logits_after(tokens: &[u32], vocabulary: usize) -> Vec<f32> {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for token in tokens {
            hash = (hash ^ u64::from(*token)).wrapping_mul(0x0100_0000_01b3);
        }
        (0..vocabulary as u64)
            .map(|token| {
                let mixed = (hash ^ token.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xff51_afd7_ed55_8ccd);
                f32::from(u16::try_from(mixed >> 48).unwrap_or(0)) / 16384.0
                    + f32::from(u8::try_from((mixed >> 40) & 0xff).unwrap_or(0)) / 4_194_304.0
            })
            .collect()
    }

    /// What greedy decoding gives.
    pub(crate) fn greedy(prompt: &[u32], count: usize, vocabulary: usize) -> Vec<u32> {
        let mut tokens = prompt.to_vec();
        for _ in 0..count {
            let logits = Self::logits_after(&tokens, vocabulary);
            tokens.push(argmax(&logits));
        }
        tokens.split_off(prompt.len())
    }

    fn write(&mut self, slot: usize, position: usize, token: u32) -> Result<(), StepError> {
        if Some(token) == self.failing_token {
            return Err(StepError("the fake was told to fail".into()));
        }
        assert!(Some(token) != self.panicking_token, "the fake was told to panic");
        let cell = self.slots.get_mut(slot).and_then(|slot| slot.get_mut(position));
        *cell.ok_or_else(|| StepError(format!("slot {slot} position {position} does not exist")))? = Some(token);
        Ok(())
    }

    fn push_logits(&mut self, slot: usize, position: usize) -> Result<(), StepError> {
        let history: Option<Vec<u32>> = self.slots[slot][..=position].iter().copied().collect();
        let history = history.ok_or_else(|| StepError(format!("slot {slot} has a gap before position {position}")))?;
        let remembered = history.len().saturating_sub(self.memory_tokens);
        self.logits.extend(Self::logits_after(&history[remembered..], self.limits.vocabulary));
        Ok(())
    }
}

pub(crate) fn argmax(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().max_by(|(i, a), (j, b)| a.total_cmp(b).then(j.cmp(i))).unwrap().0;
    u32::try_from(best).unwrap()
}

impl StepModel for FakeModel {
    fn limits(&self) -> StepModelLimits {
        self.limits
    }

    fn extend(&mut self, slot: usize, start: usize, tokens: &[u32], logit_rows: usize) -> Result<Logits<'_>, StepError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(self.step_time);
        self.logits.clear();
        for (position, token) in (start..).zip(tokens) {
            self.write(slot, position, *token)?;
        }
        for position in start + tokens.len() - logit_rows..start + tokens.len() {
            self.push_logits(slot, position)?;
        }
        Ok(Logits::new(&self.logits, self.limits.vocabulary))
    }

    fn add_hidden_states(&mut self, slot: usize, start: usize, tokens: &[u32], sums: &mut [f64]) -> Result<(), StepError> {
        self.extend(slot, start, tokens, 0)?;
        for position in start..start + tokens.len() {
            let history: Option<Vec<u32>> = self.slots[slot][..=position].iter().copied().collect();
            let history = history.ok_or_else(|| StepError(format!("slot {slot} has a gap before position {position}")))?;
            let state = Self::hidden_state_after(&history);
            sums.iter_mut().zip(state).for_each(|(sum, value)| *sum += f64::from(value));
        }
        Ok(())
    }

    fn decode(&mut self, tokens: &[u32], positions: &[usize]) -> Result<Logits<'_>, StepError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(self.step_time);
        assert_eq!(tokens.len(), positions.len());
        self.logits.clear();
        for (slot, (token, position)) in tokens.iter().zip(positions).enumerate() {
            self.write(slot, *position, *token)?;
            // A filler in a slot that was never used has nothing before it.
            if self.slots[slot][..*position].iter().all(Option::is_some) {
                self.push_logits(slot, *position)?;
            } else {
                return Err(StepError(format!("slot {slot} has a gap before position {position}")));
            }
        }
        Ok(Logits::new(&self.logits, self.limits.vocabulary))
    }

    fn extend_matches_decode(&self) -> bool {
        true
    }

    fn copy_slot(&mut self, from: usize, to: usize, tokens: usize) -> Result<(), StepError> {
        assert_ne!(from, to);
        let copied = self.slots[from][..tokens].to_vec();
        if copied.iter().any(Option::is_none) {
            return Err(StepError(format!("slot {from} does not hold {tokens} tokens")));
        }
        self.slots[to].fill(None);
        self.slots[to][..tokens].copy_from_slice(&copied);
        Ok(())
    }
}
