//! A language model in memory: from a folder in Hugging Face's layout to logits.
//!
//! [`LoadedModel::load`] reads `config.json` ([`config`], [`architectures`]), checks the files of weights ([`safetensors`]), computes what fits
//! ([`memory`]), builds the ONNX graph in the process ([`graph`], [`weights`]) and makes a session of it ([`session`]) whose cache of keys and
//! values is updated in place. There is no exported file in between: the graph is chosen for the precision and the processor at hand.

mod architectures;
mod config;
mod embedding;
mod error;
mod graph;
mod int4;
mod int8;
mod memory;
mod options;
mod runtime;
mod safetensors;
mod session;
mod weights;

use std::path::Path;

use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use self::architectures::{ModelShape, architecture};
use self::config::ConfigFile;
use self::embedding::Embedding;
use self::graph::GraphBuilder;
use self::memory::Wishes;
use self::safetensors::Checkpoint;
use self::session::{Session, StepInput, StepSession};
use self::weights::WeightForm;
use super::step_model::{Logits, StepError, StepModel, StepModelLimits};

pub use self::error::LoadError;
pub use self::memory::MemoryPlan;
pub use self::options::{ModelOptions, Precision};
pub use self::runtime::init_runtime;

/// A model that is ready to compute.
pub struct LoadedModel {
    session: StepSession,
    embedding: Embedding,
    shape: ModelShape,
    memory: MemoryPlan,
    max_chunk: usize,
    /// Reused between steps.
    rows: Vec<f32>,
}

impl LoadedModel {
    /// Loads the model in `folder`: `config.json` and `model.safetensors`, or the files that `model.safetensors.index.json` lists. The folder's
    /// files must stay as they are while the model is loaded. [`init_runtime`] must have succeeded before. Blocks for as long as reading takes.
    ///
    /// Fails with a [`LoadError`] that names the file and the field or tensor; what does not fit into `options.memory_bytes` is refused before it
    /// is allocated.
    pub fn load(folder: &Path, options: &ModelOptions) -> Result<Self, LoadError> {
        let config = ConfigFile::read(folder)?;
        let architecture = architecture(&config)?;
        let shape = architecture.shape();
        let checkpoint = Checkpoint::open(folder)?;
        let form = form(options.precision, &shape);
        let weights_bytes = weights_bytes(form, &shape);
        let wishes = Wishes {
            memory_bytes: options.memory_bytes,
            slots: options.max_slots,
            context: options.max_context.unwrap_or(usize::MAX),
            chunk: options.max_chunk.max(1),
        };
        let (cache, memory) = memory::fit(&shape, weights_bytes, &wishes)?;
        let embedding = Embedding::new(architecture.embeddings(&checkpoint)?, shape.width);
        let mut graph = GraphBuilder::new(&checkpoint, form)?;
        architecture.build(&mut graph, cache.tokens)?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let (environment, builder) = (runtime::environment()?, session_options(options)?);
        let session = Session::new(graph.finish(&shape, threads)?, builder, environment)?;
        runtime::return_freed_memory();
        let session = StepSession::new(session, cache, shape.width, shape.packed_width(), shape.vocabulary)?;
        Ok(Self { session, embedding, shape, memory, max_chunk: wishes.chunk, rows: Vec::new() })
    }

    /// What the model takes of the memory it was allowed.
    pub fn memory(&self) -> MemoryPlan {
        self.memory
    }

    fn step(
        &mut self,
        slots: std::ops::Range<usize>,
        tokens: &[u32],
        positions: impl IntoIterator<Item = usize>,
        last_positions: &mut [i32],
        logit_rows: &mut [i64],
    ) -> Result<&[f32], StepError> {
        let sequences = slots.len();
        self.rows.resize(tokens.len() * self.shape.width, 0.0);
        self.embedding.look_up(tokens, positions, &mut self.rows)?;
        let tokens = tokens.len() / sequences.max(1);
        self.session.run(StepInput { slots, tokens, embeddings: &mut self.rows, last_positions, logit_rows })
    }
}

impl StepModel for LoadedModel {
    fn limits(&self) -> StepModelLimits {
        let cache = self.session.shape();
        StepModelLimits { slots: cache.slots, context_length: cache.tokens, vocabulary: self.shape.vocabulary }
    }

    fn extend(&mut self, slot: usize, start: usize, tokens: &[u32], logit_rows: usize) -> Result<Logits<'_>, StepError> {
        if tokens.is_empty() || logit_rows > tokens.len() || tokens.len() > self.session.shape().tokens.saturating_sub(start) {
            return Err(StepError(format!("{} tokens at {start} with {logit_rows} rows of logits do not fit a slot", tokens.len())));
        }
        let vocabulary = self.shape.vocabulary;
        let mut last_positions = [position(start + tokens.len() - 1)];
        let mut rows: Vec<i64> = (tokens.len() - logit_rows..tokens.len()).map(|row| i64::try_from(row).unwrap_or(i64::MAX)).collect();
        let positions = start..start + tokens.len();
        let values = self.step(slot..slot + 1, tokens, positions, &mut last_positions, &mut rows)?;
        Ok(Logits::new(values, vocabulary))
    }

    fn decode(&mut self, tokens: &[u32], positions: &[usize]) -> Result<Logits<'_>, StepError> {
        let vocabulary = self.shape.vocabulary;
        let mut last_positions: Vec<i32> = positions.iter().map(|&start| position(start)).collect();
        let mut rows: Vec<i64> = (0..tokens.len()).map(|row| i64::try_from(row).unwrap_or(i64::MAX)).collect();
        let values = self.step(0..tokens.len(), tokens, positions.iter().copied(), &mut last_positions, &mut rows)?;
        Ok(Logits::new(values, vocabulary))
    }

    fn copy_slot(&mut self, from: usize, to: usize, tokens: usize) -> Result<(), StepError> {
        self.session.copy_slot(from, to, tokens)
    }
}

/// A position as the graph takes it; one that is out of range is refused by the session's own check.
fn position(position: usize) -> i32 {
    i32::try_from(position).unwrap_or(i32::MAX)
}

fn session_options(options: &ModelOptions) -> Result<SessionBuilder, LoadError> {
    let builder = SessionBuilder::new(&runtime::environment()?)?
        // The graph is built as it should run: what the higher levels look for costs time and finds nothing.
        .with_optimization_level(GraphOptimizationLevel::Level1)?
        .with_intra_threads(options.intra_threads)?
        .with_intra_op_spinning(options.spin)?
        // Patterns of memory are kept for each shape of input, and there are as many shapes as lengths of prompts.
        .with_memory_pattern(false)?
        .with_operators(int8::operators()?)?;
    if runtime::multiplies_bytes_exactly() { Ok(builder) } else { Ok(builder.with_precise_qmm()?) }
}

/// Models with more weights than this are quantised unless something else is asked for: below it, floats are fast and small enough.
const LARGE_MODEL: u64 = 50_000_000;

fn form(precision: Precision, shape: &ModelShape) -> WeightForm {
    match precision {
        Precision::Fp32 => WeightForm::Float,
        Precision::Auto if shape.matrix_elements <= LARGE_MODEL => WeightForm::Float,
        Precision::Auto | Precision::Int8 => WeightForm::Int8,
        Precision::Int4 => WeightForm::Int4,
    }
}

/// What the weights take in memory, scales included.
fn weights_bytes(form: WeightForm, shape: &ModelShape) -> u64 {
    let head = (shape.width * shape.vocabulary) as u64;
    let layers = shape.matrix_elements.saturating_sub(head);
    match form {
        WeightForm::Float => shape.matrix_elements.saturating_mul(4),
        WeightForm::Int8 => shape.matrix_elements + shape.matrix_elements / 64,
        WeightForm::Int4 => layers / 2 + layers / int4::BLOCK as u64 * 4 + head + head / 64,
    }
}
