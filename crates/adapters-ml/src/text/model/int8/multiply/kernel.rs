//! Rows of bytes times columns of bytes, with what makes floats of the sums.
//!
//! A tile of rows and blocks of columns keeps its sums in registers while it goes through the inputs. Few rows make a single tile, so that
//! the weights go by once, at the speed of memory. Many rows pass over two blocks at a time, which stay in the cache next to the
//! processor. Sums of integers are exact in any order, so a row's bits do not depend on its tile.
#![expect(unsafe_code, reason = "tiles live in registers: reads are checked once, and vectors need the processor's instructions")]
#![expect(clippy::inline_always, reason = "what is not inlined into a function for VNNI is not compiled for VNNI")]

#[cfg(test)]
mod tests;

use std::marker::PhantomData;
use std::ops::Range;

#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx, Avx512};
use super::lanes::{Finish, Lanes, Portable};
use super::layout::{COLUMNS, Layout, QUAD};

/// Up to so many rows are a single tile.
const FEW_ROWS: usize = 16;

/// How far ahead of their use weights are asked for. Less costs a sixth of the speed at 16 rows.
const AHEAD_BYTES: usize = 8192;

/// What is multiplied. Sizes are checked when it is made.
pub(super) struct Multiplication<'a> {
    rows: Rows<'a>,
    weights: Weights<'a>,
    count: usize,
}

/// Rows of activations.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// `[rows, inputs]`, around 128.
    pub(super) values: &'a [u8],
    /// One a row.
    pub(super) scales: &'a [f32],
}

/// A matrix in blocks, and what goes with its columns, which are padded to whole blocks.
#[derive(Clone, Copy)]
pub(super) struct Weights<'a> {
    pub(super) layout: Layout,
    pub(super) values: &'a [i8],
    /// See [`Layout::corrections`].
    pub(super) corrections: &'a [i32],
    pub(super) scales: &'a [f32],
    /// One a column, without padding, or empty.
    pub(super) bias: &'a [f32],
}

/// `[rows, outputs]`, which threads fill block by block of columns.
pub(super) struct Results<'a> {
    pointer: *mut f32,
    memory: PhantomData<&'a mut [f32]>,
}

// SAFETY: Each thread writes its own columns.
unsafe impl Sync for Results<'_> {}

impl<'a> Multiplication<'a> {
    /// Puts together what fits together.
    pub(super) fn new(rows: Rows<'a>, weights: Weights<'a>) -> Option<Self> {
        let (layout, count) = (weights.layout, rows.scales.len());
        let fits = rows.values.len() == count.checked_mul(layout.inputs)?
            && weights.values.len() == layout.blocks().checked_mul(layout.block_bytes())?
            && [weights.corrections.len(), weights.scales.len()].iter().all(|&length| length == layout.padded_outputs())
            && (weights.bias.is_empty() || weights.bias.len() == layout.outputs);
        fits.then_some(Self { rows, weights, count })
    }

    /// The memory of the results, if it has their size.
    pub(super) fn results<'r>(&self, memory: &'r mut [f32]) -> Option<Results<'r>> {
        (memory.len() == self.count * self.weights.layout.outputs)
            .then_some(Results { pointer: memory.as_mut_ptr(), memory: PhantomData })
    }

    /// Computes the columns of some blocks.
    ///
    /// # Safety
    /// Only with [`Self::results`] of this multiplication, and blocks that nobody else computes meanwhile.
    pub(super) unsafe fn compute(&self, blocks: Range<usize>, results: &Results<'_>) {
        let blocks = blocks.start..blocks.end.min(self.weights.layout.blocks());
        #[cfg(target_arch = "x86_64")]
        {
            if has_avx512() {
                // SAFETY: The processor has the instructions; the caller vouches for the results.
                return unsafe { multiply_with_avx512(self, blocks, results) };
            }
            if has_avx() {
                // SAFETY: As above.
                return unsafe { multiply_with_avx(self, blocks, results) };
            }
        }
        // SAFETY: Any processor will do; the caller vouches for the results.
        unsafe { multiply_portably(self, blocks, results) }
    }
}

/// Whether this processor has the instructions that make this faster than ONNX Runtime's operator.
pub(in crate::text::model) fn suits_processor() -> bool {
    #[cfg(target_arch = "x86_64")]
    return has_avx512() || has_avx();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512vnni")
}

#[cfg(target_arch = "x86_64")]
fn has_avx() -> bool {
    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("avxvnni")
}

/// Computes rows in tiles of so many rows, as many as the processor's registers hold: where there are many rows, of two blocks first, if
/// they hold that, then of one.
macro_rules! multiply_in_tiles {
    ($(#[$attribute:meta])* $name:ident, $lanes:ty, two_blocks: [$($wide:literal),*], one_block: [$($narrow:literal),+]) => {
        /// # Safety
        /// The processor must have the instructions, and the caller the results, to itself as far as these blocks go.
        $(#[$attribute])*
        unsafe fn $name(task: &Multiplication<'_>, blocks: Range<usize>, results: &Results<'_>) {
            let mut block = blocks.start;
            while block < blocks.end {
                let width = if task.count > FEW_ROWS { 2.min(blocks.end - block) } else { 1 };
                let done = 0;
                $(
                    let mut done = done;
                    while width == 2 && task.count - done >= $wide {
                        // SAFETY: As the caller vouches; the rows and blocks are within bounds.
                        unsafe { tile::<$lanes, $wide, 2>(task, done, block, results) };
                        done += $wide;
                    }
                )*
                for block in block..block + width {
                    let mut first = done;
                    $(
                        while task.count - first >= $narrow {
                            // SAFETY: As above.
                            unsafe { tile::<$lanes, $narrow, 1>(task, first, block, results) };
                            first += $narrow;
                        }
                    )+
                }
                block += width;
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
multiply_in_tiles!(
    #[target_feature(enable = "avx512f,avx512vnni")]
    multiply_with_avx512,
    Avx512,
    two_blocks: [12],
    one_block: [16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
);
#[cfg(target_arch = "x86_64")]
multiply_in_tiles!(
    #[target_feature(enable = "avx2,avxvnni")]
    multiply_with_avx,
    Avx,
    two_blocks: [],
    one_block: [6, 5, 4, 3, 2, 1]
);
multiply_in_tiles!(multiply_portably, Portable, two_blocks: [], one_block: [2, 1]);

/// Rows `first..first + R` times blocks `block..block + B`.
#[inline(always)]
unsafe fn tile<L: Lanes, const R: usize, const B: usize>(
    task: &Multiplication<'_>,
    first: usize,
    block: usize,
    results: &Results<'_>,
) {
    let Weights { layout, values, corrections, .. } = task.weights;
    let (inputs, block_bytes) = (layout.inputs, layout.block_bytes());
    // Two blocks lie far apart, but what follows upon both is the next two.
    let ahead = if B == 1 { AHEAD_BYTES } else { B * block_bytes };
    // SAFETY: `Multiplication::new` checked that all rows and blocks lie within their memory; what is asked for ahead of use is not read.
    unsafe {
        let rows = task.rows.values.as_ptr().add(first * inputs);
        let weights = values.as_ptr().add(block * block_bytes);
        let corrections = corrections.as_ptr().add(block * COLUMNS);
        let mut sums: [[L; B]; R] = [std::array::from_fn(|block| L::load(corrections.add(block * COLUMNS))); R];
        let line = |quad: usize, block: usize| weights.wrapping_add(block * block_bytes + quad * QUAD * COLUMNS);
        for quad in 0..inputs / QUAD {
            let lines: [L; B] = std::array::from_fn(|block| L::load_bytes(line(quad, block)));
            for block in 0..B {
                L::ask_for(weights.wrapping_add(ahead + (quad * B + block) * QUAD * COLUMNS));
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let activations = rows.add(row * inputs + quad * QUAD).cast::<i32>().read_unaligned();
                add_products(sums, i32::from_le(activations), lines);
            }
        }
        if !inputs.is_multiple_of(QUAD) {
            let quad = inputs / QUAD;
            let lines: [L; B] = std::array::from_fn(|block| L::load_bytes(line(quad, block)));
            for (row, sums) in sums.iter_mut().enumerate() {
                let activations = last_quad(rows.add(row * inputs + quad * QUAD), inputs % QUAD);
                add_products(sums, activations, lines);
            }
        }
        write(task, sums, first, block, results);
    }
}

/// Writes the sums of rows `first..first + R` and blocks `block..block + B` as floats.
#[inline(always)]
unsafe fn write<L: Lanes, const R: usize, const B: usize>(
    task: &Multiplication<'_>,
    sums: [[L; B]; R],
    first: usize,
    block: usize,
    results: &Results<'_>,
) {
    let Weights { layout, scales, bias, .. } = task.weights;
    for (row, sums) in (first..).zip(sums) {
        for (block, sums) in (block..).zip(sums) {
            let column = block * COLUMNS;
            let bias = bias.get(column..).filter(|bias| !bias.is_empty()).map(<[f32]>::as_ptr);
            // SAFETY: `Multiplication::new` checked that rows and blocks lie within their memory, and `Multiplication::results` theirs.
            unsafe {
                let row_scale = *task.rows.scales.as_ptr().add(row);
                let finish = Finish { column_scales: scales.as_ptr().add(column), row_scale, bias };
                let to = results.pointer.add(row * layout.outputs + column);
                finish_block(sums, finish, to, COLUMNS.min(layout.outputs - column));
            }
        }
    }
}

/// Adds the products of four activations with four weights of each column.
#[inline(always)]
unsafe fn add_products<L: Lanes, const B: usize>(sums: &mut [L; B], activations: i32, lines: [L; B]) {
    for (sum, line) in sums.iter_mut().zip(lines) {
        // SAFETY: The caller vouches for the processor.
        *sum = unsafe { sum.add_products(L::splat(activations), line) };
    }
}

/// The last activations of a row where they are fewer than four. The weights beyond are zero.
#[inline(always)]
unsafe fn last_quad(from: *const u8, count: usize) -> i32 {
    let mut bytes = [0; QUAD];
    // SAFETY: The caller vouches for so many bytes, which are fewer than four.
    unsafe { std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), count) };
    i32::from_le_bytes(bytes)
}

/// Writes the first `count` columns of a block.
#[inline(always)]
unsafe fn finish_block<L: Lanes>(sums: L, finish: Finish, to: *mut f32, count: usize) {
    // SAFETY: The caller vouches for so many columns of results and bias; scales are padded.
    unsafe {
        if count == COLUMNS {
            return sums.finish(finish, to);
        }
        let (mut bias, mut columns) = ([0.0_f32; COLUMNS], [0.0_f32; COLUMNS]);
        if let Some(from) = finish.bias {
            std::ptr::copy_nonoverlapping(from, bias.as_mut_ptr(), count);
        }
        let bias = finish.bias.map(|_| bias.as_ptr());
        sums.finish(Finish { bias, ..finish }, columns.as_mut_ptr());
        std::ptr::copy_nonoverlapping(columns.as_ptr(), to, count);
    }
}
