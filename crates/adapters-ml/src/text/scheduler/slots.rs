//! Which sequence lies in which slot of the model's cache, and what free slots still hold.
//!
//! Three rules keep the model's work small:
//! - Decoding runs over the slots from 0 to the highest in use, so sequences go into the **lowest** free slot, and one far up is moved
//!   into a hole below once the hole has cost as much as the move (the ski-rental rule: never more than twice the best choice).
//! - What a sequence leaves behind is **kept**: a later one that begins alike starts from it. Kept tokens are moved out of a slot that is
//!   needed into the free slot that was used least recently. A copy costs about a hundredth of reading the tokens again.
//! - Only sequences of the **same owner** are shared: whether a prompt was seen before shows in the time to its first token, and one
//!   person's prompts are not another's to guess.

use std::cmp::Reverse;

use ports::Owner;

use super::plan::{SequenceId, SlotCopy};

/// Fewer common tokens are read again: a copy is a call to the model too.
pub(super) const MIN_SHARED_TOKENS: usize = 16;
/// Copying so many tokens takes about as long as a filler row in a decode step.
const COPIED_TOKENS_PER_FILLER: usize = 128;

/// Reading a token again takes as long as copying about 64, and about every fourth kept token is ever asked for.
const COPIES_PER_LOST_TOKEN: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) holder: Option<SequenceId>,
    /// The tokens of the sequence in it, or of the last one.
    pub(super) tokens: Vec<u32>,
    /// How many of them are in the cache.
    pub(super) valid: usize,
    /// How many of those, from the beginning, were read as a prompt and not decoded one by one.
    pub(super) read_together: usize,
    /// With whom they are shared; `None` where they are shared with nobody.
    owner: Option<Owner>,
    last_used: u64,
}

impl Slot {
    fn shared_with(&self, owner: Owner, prompt: &[u32], extend_matches_decode: bool) -> usize {
        if self.owner != Some(owner) {
            return 0;
        }
        // The last token of a prompt is always read: its logits are what the first new token is chosen from.
        let (usable, left_to_read) = if extend_matches_decode { (self.valid, 1) } else { (self.read_together, 2) };
        let cached = self.tokens.get(..usable).unwrap_or_default();
        cached.iter().zip(prompt).take_while(|(a, b)| a == b).count().min(prompt.len().saturating_sub(left_to_read))
    }

    /// Whether nothing worth keeping is left of a free slot once its first tokens go on elsewhere.
    fn is_continued_by(&self, shared_tokens: usize) -> bool {
        self.holder.is_none() && self.valid < shared_tokens + MIN_SHARED_TOKENS
    }

    fn forget(&mut self) {
        *self = Self { holder: self.holder, last_used: self.last_used, ..Self::default() };
    }
}

/// A sequence that found its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) slot: usize,
    pub(super) reused_tokens: usize,
}

#[derive(Debug)]
pub(super) struct SlotTable {
    slots: Vec<Slot>,
    share_prefixes: bool,
    extend_matches_decode: bool,
    /// Filler rows computed in free slots since the last move.
    filler_debt: usize,
    step: u64,
}

impl SlotTable {
    pub(super) fn new(slots: usize, share_prefixes: bool, extend_matches_decode: bool) -> Self {
        let slots = (0..slots).map(|_| Slot::default()).collect();
        Self { slots, share_prefixes, extend_matches_decode, filler_debt: 0, step: 0 }
    }

    pub(super) fn next_step(&mut self) {
        self.step += 1;
    }

    pub(super) fn get(&self, slot: usize) -> Option<&Slot> {
        self.slots.get(slot)
    }

    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut Slot> {
        self.slots.get_mut(slot)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn free(&self) -> usize {
        self.slots.iter().filter(|slot| slot.holder.is_none()).count()
    }

    /// Finds a slot for a prompt, with as much of it in the cache as can be had. `None` if all are held.
    pub(super) fn place(
        &mut self,
        id: SequenceId,
        owner: Owner,
        prompt: Vec<u32>,
        copies: &mut Vec<SlotCopy>,
    ) -> Option<Placement> {
        let lowest = self.slots.iter().position(|slot| slot.holder.is_none())?;
        let shared = self.best_match(owner, &prompt);
        let target = shared.and_then(|shared| self.stays_where_it_is(shared, lowest)).unwrap_or(lowest);
        let reused_tokens = shared.map_or(0, |(_, tokens)| tokens);
        self.evacuate(target, shared, copies);
        if let Some((source, tokens)) = shared.filter(|(source, _)| *source != target) {
            copies.push(SlotCopy { from: source, to: target, tokens });
            // All of it goes on in the new slot: a second copy would only push others out.
            let source = self.slots.get_mut(source)?;
            if source.is_continued_by(tokens) {
                source.forget();
            }
        }
        let step = self.step;
        let slot = self.slots.get_mut(target)?;
        *slot = Slot {
            holder: Some(id),
            tokens: prompt,
            valid: reused_tokens,
            read_together: reused_tokens,
            owner: Some(owner),
            last_used: step,
        };
        Some(Placement { slot: target, reused_tokens })
    }

    /// Finds a slot for a prompt of which nothing is shared, before or after: the free one whose kept tokens are worth the least, and of
    /// empty ones the highest. It is never decoded, so it need not lie low, and nothing is copied for it.
    pub(super) fn place_alone(&mut self, id: SequenceId, prompt: Vec<u32>) -> Option<Placement> {
        let worth = |slot: &Slot| (slot.valid > 0).then_some(slot.last_used);
        let free = self.slots.iter_mut().enumerate().filter(|(_, slot)| slot.holder.is_none());
        let (target, slot) = free.min_by_key(|(index, slot)| (worth(slot), Reverse(*index)))?;
        *slot = Slot { holder: Some(id), tokens: prompt, last_used: self.step, ..Slot::default() };
        Some(Placement { slot: target, reused_tokens: 0 })
    }

    /// The sequence has left its slot; its tokens stay where they may be shared.
    pub(super) fn release(&mut self, slot: usize) {
        let (step, share_prefixes) = (self.step, self.share_prefixes);
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.holder = None;
            slot.last_used = step;
            slot.tokens.truncate(slot.valid);
            if !share_prefixes || slot.valid < MIN_SHARED_TOKENS || slot.owner.is_none() {
                slot.forget();
            }
        }
    }

    /// Nothing in the cache can be trusted any more.
    pub(super) fn forget_all(&mut self) {
        self.slots.iter_mut().for_each(|slot| *slot = Slot::default());
    }

    /// Moves a sequence from `highest` into a hole below it, if the holes have cost enough by now. Answers where it lies then.
    pub(super) fn compact(&mut self, highest: usize, copies: &mut Vec<SlotCopy>) -> Option<usize> {
        let below = self.slots.get(..highest)?;
        let Some(hole) = below.iter().position(|slot| slot.holder.is_none()) else {
            self.filler_debt = 0;
            return None;
        };
        let fillers = below.iter().filter(|slot| slot.holder.is_none()).count();
        self.filler_debt += fillers;
        let tokens = self.slots.get(highest)?.valid;
        if self.filler_debt * COPIED_TOKENS_PER_FILLER < tokens + self.cost_of_clearing(hole) {
            return None;
        }
        self.filler_debt = 0;
        self.evacuate(hole, None, copies);
        copies.push(SlotCopy { from: highest, to: hole, tokens });
        let moved = std::mem::take(self.slots.get_mut(highest)?);
        *self.slots.get_mut(hole)? = moved;
        Some(hole)
    }

    /// What it costs, in copied tokens, to put something else into a free slot: its kept tokens move to an empty slot, or the least
    /// recently used ones are lost and may have to be read again.
    fn cost_of_clearing(&self, hole: usize) -> usize {
        let kept = self.slots.get(hole).map_or(0, |slot| slot.valid);
        let free = self.slots.iter().enumerate().filter(|(index, slot)| *index != hole && slot.holder.is_none());
        let oldest = free.map(|(_, slot)| slot).min_by_key(|slot| (slot.valid > 0, slot.last_used));
        let lost = oldest.map_or(kept, |slot| slot.valid.min(kept));
        kept + lost * COPIES_PER_LOST_TOKEN
    }

    /// The slot that shares the most tokens with a prompt, and how many.
    fn best_match(&self, owner: Owner, prompt: &[u32]) -> Option<(usize, usize)> {
        if !self.share_prefixes {
            return None;
        }
        let shared_with = |slot: &Slot| slot.shared_with(owner, prompt, self.extend_matches_decode);
        let shared = self.slots.iter().enumerate().map(|(index, slot)| (index, shared_with(slot)));
        shared.filter(|(_, tokens)| *tokens >= MIN_SHARED_TOKENS).max_by_key(|(index, tokens)| (*tokens, usize::MAX - index))
    }

    /// A kept sequence that goes on could be copied down to the lowest free slot; but where that slot keeps another and no slot is
    /// empty, the other would be lost for it.
    fn stays_where_it_is(&self, (source, tokens): (usize, usize), lowest: usize) -> Option<usize> {
        let continued = self.slots.get(source)?.is_continued_by(tokens);
        let lowest_keeps = self.slots.get(lowest)?.valid > 0;
        let any_empty = self.slots.iter().any(|slot| slot.holder.is_none() && slot.valid == 0);
        (continued && lowest_keeps && !any_empty).then_some(source)
    }

    /// Moves what a free slot keeps to the least valuable other free slot, if that is worth less. A slot whose tokens are about to be
    /// continued in place needs no moving, unless much of it would be overwritten.
    fn evacuate(&mut self, target: usize, shared: Option<(usize, usize)>, copies: &mut Vec<SlotCopy>) {
        let Some(kept) = self.slots.get(target) else { return };
        let continued = shared.filter(|(source, _)| *source == target).map_or(0, |(_, tokens)| tokens);
        if kept.valid < continued + MIN_SHARED_TOKENS {
            return;
        }
        let others = self.slots.iter().enumerate().filter(|(index, slot)| {
            *index != target && slot.holder.is_none() && shared.is_none_or(|(source, _)| source != *index)
        });
        let spare = others.min_by_key(|(_, slot)| (slot.valid > 0, slot.last_used));
        let Some((spare, _)) = spare.filter(|(_, slot)| slot.valid == 0 || slot.last_used < kept.last_used) else { return };
        copies.push(SlotCopy { from: target, to: spare, tokens: kept.valid });
        self.slots.swap(target, spare);
    }
}
