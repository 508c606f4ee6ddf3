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
use super::int8::RowNorm;
use crate::text::step_model::StepError;

pub(super) use self::onnx::Session;

/// The graph's inputs, in the order in which [`StepSession::run`] gives them.
pub(super) const STEP_INPUTS: [&str; 4] = ["embeddings", "first_slot", "last_positions", "logit_rows"];
/// The graph's output; it may have another, for [`HiddenStates`].
pub(super) const LOGITS: &str = "logits";

/// Where a graph tells its hidden states.
pub(super) struct HiddenStates {
    /// An output, `[sequences × tokens, width]`.
    pub(super) output: String,
    /// What is still to be done to each row.
    pub(super) norm: Option<RowNorm>,
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
    logits_name: Vec<CString>,
    /// How hidden states are told, if they are.
    hidden_name: Vec<CString>,
    hidden_norm: Option<RowNorm>,
    /// The session's operators hold it too, and touch it only while a step runs.
    cache: Arc<KvCache>,
    widths: Widths,
    /// The rows of the last step.
    answer: Vec<f32>,
}

/// Which of the graph's outputs a step asks for.
#[derive(Debug, Clone, Copy)]
enum Output {
    Logits,
    HiddenStates,
}

/// Lengths of the graph's rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Widths {
    pub(super) embedding: usize,
    pub(super) vocabulary: usize,
}

impl StepSession {
    /// Wraps a session whose graph has the inputs and outputs named above, and whose operators of attention work on this cache.
    pub(super) fn new(
        session: Session,
        cache: Arc<KvCache>,
        widths: Widths,
        hidden_states: Option<HiddenStates>,
    ) -> Result<Self, LoadError> {
        let name = |name: &str| CString::new(name).map_err(|error| LoadError::Runtime(error.to_string()));
        let input_names = STEP_INPUTS.iter().map(|text| name(text)).collect::<Result<Vec<_>, _>>()?;
        let logits_name = vec![name(LOGITS)?];
        let hidden_name = hidden_states.iter().map(|hidden| name(&hidden.output)).collect::<Result<_, _>>()?;
        let hidden_norm = hidden_states.and_then(|hidden| hidden.norm);
        Ok(Self { session, input_names, logits_name, hidden_name, hidden_norm, cache, widths, answer: Vec::new() })
    }

    pub(super) fn shape(&self) -> CacheShape {
        self.cache.shape()
    }

    /// Computes one step and answers `logit_rows × vocabulary` logits.
    pub(super) fn run(&mut self, input: StepInput<'_>) -> Result<&[f32], StepError> {
        let rows = input.logit_rows.len();
        self.answer_with(input, Output::Logits, rows)?;
        Ok(self.answer.get(..rows * self.widths.vocabulary).unwrap_or_default())
    }

    /// Computes one step and answers `sequences × tokens × width` hidden states, as they are after the last norm. No logits may be asked
    /// for beside them.
    pub(super) fn run_for_hidden_states(&mut self, input: StepInput<'_>) -> Result<&[f32], StepError> {
        if self.hidden_name.is_empty() || !input.logit_rows.is_empty() {
            return Err(StepError("hidden states were asked for of a graph, or beside logits, that tells none".to_owned()));
        }
        let width = self.widths.embedding;
        let rows = input.slots.len() * input.tokens;
        self.answer_with(input, Output::HiddenStates, rows)?;
        let states = self.answer.get_mut(..rows * width).unwrap_or_default();
        if let Some(norm) = &self.hidden_norm {
            states.chunks_exact_mut(width).for_each(|row| norm.apply(row));
        }
        Ok(states)
    }

    fn answer_with(&mut self, mut input: StepInput<'_>, output: Output, rows: usize) -> Result<(), StepError> {
        self.check(&input)?;
        self.try_run(&mut input, output, rows).map_err(|error| StepError(error.message().to_owned()))
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

    fn try_run(&mut self, input: &mut StepInput<'_>, output: Output, rows: usize) -> ort::Result<()> {
        let (sequences, tokens, logit_rows) = (input.slots.len(), input.tokens, input.logit_rows.len());
        let (width, names) = match output {
            Output::Logits => (self.widths.vocabulary, &self.logits_name),
            Output::HiddenStates => (self.widths.embedding, &self.hidden_name),
        };
        let wanted = rows * width;
        if self.answer.len() < wanted {
            self.answer.resize(wanted, 0.0);
        }
        let answer = self.answer.get_mut(..wanted).unwrap_or_default();
        let mut first_slot = [i32::try_from(input.slots.start).unwrap_or(i32::MAX)];
        let step = [
            TensorView::over(input.embeddings, &[sequences * tokens, self.widths.embedding])?,
            TensorView::over(&mut first_slot, &[1])?,
            TensorView::over(input.last_positions, &[sequences])?,
            TensorView::over(input.logit_rows, &[logit_rows])?,
        ];
        let answer = TensorView::over(answer, &[rows, width])?;
        let inputs = Named { names: &self.input_names, values: step.iter().collect() };
        self.session.run(&inputs, &Named { names, values: vec![&answer] })
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
