//! Runs the graph, a step at a time.
//!
//! ort's safe binding copies memory that it does not own, so tensors are laid over our own memory through ONNX Runtime's C interface ([`onnx`]).
//! What the steps are told is checked before, since the runtime trusts it. The cache of keys and values is the operators' own
//! ([`super::attention`]); a batch is a contiguous range of its slots.

mod onnx;

use std::ffi::CString;
use std::ops::Range;
use std::sync::Arc;

use self::onnx::{Named, TensorView};
use super::LoadError;
use super::attention::{CacheShape, KvCache};
use crate::text::step_model::StepError;

pub(super) use self::onnx::Session;

/// The graph's inputs, in the order in which [`StepSession::run`] gives them.
pub(super) const STEP_INPUTS: [&str; 4] = ["embeddings", "first_slot", "last_positions", "logit_rows"];
/// The graph's output.
pub(super) const LOGITS: &str = "logits";

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
    /// The session's operators hold it too, and touch it only while a step runs.
    cache: Arc<KvCache>,
    widths: Widths,
    logits: Vec<f32>,
}

/// Lengths of the graph's rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Widths {
    pub(super) embedding: usize,
    pub(super) vocabulary: usize,
}

impl StepSession {
    /// Wraps a session whose graph has the inputs and outputs named above, and whose operators of attention work on this cache.
    pub(super) fn new(session: Session, cache: Arc<KvCache>, widths: Widths) -> Result<Self, LoadError> {
        let name = |name: &str| CString::new(name).map_err(|error| LoadError::Runtime(error.to_string()));
        let input_names = STEP_INPUTS.iter().map(|text| name(text)).collect::<Result<Vec<_>, _>>()?;
        let output_names = vec![name(LOGITS)?];
        Ok(Self { session, input_names, output_names, cache, widths, logits: Vec::new() })
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
        let mut first_slot = [i32::try_from(input.slots.start).unwrap_or(i32::MAX)];
        let step = [
            TensorView::over(input.embeddings, &[sequences * tokens, self.widths.embedding])?,
            TensorView::over(&mut first_slot, &[1])?,
            TensorView::over(input.last_positions, &[sequences])?,
            TensorView::over(input.logit_rows, &[logit_rows])?,
        ];
        let logits = TensorView::over(logits, &[logit_rows, self.widths.vocabulary])?;
        let inputs = Named { names: &self.input_names, values: step.iter().collect() };
        let outputs = Named { names: &self.output_names, values: vec![&logits] };
        self.session.run(&inputs, &outputs)?;
        drop(logits);
        Ok(self.logits.get(..wanted).unwrap_or_default())
    }

    /// Copies the first `tokens` positions of every layer from one slot to another.
    pub(super) fn copy_slot(&mut self, from: usize, to: usize, tokens: usize) -> Result<(), StepError> {
        // SAFETY: Steps need `self` as this does, and no other session has this cache.
        #[expect(unsafe_code, reason = "the operators touch the cache behind the session's back")]
        unsafe {
            self.cache.copy_slot(from, to, tokens)
        }
    }
}
