//! Attention as an operator of the graph: from the packed product of a layer to the rows that its heads attend to.
#![expect(unsafe_code, reason = "threads share out the heads of the cache and of the result")]

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use half::f16;
use ort::operator::{BoxedKernel, ComputeContext, KernelContext, Operator, OperatorInput, OperatorOutput};
use ort::value::TensorElementType::{Float32, Int32};

use super::cache::{CacheElement, KvCache};
use super::kernel::{Head, Queries, attend};
use super::lanes::{LANES, Stored};
use crate::text::model::int8::kernels::{Product, scale};

/// Elements of keys and values below which another thread costs more than it saves. Between two products it is awake anyway, and they are
/// read from memory: the products' weights have pushed them out of every cache.
const SERIAL_ELEMENTS: usize = 49_152;

/// Rows of queries that a thread takes at a time: enough for keys and values to be read rarely, few enough for even shares.
const BLOCK_ROWS: usize = 64;

/// `product [R, P]`, `scales [R]?`, `bias [P]?`, `first_slot [1]`, `last_positions [B]`, `cosines`, `sines [tokens, head_size / 2]?` →
/// `rows [R, heads × head_size]`.
///
/// `R = B × S` tokens, one sequence after another, go into `B` neighbouring slots, so that each sequence's last one lands on its last position;
/// `P` is packed queries, keys and values. Attributes: `layer`, `num_heads`, `kv_num_heads`, `scale`, and `window`, 0 where all keys are seen.
pub(in super::super) struct CachedAttention(pub(in super::super) Arc<KvCache>);

impl Operator for CachedAttention {
    type Kernel<'attr> = BoxedKernel<'attr>;

    fn name(&self) -> &'static str {
        "CachedAttention"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let (required, optional) = (OperatorInput::required, OperatorInput::optional);
        let product = [required(Float32), optional(Float32), optional(Float32)];
        product.into_iter().chain([required(Int32), required(Int32), optional(Float32), optional(Float32)])
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(Float32)]
    }

    fn create_kernel<'attr>(&self, kernel: &KernelContext<'attr>) -> ort::Result<Self::Kernel<'attr>> {
        let count = |name: &str| {
            let value = kernel.get::<i64>(name).and_then(|value| usize::try_from(value).ok());
            value.ok_or_else(|| ort::Error::new(format!("the attribute {name} is missing")))
        };
        let layer = Layer {
            cache: Arc::clone(&self.0),
            index: count("layer")?,
            heads: count("num_heads")?,
            kv_heads: count("kv_num_heads")?,
            scale: kernel.get("scale").ok_or_else(|| ort::Error::new("the attribute scale is missing"))?,
            window: Some(count("window")?).filter(|&window| window > 0).unwrap_or(usize::MAX),
        };
        let shape = self.0.shape();
        if layer.index >= shape.layers || layer.kv_heads != shape.heads || !layer.heads.is_multiple_of(layer.kv_heads.max(1)) {
            return Err(ort::Error::new("a layer of attention does not match the cache"));
        }
        Ok(match shape.element {
            CacheElement::Float16 => Box::new(move |context: &ComputeContext| layer.compute::<f16>(context)),
            CacheElement::Float32 => Box::new(move |context: &ComputeContext| layer.compute::<f32>(context)),
        })
    }
}

/// One layer's attention.
struct Layer {
    cache: Arc<KvCache>,
    index: usize,
    heads: usize,
    kv_heads: usize,
    scale: f32,
    window: usize,
}

/// What a step computes in one layer. Sizes are checked when it is made.
struct Step<'a> {
    layer: &'a Layer,
    /// `[sequences × tokens, width]`
    product: &'a [f32],
    /// One a row, or empty.
    scales: &'a [f32],
    /// One a column, or empty.
    bias: &'a [f32],
    /// One row a position, or empty.
    cosines: &'a [f32],
    sines: &'a [f32],
    width: usize,
    /// Tokens of each sequence.
    tokens: usize,
    first_slot: usize,
    /// Of each sequence's first token.
    first_positions: Vec<usize>,
}

/// A row of results for each token, which threads fill head by head.
struct Results {
    pointer: *mut f32,
    width: usize,
}

// SAFETY: Each thread writes its own heads of its own rows.
unsafe impl Sync for Results {}

/// A thread's memory between its tasks.
#[derive(Default)]
struct Scratch {
    rows: Vec<f32>,
    scores: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Binds a name to the numbers of an input, or to nothing where it is left out.
macro_rules! numbers {
    ($context:ident, $index:literal, $type:ty, $name:ident) => {
        let $name = $context.input($index)?;
        let $name: &[$type] = match &$name {
            Some(value) => value.try_extract_tensor::<$type>()?.1,
            None => &[],
        };
    };
}

impl Layer {
    fn compute<E: Stored>(&self, context: &ComputeContext) -> ort::Result<()> {
        numbers!(context, 0, f32, product);
        numbers!(context, 1, f32, scales);
        numbers!(context, 2, f32, bias);
        numbers!(context, 3, i32, first_slot);
        numbers!(context, 4, i32, last_positions);
        numbers!(context, 5, f32, cosines);
        numbers!(context, 6, f32, sines);
        let head_size = self.cache.shape().head_size;
        let width = (self.heads + 2 * self.kv_heads) * head_size;
        let rows = product.len() / width;
        let tokens = rows / last_positions.len().max(1);
        let first_slot = first_slot.first().and_then(|&slot| usize::try_from(slot).ok()).unwrap_or(usize::MAX);
        let first_position = |last: &i32| (usize::try_from(*last).ok()? + 1).checked_sub(tokens);
        let first_positions = last_positions.iter().map(first_position).collect::<Option<Vec<_>>>().unwrap_or_default();
        let step = Step { layer: self, product, scales, bias, cosines, sines, width, tokens, first_slot, first_positions };
        step.check(last_positions.len())?;
        let result_width = self.heads * head_size;
        let shape = [rows, result_width].map(|length| i64::try_from(length).unwrap_or(i64::MAX));
        let mut output = context.output(0, shape)?.ok_or_else(|| ort::Error::new("the output is missing"))?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        if output.len() != rows * result_width {
            return Err(ort::Error::new("the output has another size"));
        }
        step.run::<E>(context, &Results { pointer: output.as_mut_ptr(), width: result_width })
    }
}

impl Step<'_> {
    /// Whatever the graph says, only memory that exists is touched.
    fn check(&self, sequences: usize) -> ort::Result<()> {
        let shape = self.layer.cache.shape();
        let turns = shape.tokens * (shape.head_size / 2);
        let fits = self.tokens > 0
            && self.product.len() == sequences * self.tokens * self.width
            && (self.scales.is_empty() || self.scales.len() == sequences * self.tokens)
            && (self.bias.is_empty() || self.bias.len() == self.width)
            && self.first_positions.len() == sequences
            && self.first_positions.iter().all(|position| position + self.tokens <= shape.tokens)
            && self.first_slot.checked_add(sequences).is_some_and(|end| end <= shape.slots)
            && [self.cosines, self.sines].iter().all(|table| table.is_empty() || table.len() >= turns);
        if fits { Ok(()) } else { Err(ort::Error::new("a step of attention does not fit the cache")) }
    }

    /// Appends all tokens to the cache, then computes their rows, on several threads where there is enough to do.
    fn run<E: Stored>(&self, context: &ComputeContext, results: &Results) -> ort::Result<()> {
        let layer = self.layer;
        let heads = self.first_positions.len() * layer.kv_heads;
        let block = (BLOCK_ROWS * layer.kv_heads / layer.heads).max(1);
        let blocks = self.tokens.div_ceil(block);
        if blocks == 1 {
            return self.for_each(context, heads, |index| {
                let (sequence, head) = (index / layer.kv_heads, index % layer.kv_heads);
                self.append::<E>(sequence, head);
                self.attend::<E>(sequence, head, 0..self.tokens, results);
            });
        }
        self.for_each(context, heads, |index| self.append::<E>(index / layer.kv_heads, index % layer.kv_heads))?;
        self.for_each(context, heads * blocks, |index| {
            // The last tokens see the most keys: they come first, so that threads end together.
            let first = (blocks - 1 - index / heads) * block;
            let (sequence, head) = (index % heads / layer.kv_heads, index % layer.kv_heads);
            self.attend::<E>(sequence, head, first..(first + block).min(self.tokens), results);
        })
    }

    fn for_each(&self, context: &ComputeContext, count: usize, work: impl Fn(usize) + Send + Sync) -> ort::Result<()> {
        let shape = self.layer.cache.shape();
        let seen: usize = self.first_positions.iter().map(|position| (position + self.tokens).min(self.layer.window)).sum();
        if seen * self.tokens * 2 * shape.heads * shape.head_size <= SERIAL_ELEMENTS {
            (0..count).for_each(work);
            return Ok(());
        }
        context.par_for(count, 0, work)
    }

    /// Part of a row of the product: one head's queries, keys or values, of a token.
    fn head_of_row(&self, row: usize, column: usize, values: &mut [f32]) {
        let columns = column..column + values.len();
        let part = self.product.get(row * self.width..).and_then(|row| row.get(columns.clone())).unwrap_or_default();
        match self.scales.get(row) {
            Some(&row_scale) => {
                let bias = self.bias.get(columns).unwrap_or_default();
                scale(Product { values: part, scale: row_scale, bias }, values);
            }
            None => values.copy_from_slice(part),
        }
    }

    /// Turns pairs of features, each of the first half with its partner in the second, by their position's angles.
    fn rotate(&self, position: usize, values: &mut [f32]) {
        let half = values.len() / 2;
        let angles = position * half..(position + 1) * half;
        let (cosines, sines) = (self.cosines.get(angles.clone()).unwrap_or_default(), self.sines.get(angles).unwrap_or_default());
        let (first, second) = values.split_at_mut(half);
        for ((first, second), (cosine, sine)) in first.iter_mut().zip(second).zip(cosines.iter().zip(sines)) {
            (*first, *second) = (*first * cosine - *second * sine, *second * cosine + *first * sine);
        }
    }

    /// Writes the keys and values of a sequence's tokens, for one head.
    fn append<E: Stored>(&self, sequence: usize, head: usize) {
        let (layer, shape) = (self.layer, self.layer.cache.shape());
        let (size, padded) = (shape.head_size, shape.padded_head());
        let first_position = self.first_positions.get(sequence).copied().unwrap_or_default();
        // SAFETY: A head of a sequence is one thread's, and is read only after it was written: by the same thread, or once all have written.
        let parts = unsafe { layer.cache.head_mut::<E>(layer.index, self.first_slot + sequence, head) };
        let Some([keys, values]) = parts else { return };
        let (mut features, mut kept) = (vec![0.0; size], vec![E::ZERO; size]);
        for token in 0..self.tokens {
            let (row, position) = (sequence * self.tokens + token, first_position + token);
            self.head_of_row(row, (layer.heads + head) * size, &mut features);
            self.rotate(position, &mut features);
            E::keep(&mut features, &mut kept);
            let block = keys.get_mut(position / LANES * LANES * padded + position % LANES..).unwrap_or_default();
            block.iter_mut().step_by(LANES).zip(&kept).for_each(|(place, key)| *place = *key);
            self.head_of_row(row, (layer.heads + layer.kv_heads + head) * size, &mut features);
            if let Some(place) = values.get_mut(position * padded..position * padded + size) {
                E::keep(&mut features, place);
            }
        }
    }

    /// Computes the results of some of a sequence's tokens, for the heads of queries that share a head of keys and values.
    fn attend<E: Stored>(&self, sequence: usize, head: usize, tokens: Range<usize>, results: &Results) {
        let (layer, shape) = (self.layer, self.layer.cache.shape());
        let (size, padded, group) = (shape.head_size, shape.padded_head(), layer.heads / layer.kv_heads);
        let first_position = self.first_positions.get(sequence).copied().unwrap_or_default();
        // SAFETY: All that the sequence's tokens see was written before, and is written again in a later step at the earliest.
        let parts = unsafe { layer.cache.head::<E>(layer.index, self.first_slot + sequence, head) };
        let Some([keys, values]) = parts else { return };
        SCRATCH.with_borrow_mut(|Scratch { rows, scores }| {
            rows.clear();
            rows.resize(tokens.len() * group * padded, 0.0);
            for (row, (token, member)) in rows.chunks_exact_mut(padded).zip(members(&tokens, group)) {
                let row = row.get_mut(..size).unwrap_or_default();
                self.head_of_row(sequence * self.tokens + token, (head * group + member) * size, row);
                self.rotate(first_position + token, row);
                for value in row {
                    *value *= layer.scale;
                }
            }
            let keys_before = first_position + tokens.start;
            let mut queries = Queries { rows, keys_before, rows_a_token: group, window: layer.window };
            attend(&Head { keys, values, size, padded }, &mut queries, scores);
            for (row, (token, member)) in rows.chunks_exact(padded).zip(members(&tokens, group)) {
                let row = row.get(..size).unwrap_or_default();
                let place = (sequence * self.tokens + token) * results.width + (head * group + member) * size;
                // SAFETY: The place lies within the output, whose size was checked, and nobody else writes this head of this row.
                unsafe { results.pointer.add(place).copy_from_nonoverlapping(row.as_ptr(), size) };
            }
        });
    }
}

/// The rows of some tokens, by token and member of the group.
fn members(tokens: &Range<usize>, group: usize) -> impl Iterator<Item = (usize, usize)> {
    tokens.clone().flat_map(move |token| (0..group).map(move |member| (token, member)))
}
