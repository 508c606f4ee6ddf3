//! What the scheduler is told and what it answers.

use ports::{Owner, Priority};

/// One generation, from its submission to its end. Numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(pub u64);

/// A generation that asks for a place.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Which one.
    pub id: SequenceId,
    /// Whom it is for.
    pub owner: Owner,
    /// How soon it should run.
    pub priority: Priority,
    /// Its prompt: at least one token.
    pub prompt: Vec<u32>,
    /// What becomes of it.
    pub purpose: Purpose,
}

/// What a sequence's prompt is read for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// A text follows it.
    Text {
        /// The most tokens that may follow; with the prompt no more than the context.
        max_new_tokens: usize,
    },
    /// Vectors are made of it. It is several inputs, one behind another, each of which is read by itself, from the slot's first position
    /// on. Nothing of them is kept in the cache afterwards, and nothing that was kept is used: every hidden state is needed.
    Embedding {
        /// Where each input ends, ascending; the last at the prompt's end. None is longer than the context.
        ends: Vec<usize>,
    },
}

impl Purpose {
    pub(super) fn is_embedding(&self) -> bool {
        matches!(self, Self::Embedding { .. })
    }

    pub(super) fn max_new_tokens(&self) -> usize {
        match self {
            Self::Text { max_new_tokens } => *max_new_tokens,
            Self::Embedding { .. } => 0,
        }
    }

    /// Where the part of a prompt of so many tokens begins and ends that is read by itself and holds this place.
    pub(super) fn part_at(&self, place: usize, prompt_tokens: usize) -> (usize, usize) {
        match self {
            Self::Text { .. } => (0, prompt_tokens),
            Self::Embedding { ends } => {
                let index = ends.partition_point(|end| *end <= place);
                let begin = index.checked_sub(1).and_then(|before| ends.get(before));
                (begin.copied().unwrap_or(0), ends.get(index).copied().unwrap_or(prompt_tokens))
            }
        }
    }
}

/// Everything that is to be done in one step. The model's work is done in this order: copies, decode, checks, prefills.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Sequences that waited or ran past their deadline. They are gone already.
    pub expired: Vec<SequenceId>,
    /// Sequences that got a slot in this step.
    pub admitted: Vec<Admission>,
    /// Sequences that wait, and how many wait before each; only those for which the number changed.
    pub queue_positions: Vec<(SequenceId, u32)>,
    /// Slots to copy, in this order.
    pub copies: Vec<SlotCopy>,
    /// One token for many sequences at once.
    pub decode: DecodeBatch,
    /// Drafts to verify.
    pub checks: Vec<DraftCheck>,
    /// Parts of prompts to read.
    pub prefills: Vec<PrefillChunk>,
}

impl Plan {
    /// Whether the model has anything to compute.
    pub fn has_work(&self) -> bool {
        !(self.copies.is_empty() && self.decode.rows.is_empty() && self.checks.is_empty() && self.prefills.is_empty())
    }
}

/// A sequence got a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// Which one.
    pub id: SequenceId,
    /// Tokens of its prompt that need not be read, since a kept sequence began with them.
    pub reused_tokens: usize,
    /// How long it waited.
    pub waited_ms: u64,
}

/// The first `tokens` positions of one slot go to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotCopy {
    /// From this slot.
    pub from: usize,
    /// To this slot, whose content is lost.
    pub to: usize,
    /// So many positions.
    pub tokens: usize,
}

/// A decode step over the slots from 0 to the highest that is used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DecodeBatch {
    /// The token that goes into each slot.
    pub tokens: Vec<u32>,
    /// Where it goes.
    pub positions: Vec<usize>,
    /// Whose row each is. `None` is a filler: a slot that lies between used ones. It computes something beyond the slot's valid tokens,
    /// where it disturbs nobody, and its logits are thrown away.
    pub rows: Vec<Option<SequenceId>>,
}

/// The next token of a sequence together with a guess of those after it, to be computed in one pass with a row of logits for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftCheck {
    /// Whose.
    pub id: SequenceId,
    /// Where its cache lies.
    pub slot: usize,
    /// The position of the first token.
    pub start: usize,
    /// The next token, which is certain, and then the draft.
    pub tokens: Vec<u32>,
}

/// A part of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefillChunk {
    /// Whose.
    pub id: SequenceId,
    /// Where its cache lies.
    pub slot: usize,
    /// The position of the first token.
    pub start: usize,
    /// The tokens, at least one.
    pub tokens: Vec<u32>,
    /// Whether the prompt ends with it, so that the first new token can be chosen from the logits after it; of an embedding, whether one of
    /// its inputs does.
    pub completes: bool,
    /// Whether the hidden states of its tokens are wanted, and no logits.
    pub embeds: bool,
}
