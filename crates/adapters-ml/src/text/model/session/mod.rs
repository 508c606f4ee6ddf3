//! Runs the graph with its cache of keys and values in place.
//!
//! ONNX Runtime's attention appends to the cache without copying it only where the memory of `past` is also the memory of `present`, and a
//! batch is a contiguous range of slots in it. ort's safe binding copies memory that it does not own, so tensors are laid over our own memory
//! here ([`cache`]), through ONNX Runtime's C interface ([`onnx`]). What the steps are told is checked before, since the runtime trusts it.

mod cache;
mod onnx;

use std::ffi::CString;
use std::ops::Range;

use self::cache::KvCache;
use self::onnx::{Named, TensorView, dimension};
use super::LoadError;
use crate::text::step_model::StepError;

pub(super) use self::cache::CacheShape;
pub(super) use self::onnx::Session;

/// The graph's inputs before the cache, in the order in which [`StepSession::run`] gives them.
pub(super) const STEP_INPUTS: [&str; 5] = ["embeddings", "packed_shape", "last_positions", "total_tokens", "logit_rows"];
/// The graph's first output.
pub(super) const LOGITS: &str = "logits";

/// The names of a layer's cache as the graph's inputs and outputs: past and present keys, past and present values.
pub(super) fn cache_names(layer: usize) -> [(String, String); 2] {
    ["key", "value"].map(|what| (format!("past_{what}.{layer}"), format!("present_{what}.{layer}")))
}

/// What a step reads: `sequences × tokens` rows of embeddings that go into as many neighbouring slots.
pub(super) struct StepInput<'a> {
    /// The slots, one a sequence.
    pub(super) slots: Range<usize>,
    /// Tokens of each sequence.
    pub(super) tokens: usize,
    /// `[sequences × tokens, width]`.
    pub(super) embeddings: &'a mut [f32],
    /// For each sequence, its tokens after this step, less one.
    pub(super) last_positions: &'a mut [i32],
    /// Rows whose logits are wanted, ascending.
    pub(super) logit_rows: &'a mut [i64],
}

/// A session and the memory it works on.
pub(super) struct StepSession {
    session: Session,
    input_names: Vec<CString>,
    output_names: Vec<CString>,
    cache: KvCache,
    widths: Widths,
    logits: Vec<f32>,
}

/// Lengths of the graph's rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Widths {
    pub(super) embedding: usize,
    /// Packed queries, keys and values.
    pub(super) packed: usize,
    pub(super) vocabulary: usize,
}

impl StepSession {
    /// Wraps a session whose graph has the inputs and outputs named above.
    pub(super) fn new(session: Session, shape: CacheShape, widths: Widths) -> Result<Self, LoadError> {
        let name = |name: &str| CString::new(name).map_err(|error| LoadError::Runtime(error.to_string()));
        let mut input_names = STEP_INPUTS.iter().map(|text| name(text)).collect::<Result<Vec<_>, _>>()?;
        let mut output_names = vec![name(LOGITS)?];
        for (past, present) in (0..shape.layers).flat_map(cache_names) {
            input_names.push(name(&past)?);
            output_names.push(name(&present)?);
        }
        Ok(Self { session, input_names, output_names, cache: KvCache::new(shape)?, widths, logits: Vec::new() })
    }

    pub(super) fn shape(&self) -> CacheShape {
        self.cache.shape()
    }

    /// Computes one step and answers `logit_rows × vocabulary` logits.
    pub(super) fn run(&mut self, mut input: StepInput<'_>) -> Result<&[f32], StepError> {
        self.check(&input)?;
        self.try_run(&mut input).map_err(|error| StepError(error.message().to_owned()))
    }

    /// ONNX Runtime trusts the sizes it is told, so they are held against the memory they describe.
    fn check(&self, input: &StepInput<'_>) -> Result<(), StepError> {
        let (shape, sequences) = (self.shape(), input.slots.len());
        let rows = sequences * input.tokens;
        let capacity = i32::try_from(shape.tokens).unwrap_or(i32::MAX);
        let first = i32::try_from(input.tokens).unwrap_or(i32::MAX) - 1;
        let fits = input.slots.end <= shape.slots
            && rows > 0
            && input.embeddings.len() == rows * self.widths.embedding
            && input.last_positions.len() == sequences
            && input.last_positions.iter().all(|position| (first..capacity).contains(position))
            && input.logit_rows.iter().all(|&row| usize::try_from(row).is_ok_and(|row| row < rows));
        if fits { Ok(()) } else { Err(StepError("a step was asked for that does not fit the cache".to_owned())) }
    }

    fn try_run(&mut self, input: &mut StepInput<'_>) -> ort::Result<&[f32]> {
        let (sequences, tokens, logit_rows) = (input.slots.len(), input.tokens, input.logit_rows.len());
        let wanted = logit_rows * self.widths.vocabulary;
        if self.logits.len() < wanted {
            self.logits.resize(wanted, 0.0);
        }
        let logits = self.logits.get_mut(..wanted).unwrap_or_default();
        let mut packed_shape = [sequences, tokens, self.widths.packed].map(dimension);
        let mut total_tokens = [input.last_positions.iter().copied().max().unwrap_or(0) + 1];
        let step = [
            TensorView::over(input.embeddings, &[sequences * tokens, self.widths.embedding])?,
            TensorView::over(&mut packed_shape, &[3])?,
            TensorView::over(input.last_positions, &[sequences])?,
            TensorView::over(&mut total_tokens, &[])?,
            TensorView::over(input.logit_rows, &[logit_rows])?,
        ];
        let logits = TensorView::over(logits, &[logit_rows, self.widths.vocabulary])?;
        let cache = self.cache.views(&input.slots)?;
        let inputs = Named { names: &self.input_names, values: step.iter().chain(cache).collect() };
        let outputs = Named { names: &self.output_names, values: std::iter::once(&logits).chain(cache).collect() };
        self.session.run(&inputs, &outputs)?;
        drop(logits);
        Ok(self.logits.get(..wanted).unwrap_or_default())
    }

    /// Copies the first `tokens` positions of every layer from one slot to another.
    pub(super) fn copy_slot(&mut self, from: usize, to: usize, tokens: usize) -> Result<(), StepError> {
        self.cache.copy_slot(from, to, tokens)
    }
}
