//! The memory of keys and values, and tensors over ranges of its slots.
#![expect(unsafe_code, reason = "tensors that are past and present at once share memory, which no safe interface allows")]
#![expect(clippy::cast_ptr_alignment, reason = "the cache is a mapping, which begins at a page")]

use std::collections::HashMap;
use std::ops::Range;
use std::ptr;

use memmap2::{MmapMut, MmapRaw};

use super::onnx::{Element, TensorView, dimension};
use crate::text::model::LoadError;
use crate::text::step_model::StepError;

/// The size of the cache: for each layer, keys and values are each `[slots, heads, tokens, head_size]` 32-bit floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct CacheShape {
    pub(in super::super) layers: usize,
    pub(in super::super) slots: usize,
    /// Heads of keys and values, which several heads of queries may share.
    pub(in super::super) heads: usize,
    pub(in super::super) tokens: usize,
    pub(in super::super) head_size: usize,
}

impl CacheShape {
    /// Bytes of all layers, or `None` where that is beyond counting.
    pub(in super::super) fn bytes(&self) -> Option<usize> {
        let floats = [2, self.layers, self.slots, self.heads, self.tokens, self.head_size, size_of::<f32>()];
        floats.into_iter().try_fold(1_usize, usize::checked_mul).filter(|&bytes| isize::try_from(bytes).is_ok())
    }

    fn head_floats(&self) -> usize {
        self.tokens * self.head_size
    }

    fn slot_floats(&self) -> usize {
        self.heads * self.head_floats()
    }

    /// Floats before the keys (plane `2 × layer`) or the values (plane `2 × layer + 1`) of a slot.
    fn offset(&self, plane: usize, slot: usize) -> usize {
        (plane * self.slots + slot) * self.slot_floats()
    }
}

/// One buffer for all layers and slots. Its pages are zero and cost nothing until they are written.
pub(super) struct KvCache {
    /// Tensors by first slot and count. Declared before the memory that they point into, so that they go first.
    views: HashMap<(usize, usize), Vec<TensorView<'static>>>,
    memory: MmapRaw,
    shape: CacheShape,
}

impl KvCache {
    pub(super) fn new(shape: CacheShape) -> Result<Self, LoadError> {
        let bytes = shape.bytes().ok_or_else(|| LoadError::Runtime("the cache is larger than memory can be".to_owned()))?;
        let memory =
            MmapMut::map_anon(bytes).map_err(|error| LoadError::Runtime(format!("{bytes} bytes for the cache: {error}")))?;
        Ok(Self { views: HashMap::new(), memory: MmapRaw::from(memory), shape })
    }

    pub(super) fn shape(&self) -> CacheShape {
        self.shape
    }

    /// Tensors over a range of slots: for each layer keys, then values, each `[slots, heads, tokens, head_size]`. They are made once for
    /// each range; there are as many as slots, twice.
    pub(super) fn views(&mut self, slots: &Range<usize>) -> ort::Result<&[TensorView<'static>]> {
        let key = (slots.start, slots.len());
        if !self.views.contains_key(&key) {
            let views = self.new_views(slots)?;
            self.views.insert(key, views);
        }
        Ok(self.views.get(&key).map(Vec::as_slice).unwrap_or_default())
    }

    fn new_views(&self, slots: &Range<usize>) -> ort::Result<Vec<TensorView<'static>>> {
        let shape = self.shape;
        if slots.end > shape.slots {
            return Err(ort::Error::new("there are not that many slots"));
        }
        let dimensions = [slots.len(), shape.heads, shape.tokens, shape.head_size].map(dimension);
        let bytes = slots.len() * shape.slot_floats() * size_of::<f32>();
        (0..2 * shape.layers)
            .map(|plane| {
                // SAFETY: The range lies within the slots that there are, so the view lies within the mapping, which is as long as
                // `CacheShape::bytes` says and outlives the view, since it is dropped after it; a mapping begins at a page, so its floats are
                // aligned. Rust holds no reference into the mapping, ever.
                unsafe {
                    let data = self.memory.as_mut_ptr().cast::<f32>().add(shape.offset(plane, slots.start));
                    TensorView::new(data.cast(), bytes, &dimensions, <f32 as Element>::TYPE)
                }
            })
            .collect()
    }

    /// Copies the first `tokens` positions of every layer from one slot to another.
    pub(super) fn copy_slot(&mut self, from: usize, to: usize, tokens: usize) -> Result<(), StepError> {
        let shape = self.shape;
        if from >= shape.slots || to >= shape.slots || tokens > shape.tokens {
            return Err(StepError("a copy was asked for that does not fit the cache".to_owned()));
        }
        if from == to {
            return Ok(());
        }
        for (plane, head) in (0..2 * shape.layers).flat_map(|plane| (0..shape.heads).map(move |head| (plane, head))) {
            // SAFETY: Both ranges lie within the mapping by the checks above, belong to different slots, so do not overlap, and no step runs
            // meanwhile, since `self` is borrowed exclusively.
            unsafe {
                let base = self.memory.as_mut_ptr().cast::<f32>().add(head * shape.head_floats());
                let (source, target) = (base.add(shape.offset(plane, from)), base.add(shape.offset(plane, to)));
                ptr::copy_nonoverlapping(source, target, tokens * shape.head_size);
            }
        }
        Ok(())
    }
}
