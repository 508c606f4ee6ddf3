//! How much memory a model takes, computed before any of it is asked for, and what fits where it is short.

use super::LoadError;
use super::architectures::ModelShape;
use super::attention::{CacheElement, CacheShape, TILE_ROWS};
use crate::text::residency::MemoryNeeds;

/// A context shorter than this is not worth a model; the model's own, where that is shorter still.
const SHORTEST_CONTEXT: usize = 256;
/// Before fewer sequences than this run together, contexts are shortened.
const FEW_SLOTS: usize = 4;
/// A model that is loaded beside others asks for no more than this context, however long its own is: what it does not get, nobody else
/// must be unloaded for.
const ENOUGH_CONTEXT: usize = 4096;

/// What an operator allows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wishes {
    pub(super) memory_bytes: u64,
    pub(super) slots: usize,
    pub(super) context: usize,
    pub(super) chunk: usize,
    /// Threads that share a step's work.
    pub(super) threads: usize,
    /// In which numbers keys and values are kept.
    pub(super) element: CacheElement,
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
    let longest = wishes.context.clamp(1, shape.context_length.max(1));
    let shortest = longest.min(SHORTEST_CONTEXT);
    let slots = wishes.slots.max(1);
    let few = slots.min(FEW_SLOTS);
    let plan = |slots: usize, tokens: usize| plan(shape, weights_bytes, wishes, slots, tokens);
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
            workspace_bytes: smallest.workspace_bytes,
            limit_bytes: wishes.memory_bytes,
        }
    })
}

/// What a model asks for: at the least one slot of the shortest context, and enough with a few slots of a context for most texts.
pub(super) fn needs(shape: &ModelShape, weights_bytes: u64, wishes: &Wishes) -> MemoryNeeds {
    let longest = wishes.context.clamp(1, shape.context_length.max(1));
    let bytes = |slots: usize, tokens: usize| plan(shape, weights_bytes, wishes, slots, tokens).1.total_bytes();
    let least_bytes = bytes(1, longest.min(SHORTEST_CONTEXT));
    MemoryNeeds { least_bytes, enough_bytes: bytes(wishes.slots.clamp(1, FEW_SLOTS), longest.min(ENOUGH_CONTEXT)) }
}

/// A cache of so many slots and tokens, and what all takes with it.
fn plan(shape: &ModelShape, weights_bytes: u64, wishes: &Wishes, slots: usize, tokens: usize) -> (CacheShape, MemoryPlan) {
    let cache = CacheShape {
        layers: shape.layers,
        slots,
        heads: shape.kv_heads,
        tokens,
        head_size: shape.head_size,
        element: wishes.element,
    };
    let cache_bytes = cache.bytes().map_or(u64::MAX, |bytes| bytes as u64);
    (cache, MemoryPlan { weights_bytes, cache_bytes, workspace_bytes: workspace_bytes(shape, wishes) })
}

/// A bound on the activations of a step: the rows of a chunk, each with its hidden states (once more for those that are answered), packed
/// heads and inner rows, each thread's scores, and the logits of as many rows as there are slots.
fn workspace_bytes(shape: &ModelShape, wishes: &Wishes) -> u64 {
    let row = 7 * shape.width + 2 * shape.packed_width() + 2 * shape.inner;
    let rows = wishes.chunk.max(wishes.slots) as u64;
    let scores = (wishes.threads * TILE_ROWS * wishes.context.min(shape.context_length)) as u64;
    let logits = (shape.vocabulary as u64).saturating_mul(wishes.slots as u64);
    let floats = (row as u64).saturating_mul(rows).saturating_add(scores).saturating_add(logits);
    floats.saturating_mul(size_of::<f32>() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2 layers × 2 (keys and values) × 2 heads × 16 features × 2 bytes: 256 bytes a token.
    const SHAPE: ModelShape = ModelShape {
        layers: 2,
        width: 32,
        heads: 2,
        kv_heads: 2,
        head_size: 16,
        inner: 16,
        vocabulary: 10,
        context_length: 1024,
        matrix_elements: 1000,
    };
    const TOKEN_BYTES: u64 = 256;

    /// What fits into the weights, the activations and this many tokens of cache.
    fn fitted(cache_tokens: u64) -> Result<CacheShape, LoadError> {
        let mut wishes =
            Wishes { memory_bytes: 0, slots: 16, context: usize::MAX, chunk: 4, threads: 2, element: CacheElement::Float16 };
        wishes.memory_bytes = 4000 + workspace_bytes(&SHAPE, &wishes) + cache_tokens * TOKEN_BYTES;
        fit(&SHAPE, 4000, &wishes).map(|(cache, memory)| {
            assert!(memory.total_bytes() <= wishes.memory_bytes);
            cache
        })
    }

    #[test]
    fn all_that_was_asked_for_is_given_where_it_fits() {
        let cache = fitted(16 * 1024).unwrap();
        assert_eq!((cache.slots, cache.tokens), (16, 1024));
    }

    #[test]
    fn short_memory_costs_slots_first_then_their_length_then_the_last_slots() {
        let sizes = [16 * 1024 - 1, 4 * 1024, 4 * 1024 - 1, 4 * 256, 4 * 256 - 1, 256].map(|tokens| fitted(tokens).unwrap());
        assert_eq!(
            sizes.map(|cache| (cache.slots, cache.tokens)),
            [(15, 1024), (4, 1024), (4, 512), (4, 256), (3, 256), (1, 256)]
        );
    }

    #[test]
    fn a_model_asks_for_a_few_slots_and_at_the_least_for_a_short_one() {
        let wishes =
            Wishes { memory_bytes: 0, slots: 16, context: usize::MAX, chunk: 4, threads: 2, element: CacheElement::Float16 };
        let fixed = 4000 + workspace_bytes(&SHAPE, &wishes);
        let needs = needs(&SHAPE, 4000, &wishes);
        assert_eq!(needs.least_bytes - fixed, 256 * TOKEN_BYTES);
        assert_eq!(needs.enough_bytes - fixed, 4 * 1024 * TOKEN_BYTES);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_sum() {
        match fitted(255) {
            Err(LoadError::DoesNotFit { needed_bytes, limit_bytes, weights_bytes, .. }) => {
                assert_eq!((needed_bytes - limit_bytes, weights_bytes), (TOKEN_BYTES, 4000));
            }
            other => panic!("{other:?} instead of a refusal"),
        }
    }
}
