//! Makes the plan of one step.

use std::collections::HashMap;

use ports::{Owner, Priority};

use super::slots::MIN_SHARED_TOKENS;
use super::{Admission, DecodeBatch, DraftCheck, Plan, PrefillChunk, Purpose, Scheduler, Sequence, SequenceId, Stage};

/// Reading any number of tokens begins with reading the weights, which takes as long as computing about so many tokens.
const PASS_OVERHEAD_TOKENS: usize = 16;
/// With more sequences than this, a common decode step beats a check for each of them.
const MAX_CHECKED_SEQUENCES: usize = 2;

impl Scheduler {
    /// What is to be done next. Everything in the plan must be carried out and reported before the next one is asked for; if a step
    /// of it fails, [`Scheduler::fail_running`].
    pub fn plan(&mut self, now_ms: u64) -> Plan {
        self.slots.next_step();
        let mut plan = Plan { expired: self.expire(now_ms), ..Plan::default() };
        self.plan_prefill(now_ms, &mut plan);
        self.compact(&mut plan);
        self.plan_checks(&mut plan);
        self.plan_decode(&mut plan);
        self.report_positions(&mut plan);
        plan
    }

    fn expire(&mut self, now_ms: u64) -> Vec<SequenceId> {
        let expired = self.ids_where(|sequence| now_ms >= self.deadline_ms(sequence));
        for id in &expired {
            self.remove(*id);
        }
        expired
    }

    /// Shares this step's budget of prompt tokens out, chunk by chunk, admitting on the way.
    fn plan_prefill(&mut self, now_ms: u64, plan: &mut Plan) {
        let decoding = self.sequences.values().any(|s| matches!(s.stage, Stage::Decoding { .. }) && !s.paused);
        let mut budget = if decoding { self.config.prefill_chunk_tokens } else { self.config.idle_prefill_chunk_tokens };
        let mut first = true;
        while first || budget > PASS_OVERHEAD_TOKENS {
            let Some(id) = self.next_to_read() else { break };
            let Some(chunk) = self.read_on(id, now_ms, budget, plan) else { break };
            budget = budget.saturating_sub(chunk.tokens.len() + PASS_OVERHEAD_TOKENS);
            first = false;
            plan.prefills.push(chunk);
        }
    }

    /// Whose prompt is read next: interactive before batch, then the owner who was served least, then that owner's texts before embeddings
    /// (which may be many, and whose first one nobody reads before the last), then what was begun, then the oldest.
    fn next_to_read(&self) -> Option<SequenceId> {
        let free = self.slots.free();
        let readable = self.sequences.iter().filter(|(_, sequence)| self.is_readable(sequence, free));
        let order = |(id, sequence): &(&SequenceId, &Sequence)| {
            let waits = matches!(sequence.stage, Stage::Waiting { .. });
            let (served, embeds) = (self.share.served(sequence.owner), sequence.purpose.is_embedding());
            (sequence.priority == Priority::Batch, served, embeds, waits, **id)
        };
        readable.min_by_key(order).map(|(id, _)| *id)
    }

    fn is_readable(&self, sequence: &Sequence, free: usize) -> bool {
        match sequence.stage {
            Stage::Decoding { .. } => false,
            Stage::Prefilling { planned, .. } => planned < sequence.prompt_tokens,
            Stage::Waiting { .. } => {
                // The last slot is left to those whom somebody waits for, and one to other owners.
                let kept_free = usize::from(sequence.priority == Priority::Batch && self.slots.len() > 1);
                let most = self.config.max_running_per_owner.min(self.slots.len().saturating_sub(1).max(1));
                free > kept_free && self.share.running(sequence.owner) < most && !self.is_being_read(sequence)
            }
        }
    }

    /// Whether the same owner's prompt that is being read begins in the same way: once it is in the cache, this one starts from it.
    /// (Several answers to one question come like this.)
    fn is_being_read(&self, waiting: &Sequence) -> bool {
        let Stage::Waiting { prompt, .. } = &waiting.stage else { return false };
        if waiting.purpose.is_embedding() {
            return false;
        }
        let alike = |other: &&Sequence| other.owner == waiting.owner && other.priority == waiting.priority;
        self.sequences.values().filter(alike).filter(|other| !other.purpose.is_embedding()).any(|other| {
            let Stage::Prefilling { slot, .. } = other.stage else { return false };
            let Some(slot) = self.slots.get(slot) else { return false };
            let shared = slot.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count();
            self.config.share_prefixes && shared >= slot.read_together + MIN_SHARED_TOKENS
        })
    }

    /// The next chunk of a prompt; where the sequence waits, it gets its slot first.
    fn read_on(&mut self, id: SequenceId, now_ms: u64, budget: usize, plan: &mut Plan) -> Option<PrefillChunk> {
        let sequence = self.sequences.get_mut(&id)?;
        if let Stage::Waiting { prompt, .. } = &mut sequence.stage {
            let prompt = std::mem::take(prompt);
            let placement = match sequence.purpose {
                Purpose::Text { .. } => self.slots.place(id, sequence.owner, prompt, &mut plan.copies)?,
                Purpose::Embedding { .. } => self.slots.place_alone(id, prompt)?,
            };
            sequence.stage = Stage::Prefilling { slot: placement.slot, planned: placement.reused_tokens };
            self.share.begin_running(sequence.owner);
            self.waiting -= 1;
            self.queue_changed = true;
            let waited_ms = now_ms.saturating_sub(sequence.arrived_ms);
            plan.admitted.push(Admission { id, reused_tokens: placement.reused_tokens, waited_ms });
        }
        let Stage::Prefilling { slot, planned } = &mut sequence.stage else { return None };
        let begin = *planned;
        let (part_begin, part_end) = sequence.purpose.part_at(begin, sequence.prompt_tokens);
        let mut end = part_end.min(begin + budget.max(2));
        if !self.config.extend_matches_decode && part_end - end == 1 && end - begin > 2 {
            // The last token would have to be read alone.
            end -= 1;
        }
        let tokens = self.slots.get(*slot)?.tokens.get(begin..end)?.to_vec();
        *planned = end;
        self.share.charge(sequence.owner, tokens.len() as u64);
        let embeds = sequence.purpose.is_embedding();
        Some(PrefillChunk { id, slot: *slot, start: begin - part_begin, tokens, completes: end == part_end, embeds })
    }

    /// Moves the highest decoding sequence down where that pays.
    fn compact(&mut self, plan: &mut Plan) {
        let decoding = self.sequences.iter().filter_map(|(id, sequence)| match sequence.stage {
            Stage::Decoding { slot } if !sequence.paused => Some((slot, *id)),
            _ => None,
        });
        let Some((highest, id)) = decoding.max() else { return };
        if let Some(slot) = self.slots.compact(highest, &mut plan.copies)
            && let Some(sequence) = self.sequences.get_mut(&id)
        {
            sequence.stage = Stage::Decoding { slot };
        }
    }

    fn plan_checks(&mut self, plan: &mut Plan) {
        let running = self.sequences.values().filter(|s| matches!(s.stage, Stage::Decoding { .. }) && !s.paused).count();
        let may_check = self.config.speculate && self.config.extend_matches_decode;
        if !may_check || running > MAX_CHECKED_SEQUENCES {
            return;
        }
        for (id, sequence) in &mut self.sequences {
            let Stage::Decoding { slot: index } = sequence.stage else { continue };
            let Some(slot) = self.slots.get(index).filter(|_| !sequence.paused) else { continue };
            let made = slot.tokens.len().saturating_sub(sequence.prompt_tokens);
            // The check itself gives one token more than the draft has, and its tokens must fit into the slot.
            let limit = sequence
                .purpose
                .max_new_tokens()
                .saturating_sub(made + 1)
                .min(self.config.context_length.saturating_sub(slot.valid + 1));
            let Some(draft) = sequence.speculation.draft(&slot.tokens, limit) else { continue };
            let tokens = slot.tokens.last().copied().into_iter().chain(draft).collect();
            plan.checks.push(DraftCheck { id: *id, slot: index, start: slot.valid, tokens });
        }
    }

    /// Everybody else's next token, with fillers in between.
    fn plan_decode(&self, plan: &mut Plan) {
        let ready = self.sequences.iter().filter_map(|(id, sequence)| match sequence.stage {
            Stage::Decoding { slot } if !sequence.paused && !plan.checks.iter().any(|check| check.id == *id) => Some((slot, *id)),
            _ => None,
        });
        let by_slot: HashMap<usize, SequenceId> = ready.collect();
        let rows = by_slot.keys().max().map_or(0, |highest| highest + 1);
        let last_position = self.config.context_length.saturating_sub(1);
        let mut batch = DecodeBatch::default();
        for (index, slot) in (0..rows).filter_map(|index| self.slots.get(index).map(|slot| (index, slot))) {
            let row = by_slot.get(&index).copied();
            batch.rows.push(row);
            batch.tokens.push(row.and(slot.tokens.last().copied()).unwrap_or(0));
            batch.positions.push(slot.valid.min(last_position));
        }
        plan.decode = batch;
    }

    /// Tells those who wait how many wait before them, by the order in which they would be admitted if nobody else came.
    fn report_positions(&mut self, plan: &mut Plan) {
        if !std::mem::take(&mut self.queue_changed) {
            return;
        }
        let mut ahead: HashMap<(Owner, Priority), usize> = HashMap::new();
        let mut order: Vec<_> = Vec::with_capacity(self.waiting);
        for (id, sequence) in self.sequences.iter().filter(|(_, sequence)| sequence.slot().is_none()) {
            let turn = ahead.entry((sequence.owner, sequence.priority)).or_default();
            order.push((sequence.priority == Priority::Batch, *turn, self.share.served(sequence.owner), *id));
            *turn += 1;
        }
        order.sort_unstable();
        for (position, (.., id)) in (0u32..).zip(order) {
            let Some(sequence) = self.sequences.get_mut(&id) else { continue };
            if let Stage::Waiting { reported_position, .. } = &mut sequence.stage
                && *reported_position != Some(position)
            {
                *reported_position = Some(position);
                plan.queue_positions.push((id, position));
            }
        }
    }
}
