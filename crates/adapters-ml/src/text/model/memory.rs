//! How much memory a model takes, computed before any of it is asked for, and what fits where it is short.

use super::LoadError;
use super::architectures::ModelShape;
use super::session::CacheShape;

/// A context shorter than this is not worth a model; the model's own, where that is shorter still.
const SHORTEST_CONTEXT: usize = 256;
/// Before fewer sequences than this run together, contexts are shortened.
const FEW_SLOTS: usize = 4;

/// What an operator allows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wishes {
    pub(super) memory_bytes: u64,
    pub(super) slots: usize,
    pub(super) context: usize,
    pub(super) chunk: usize,
}

/// Memory by what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Weights.
    pub weights_bytes: u64,
    /// Keys and values of all slots, once every one is full. Pages that were never written cost nothing.
    pub cache_bytes: u64,
    /// Activations of the largest step.
    pub workspace_bytes: u64,
}

impl MemoryPlan {
    /// The sum.
    pub fn total_bytes(&self) -> u64 {
        self.weights_bytes.saturating_add(self.cache_bytes).saturating_add(self.workspace_bytes)
    }
}

/// Chooses slots and their length: all that was asked for if it fits, else fewer slots, then shorter ones, then fewer still.
pub(super) fn fit(shape: &ModelShape, weights_bytes: u64, wishes: &Wishes) -> Result<(CacheShape, MemoryPlan), LoadError> {
    let workspace_bytes = workspace_bytes(shape, wishes);
    let longest = wishes.context.clamp(1, shape.context_length.max(1));
    let shortest = longest.min(SHORTEST_CONTEXT);
    let slots = wishes.slots.max(1);
    let few = slots.min(FEW_SLOTS);
    let plan = |slots: usize, tokens: usize| {
        let cache = CacheShape { layers: shape.layers, slots, heads: shape.kv_heads, tokens, head_size: shape.head_size };
        let cache_bytes = cache.bytes().map_or(u64::MAX, |bytes| bytes as u64);
        (cache, MemoryPlan { weights_bytes, cache_bytes, workspace_bytes })
    };
    let fits = |(_, memory): &(CacheShape, MemoryPlan)| memory.total_bytes() <= wishes.memory_bytes;
    let with_fewer_slots = (few..=slots).rev().map(|slots| plan(slots, longest));
    let shorter = std::iter::successors(Some(longest), |tokens| (*tokens > shortest).then(|| (tokens / 2).max(shortest)));
    let with_shorter_slots = shorter.map(|tokens| plan(few, tokens));
    let with_fewer_still = (1..few).rev().map(|slots| plan(slots, shortest));
    with_fewer_slots.chain(with_shorter_slots).chain(with_fewer_still).find(fits).ok_or_else(|| {
        let (_, smallest) = plan(1, shortest);
        LoadError::DoesNotFit {
            needed_bytes: smallest.total_bytes(),
            weights_bytes,
            cache_bytes: smallest.cache_bytes,
            workspace_bytes,
            limit_bytes: wishes.memory_bytes,
        }
    })
}

/// A bound on the activations of a step: the rows of a chunk, each with its hidden states, packed heads, inner rows and scores, and the
/// logits of as many rows as there are slots.
fn workspace_bytes(shape: &ModelShape, wishes: &Wishes) -> u64 {
    let row = 6 * shape.width + 2 * shape.packed_width() + 2 * shape.inner + shape.heads * wishes.context.min(shape.context_length);
    let rows = wishes.chunk.max(wishes.slots);
    let floats = (row as u64).saturating_mul(rows as u64).saturating_add((shape.vocabulary as u64).saturating_mul(wishes.slots as u64));
    floats.saturating_mul(size_of::<f32>() as u64)
}
