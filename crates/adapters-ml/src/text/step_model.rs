//! The seam between the engine, which decides what runs next, and the model, which computes it.
//!
//! The engine (scheduler, sampler, streams) knows a model only as a [`StepModel`]; it is tested against a fake one whose logits depend
//! on each slot's own tokens, so that a mix-up of sequences cannot pass unseen. The real one is an ONNX Runtime session with its cache.

/// Why a step could not be computed. The session is in doubt afterwards: the engine ends what runs and the model is loaded anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the model's runtime failed: {0}")]
pub struct StepError(pub String);

/// What a loaded model can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepModelLimits {
    /// Sequences whose keys and values are kept at the same time.
    pub slots: usize,
    /// Tokens a slot can hold: the model's context, or less where memory is short.
    pub context_length: usize,
    /// Length of a row of logits.
    pub vocabulary: usize,
    /// Features of a hidden state.
    pub width: usize,
}

/// Logits, row by row: `rows × vocabulary`, borrowed until the next step.
#[derive(Debug, Clone, Copy)]
pub struct Logits<'a> {
    values: &'a [f32],
    vocabulary: usize,
}

impl<'a> Logits<'a> {
    /// Wraps `rows × vocabulary` values.
    pub fn new(values: &'a [f32], vocabulary: usize) -> Self {
        debug_assert!(vocabulary > 0 && values.len().is_multiple_of(vocabulary));
        Self { values, vocabulary }
    }

    /// The rows, in the order in which they were asked for.
    pub fn rows(&self) -> std::slice::ChunksExact<'a, f32> {
        self.values.chunks_exact(self.vocabulary)
    }
}

/// A model in memory with a cache of keys and values in numbered slots. Owned by one thread.
///
/// A slot is just memory: the engine knows how many of its tokens are valid and passes that as `start`. What lies beyond is ignored and
/// overwritten, so a sequence is cut back (a refused draft, a shared prefix) by passing a smaller `start`.
pub trait StepModel: Send {
    /// What it can hold.
    fn limits(&self) -> StepModelLimits;

    /// Reads `tokens` into `slot` at positions `start..start + tokens.len()` (prefill, a chunk of it, or the check of a draft) and answers
    /// the logits after each of the last `logit_rows` of them; 0 is allowed and answers none.
    fn extend(&mut self, slot: usize, start: usize, tokens: &[u32], logit_rows: usize) -> Result<Logits<'_>, StepError>;

    /// Reads `tokens` as [`StepModel::extend`] does, and adds the hidden state of each, after the model's last norm, to `sums`, one sum a
    /// feature ([`StepModelLimits::width`]). They are added in the order of the tokens, so that the sums have the same bits wherever a
    /// text is cut into calls of two tokens or more. What `sums` holds after an error means nothing.
    fn add_hidden_states(&mut self, slot: usize, start: usize, tokens: &[u32], sums: &mut [f64]) -> Result<(), StepError>;

    /// One step of decoding: `tokens[i]` goes into slot `i` at `positions[i]`, for the slots `0..tokens.len()`, which lie side by side so
    /// that nothing is copied. Answers one row of logits a slot.
    fn decode(&mut self, tokens: &[u32], positions: &[usize]) -> Result<Logits<'_>, StepError>;

    /// Whether a token has the same logits and leaves the same keys and values, to the last bit, whether [`StepModel::extend`] read it in a
    /// call of two tokens or more, or alone, or [`StepModel::decode`] did. Calls of two tokens or more always agree among themselves, and
    /// so do calls of one, whoever shares the batch. Where this is false the engine never mixes the two for what the text depends on.
    fn extend_matches_decode(&self) -> bool {
        false
    }

    /// Copies the first `tokens` positions of one slot's keys and values to another.
    fn copy_slot(&mut self, from: usize, to: usize, tokens: usize) -> Result<(), StepError>;
}
