//! The memory of keys and values.
#![expect(unsafe_code, reason = "threads write and read parts of one mapping, which they share out among themselves")]

use std::ptr;
use std::slice;

use memmap2::{MmapMut, MmapRaw};

use super::lanes::{LANES, Stored};
use crate::text::model::LoadError;
use crate::text::step_model::StepError;

/// In which numbers keys and values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum CacheElement {
    /// 16 bits, 11 of them significant: half the memory, and half the time to read it.
    Float16,
    Float32,
}

impl CacheElement {
    fn bytes(self) -> usize {
        match self {
            Self::Float16 => 2,
            Self::Float32 => 4,
        }
    }
}

/// The size of the cache: for each layer keys, then values; of each slot; of each head; of each token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct CacheShape {
    pub(in super::super) layers: usize,
    pub(in super::super) slots: usize,
    /// Heads of keys and values, which several heads of queries may share.
    pub(in super::super) heads: usize,
    pub(in super::super) tokens: usize,
    pub(in super::super) head_size: usize,
    pub(in super::super) element: CacheElement,
}

impl CacheShape {
    /// Bytes of all layers, or `None` where that is beyond counting.
    pub(in super::super) fn bytes(&self) -> Option<usize> {
        let tokens = self.tokens.checked_next_multiple_of(LANES)?;
        let parts = [2, self.layers, self.slots, self.heads, tokens, self.padded_head(), self.element.bytes()];
        parts.into_iter().try_fold(1_usize, usize::checked_mul).filter(|&bytes| isize::try_from(bytes).is_ok())
    }

    /// Features of a head, rounded up to whole vectors.
    pub(super) fn padded_head(&self) -> usize {
        self.head_size.next_multiple_of(LANES)
    }

    /// Elements of a head's keys, or values, in one slot.
    fn head_elements(&self) -> usize {
        self.tokens.next_multiple_of(LANES) * self.padded_head()
    }

    /// Heads before this one's keys (plane `2 × layer`) or values (plane `2 × layer + 1`).
    fn head_index(&self, plane: usize, slot: usize, head: usize) -> usize {
        (plane * self.slots + slot) * self.heads + head
    }
}

/// One buffer for all layers and slots. Its pages are zero and cost nothing until they are written, so a slot costs what its sequence
/// has used: a head's tokens lie side by side.
pub(in super::super) struct KvCache {
    memory: MmapRaw,
    shape: CacheShape,
}

impl KvCache {
    pub(in super::super) fn new(shape: CacheShape) -> Result<Self, LoadError> {
        let bytes = shape.bytes().ok_or_else(|| LoadError::Runtime("the cache is larger than memory can be".to_owned()))?;
        let memory =
            MmapMut::map_anon(bytes).map_err(|error| LoadError::Runtime(format!("{bytes} bytes for the cache: {error}")))?;
        // Huge pages would be filled for the sake of a few tokens. Where the system knows none, there is nothing to refuse.
        #[cfg(target_os = "linux")]
        let _ = memory.advise(memmap2::Advice::NoHugePage);
        Ok(Self { memory: MmapRaw::from(memory), shape })
    }

    pub(in super::super) fn shape(&self) -> CacheShape {
        self.shape
    }

    /// A head's keys and values, `[tokens, padded_head]` each, or `None` where there is no such head or elements are of another type.
    ///
    /// # Safety
    /// Nobody may write them as long as they are borrowed.
    pub(super) unsafe fn head<E: Stored>(&self, layer: usize, slot: usize, head: usize) -> Option<[&[E]; 2]> {
        let parts = self.head_pointers::<E>(layer, slot, head)?;
        // SAFETY: The parts lie within the mapping, are aligned, and hold numbers from the beginning: the mapping's zeros.
        Some(parts.map(|part| unsafe { slice::from_raw_parts(part, self.shape.head_elements()) }))
    }

    /// The same, for writing.
    ///
    /// # Safety
    /// Nobody may read or write them as long as they are borrowed.
    #[expect(clippy::mut_from_ref, reason = "threads share the cache out among themselves, which the caller vouches for")]
    pub(super) unsafe fn head_mut<E: Stored>(&self, layer: usize, slot: usize, head: usize) -> Option<[&mut [E]; 2]> {
        let parts = self.head_pointers::<E>(layer, slot, head)?;
        // SAFETY: As above; keys and values do not overlap.
        Some(parts.map(|part| unsafe { slice::from_raw_parts_mut(part, self.shape.head_elements()) }))
    }

    fn head_pointers<E: Stored>(&self, layer: usize, slot: usize, head: usize) -> Option<[*mut E; 2]> {
        let shape = &self.shape;
        let exists = layer < shape.layers && slot < shape.slots && head < shape.heads && size_of::<E>() == shape.element.bytes();
        exists.then(|| {
            [2 * layer, 2 * layer + 1].map(|plane| {
                let elements = shape.head_index(plane, slot, head) * shape.head_elements();
                // SAFETY: By the check above the head lies within the mapping, which is as long as `CacheShape::bytes` says.
                unsafe { self.memory.as_mut_ptr().cast::<E>().add(elements) }
            })
        })
    }

    /// Copies the first `tokens` positions of every layer from one slot to another.
    ///
    /// # Safety
    /// No step may run meanwhile.
    pub(in super::super) unsafe fn copy_slot(&self, from: usize, to: usize, tokens: usize) -> Result<(), StepError> {
        let shape = self.shape;
        if from >= shape.slots || to >= shape.slots || tokens > shape.tokens {
            return Err(StepError("a copy was asked for that does not fit the cache".to_owned()));
        }
        if from == to {
            return Ok(());
        }
        // Keys lie in blocks of tokens. What the last block holds beyond is overwritten before it is read.
        let bytes = tokens.next_multiple_of(LANES) * shape.padded_head() * shape.element.bytes();
        let stride = shape.head_elements() * shape.element.bytes();
        for (plane, head) in (0..2 * shape.layers).flat_map(|plane| (0..shape.heads).map(move |head| (plane, head))) {
            // SAFETY: Both ranges lie within the mapping by the checks above, belong to different slots, so do not overlap, and no step runs
            // meanwhile, as the caller vouches.
            unsafe {
                let [source, target] =
                    [from, to].map(|slot| self.memory.as_mut_ptr().add(shape.head_index(plane, slot, head) * stride));
                ptr::copy_nonoverlapping(source, target, bytes);
            }
        }
        Ok(())
    }
}
