//! A language model in memory: from a folder in Hugging Face's layout to logits.
//!
//! [`LoadedModel::load`] reads `config.json` ([`config`], [`architectures`]), checks the files of weights ([`safetensors`]), computes what fits
//! ([`memory`]), builds the ONNX graph in the process ([`graph`], [`weights`]) and makes a session of it ([`session`]) whose cache of keys and
//! values is updated in place. There is no exported file in between: the graph is chosen for the precision and the processor at hand.

mod architectures;
mod attention;
mod checkpoint;
mod config;
mod digest;
mod embedding;
mod error;
mod graph;
mod int4;
mod int8;
mod memory;
mod options;
mod quantised;
mod runtime;
mod safetensors;
mod session;
mod weights;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use self::architectures::{ModelShape, architecture};
use self::attention::{CacheElement, CachedAttention, KvCache};
use self::checkpoint::Checkpoint;
use self::config::ConfigFile;
use self::embedding::Embedding;
use self::graph::GraphBuilder;
use self::memory::Wishes;
use self::session::{Session, StepInput, StepSession, Widths};
use self::weights::WeightForm;
use super::residency::MemoryNeeds;
use super::step_model::{Logits, StepError, StepModel, StepModelLimits};

pub use self::digest::{known_digest, remember_digest, weights_digest};
pub use self::error::LoadError;
pub use self::memory::MemoryPlan;
pub use self::options::{ModelOptions, Precision};
pub use self::quantised::{QuantisedStore, QuantisedWeights};
pub use self::runtime::init_runtime;
pub(super) use self::runtime::return_freed_memory;

/// A model that is ready to compute.
///
/// A sequence's logits have the same bits whoever shares its step, and wherever its prompt is cut into parts of two or more tokens. In 8 bits
/// they have the same bits however its tokens were read, alone (as in decoding) too. In 32 and 4 bits, ONNX Runtime multiplies a single
/// row with a matrix in another order than several: a difference of about 1e-6.
pub struct LoadedModel {
    session: StepSession,
    embedding: Embedding,
    shape: ModelShape,
    memory: MemoryPlan,
    precision: Precision,
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
        let wishes = wishes(options, form);
        let (cache, memory) = memory::fit(&shape, weights_bytes(form, &shape), &wishes)?;
        let embedding = Embedding::new(architecture.embeddings(&checkpoint)?, shape.width);
        let mut graph = GraphBuilder::new(&checkpoint, form)?;
        architecture.build(&mut graph, cache.tokens)?;
        let cache = Arc::new(KvCache::new(cache)?);
        let (environment, builder) = (runtime::environment()?, session_options(options, &shape, &cache)?);
        let (model, hidden_states) = graph.finish(&shape, cores(), &options.quantised)?;
        let session = Session::new(model, builder, environment)?;
        return_freed_memory();
        let widths = Widths { embedding: shape.width, vocabulary: shape.vocabulary };
        let session = StepSession::new(session, cache, widths, hidden_states)?;
        let precision = match form {
            WeightForm::Float => Precision::Fp32,
            WeightForm::Int8 => Precision::Int8,
            WeightForm::Int4 => Precision::Int4,
        };
        Ok(Self { session, embedding, shape, memory, precision, max_chunk: wishes.chunk, rows: Vec::new() })
    }

    /// What the model takes of the memory it was allowed.
    pub fn memory(&self) -> MemoryPlan {
        self.memory
    }

    /// In which numbers its weights are kept; never [`Precision::Auto`].
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Computes one step: as many tokens for each of `slots`, which lie one sequence after another in `tokens`.
    fn step(&mut self, slots: Range<usize>, tokens: &[u32], positions: &[usize], wanted: Wanted) -> Result<&[f32], StepError> {
        let sequences = slots.len().max(1);
        let each = tokens.len() / sequences;
        let capacity = self.session.shape().tokens;
        if tokens.len() != positions.len()
            || each * slots.len() != tokens.len()
            || positions.iter().any(|&position| position >= capacity)
        {
            return Err(StepError(format!(
                "{} tokens for {} slots do not fit {capacity} tokens a slot",
                tokens.len(),
                slots.len()
            )));
        }
        self.rows.resize(tokens.len() * self.shape.width, 0.0);
        self.embedding.look_up(tokens, positions, &mut self.rows)?;
        let last = positions.chunks_exact(each.max(1)).filter_map(|positions| positions.last());
        let mut last_positions: Vec<i32> = last.map(|&position| i32::try_from(position).unwrap_or(i32::MAX)).collect();
        let (logit_rows, for_hidden_states) = match wanted {
            Wanted::Logits(rows) => (rows, false),
            Wanted::HiddenStates => (0..0, true),
        };
        let mut logit_rows: Vec<i64> = logit_rows.map(|row| i64::try_from(row).unwrap_or(i64::MAX)).collect();
        let input = StepInput {
            slots,
            tokens: each,
            embeddings: &mut self.rows,
            last_positions: &mut last_positions,
            logit_rows: &mut logit_rows,
        };
        if for_hidden_states { self.session.run_for_hidden_states(input) } else { self.session.run(input) }
    }
}

/// What a step is to answer.
#[derive(Debug)]
enum Wanted {
    /// The logits of these rows.
    Logits(Range<usize>),
    /// The hidden states of all rows.
    HiddenStates,
}

impl StepModel for LoadedModel {
    fn limits(&self) -> StepModelLimits {
        let cache = self.session.shape();
        let ModelShape { width, vocabulary, .. } = self.shape;
        StepModelLimits { slots: cache.slots, context_length: cache.tokens, vocabulary, width }
    }

    fn extend(&mut self, slot: usize, start: usize, tokens: &[u32], logit_rows: usize) -> Result<Logits<'_>, StepError> {
        let vocabulary = self.shape.vocabulary;
        let parts = even_parts(tokens.len(), self.max_chunk);
        let last = parts.last().copied().unwrap_or_default();
        if last == 0 || logit_rows > last || start.checked_add(tokens.len()).is_none() {
            return Err(StepError(format!("{logit_rows} rows of logits were asked for of a step of {last} tokens")));
        }
        let mut done = 0;
        for part in parts.iter().rev().skip(1).rev() {
            let positions: Vec<usize> = (start + done..start + done + part).collect();
            self.step(slot..slot + 1, tokens.get(done..done + part).unwrap_or_default(), &positions, Wanted::Logits(0..0))?;
            done += part;
        }
        let positions: Vec<usize> = (start + done..start + tokens.len()).collect();
        let (tokens, wanted) = (tokens.get(done..).unwrap_or_default(), Wanted::Logits(last - logit_rows..last));
        let values = self.step(slot..slot + 1, tokens, &positions, wanted)?;
        Ok(Logits::new(values, vocabulary))
    }

    fn decode(&mut self, tokens: &[u32], positions: &[usize]) -> Result<Logits<'_>, StepError> {
        let vocabulary = self.shape.vocabulary;
        let values = self.step(0..tokens.len(), tokens, positions, Wanted::Logits(0..tokens.len()))?;
        Ok(Logits::new(values, vocabulary))
    }

    fn add_hidden_states(&mut self, slot: usize, start: usize, tokens: &[u32], sums: &mut [f64]) -> Result<(), StepError> {
        let width = self.shape.width;
        if sums.len() != width || start.checked_add(tokens.len()).is_none() {
            return Err(StepError(format!("hidden states of {width} features were to be added to {} sums", sums.len())));
        }
        let mut done = 0;
        for part in even_parts(tokens.len(), self.max_chunk) {
            let positions: Vec<usize> = (start + done..start + done + part).collect();
            let read = tokens.get(done..done + part).unwrap_or_default();
            let states = self.step(slot..slot + 1, read, &positions, Wanted::HiddenStates)?;
            for state in states.chunks_exact(width) {
                sums.iter_mut().zip(state).for_each(|(sum, value)| *sum += f64::from(*value));
            }
            done += part;
        }
        Ok(())
    }

    fn extend_matches_decode(&self) -> bool {
        self.precision == Precision::Int8
    }

    fn copy_slot(&mut self, from: usize, to: usize, tokens: usize) -> Result<(), StepError> {
        self.session.copy_slot(from, to, tokens)
    }
}

/// Cuts a length into as few parts as the longest allows, none longer by more than one than another. So no part is a single token unless the
/// whole is, and where a prompt is cut does not change a bit of its logits: only a single token is computed by another routine.
fn even_parts(length: usize, longest: usize) -> Vec<usize> {
    let count = length.div_ceil(longest).max(1);
    (0..count).map(|index| length / count + usize::from(index < length % count)).collect()
}

fn session_options(options: &ModelOptions, shape: &ModelShape, cache: &Arc<KvCache>) -> Result<SessionBuilder, LoadError> {
    let alone = options.intra_threads == 0 && shape.matrix_elements < SMALL_MODEL;
    let exact = runtime::multiplies_bytes_exactly();
    // The graph is built as it should run: what the higher levels look for costs time and finds nothing, but for the second's way around
    // bytes that do not multiply exactly.
    let level = if exact { GraphOptimizationLevel::Level1 } else { GraphOptimizationLevel::Level2 };
    let builder = SessionBuilder::new(&runtime::environment()?)?
        .with_optimization_level(level)?
        .with_log_level(LogLevel::Warning)?
        .with_intra_threads(if alone { 1 } else { options.intra_threads })?
        .with_intra_op_spinning(true)?
        .with_config_entry("session.intra_op.spin_duration_us", if options.spin { LONG_SPIN } else { SHORT_SPIN })?
        // Patterns of memory are kept for each shape of input, and there are as many shapes as lengths of prompts.
        .with_memory_pattern(false)?
        .with_operators(int8::operators()?.add(CachedAttention(Arc::clone(cache)))?)?;
    if exact { Ok(builder) } else { Ok(builder.with_precise_qmm()?) }
}

/// Microseconds for which a thread without work looks for more before it sleeps. Between two operators of a step that is enough, and waking
/// it for each took a sixth of the time of a step; it is too short to take a processor from others.
const SHORT_SPIN: &str = "20";

/// The same where spinning was asked for, so that threads are awake between steps too.
const LONG_SPIN: &str = "1000";

/// Refuses a model that no graph here computes, by its `config.json` alone: before its weights are fetched. The error names the field.
pub fn check_config(bytes: &[u8]) -> Result<(), String> {
    let config = ConfigFile::parse(Path::new("config.json"), bytes).map_err(|error| error.to_string())?;
    architecture(&config).map(drop).map_err(|error| error.to_string())
}

/// The memory that the model in `folder` asks for, by its `config.json` alone, whatever `options.memory_bytes` says.
pub(super) fn memory_needs(folder: &Path, options: &ModelOptions) -> Result<MemoryNeeds, LoadError> {
    let shape = architecture(&ConfigFile::read(folder)?)?.shape();
    let form = form(options.precision, &shape);
    Ok(memory::needs(&shape, weights_bytes(form, &shape), &wishes(options, form)))
}

fn wishes(options: &ModelOptions, form: WeightForm) -> Wishes {
    Wishes {
        memory_bytes: options.memory_bytes,
        slots: options.max_slots,
        context: options.max_context.unwrap_or(usize::MAX),
        chunk: options.max_chunk.max(SHORTEST_CHUNK),
        threads: options.intra_threads.max(cores()),
        element: if form == WeightForm::Float { CacheElement::Float32 } else { CacheElement::Float16 },
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// With fewer tokens in a step, a part of an input could be a single token.
const SHORTEST_CHUNK: usize = 4;

/// Models with fewer weights than this run faster on one thread: their operators are over before another has woken up.
const SMALL_MODEL: u64 = 4_000_000;

/// Models with more weights than this are quantised unless something else is asked for: below it, floats are fast and small enough.
const LARGE_MODEL: u64 = 50_000_000;

/// The name of the file that keeps the quantised form of the model in `folder`, whose weights have this digest; `None` where it is not
/// quantised at this precision, or the folder holds no model.
pub fn quantised_file_name(folder: &Path, precision: Precision, digest: &str) -> Option<String> {
    let config = ConfigFile::read(folder).ok()?;
    let shape = architecture(&config).ok()?.shape();
    quantised::file_name(digest, form(precision, &shape))
}

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

#[cfg(test)]
mod tests {
    use super::{check_config, even_parts};

    #[test]
    fn a_family_that_is_not_computed_is_refused_by_name_from_its_configuration_alone() {
        let refusal = check_config(br#"{"model_type": "mamba", "hidden_size": 64}"#).unwrap_err();
        assert_eq!(refusal, "config.json: model_type \"mamba\" is not supported (supported: gpt2, llama, mistral, qwen2)");
        assert!(check_config(b"<html>").unwrap_err().starts_with("config.json: "));
        let bundled = include_bytes!("../../../../../models/fairy-tales/config.json");
        assert_eq!(check_config(bundled), Ok(()));
    }

    #[test]
    fn parts_are_even_and_none_is_a_single_token() {
        assert_eq!(even_parts(1, 4), [1]);
        assert_eq!(even_parts(4, 4), [4]);
        assert_eq!(even_parts(5, 4), [3, 2]);
        assert_eq!(even_parts(17, 4), [4, 4, 3, 3, 3]);
        assert!((2..200).all(|length| even_parts(length, 4).iter().all(|part| (2..=4).contains(part))));
    }
}
