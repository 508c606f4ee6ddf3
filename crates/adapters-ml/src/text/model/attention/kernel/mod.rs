//! Attention of rows of queries over the kept keys and values of one head.
//!
//! Rows are computed in tiles, so that what is loaded of a key or value serves several of them. A row's numbers do not depend on its tile:
//! each score is one sum over the features in order; the maximum of scores does not depend on order; exponentials are summed in
//! lanes that are chosen by a key's position, one block after another; and each feature of the result is one sum over the keys in order.
//! Keys that only the tile's other rows see never enter a row's sums.
#![expect(
    unsafe_code,
    reason = "tiles live in registers: reads are checked once a tile, and vectors need the processor's instructions"
)]
#![expect(clippy::inline_always, reason = "what is not inlined into a function for AVX is not compiled for AVX")]

#[cfg(test)]
mod tests;

use std::ops::Range;

#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512};
use super::lanes::{LANES, Lanes, Portable, Stored};
use crate::text::model::int8::kernels::exponential;

/// The most rows that are computed together, each with a score for every key.
pub(in super::super) const TILE_ROWS: usize = 8;

/// What one head of keys and values keeps of one sequence.
#[derive(Clone, Copy)]
pub(super) struct Head<'a, E> {
    /// `[tokens / 16, padded, 16]`: blocks of 16 tokens, feature by feature, so that a vector holds one feature of 16 tokens.
    pub(super) keys: &'a [E],
    /// `[tokens, padded]`
    pub(super) values: &'a [E],
    /// Features.
    pub(super) size: usize,
    /// Features rounded up to whole vectors.
    pub(super) padded: usize,
}

/// Neighbouring rows of queries.
pub(super) struct Queries<'a> {
    /// `[rows, padded]`, already scaled. Replaced by the results.
    pub(super) rows: &'a mut [f32],
    /// How many keys the row before the first one's token sees.
    pub(super) keys_before: usize,
    /// Rows of the same token: heads of queries that share this head of keys and values. The first row is the first of its token.
    pub(super) rows_a_token: usize,
    /// How many keys back a token sees, itself included.
    pub(super) window: usize,
}

impl Queries<'_> {
    /// The keys that a row sees.
    fn visible(&self, row: usize) -> Range<usize> {
        let end = self.keys_before + row / self.rows_a_token + 1;
        end.saturating_sub(self.window)..end
    }
}

/// Replaces rows of queries by what they attend to: values weighted by the softmax of scores.
pub(super) fn attend<E: Stored>(head: &Head<'_, E>, queries: &mut Queries<'_>, scratch: &mut Vec<f32>) {
    let rows = queries.rows.len() / head.padded;
    let Some(last) = rows.checked_sub(1) else { return };
    let keys = queries.visible(last).end;
    let fits = head.padded.is_multiple_of(LANES)
        && (1..=head.padded).contains(&head.size)
        && head.keys.len() >= keys.next_multiple_of(LANES) * head.padded
        && head.values.len() >= keys * head.padded;
    // What is read below without further checks lies within these bounds.
    assert!(fits, "a head of attention is shorter than what it is asked for");
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY: The processor has AVX-512F, and with it the older instructions; sizes were checked.
            return unsafe { attend_with_avx512(head, queries, scratch) };
        }
        if std::arch::is_x86_feature_detected!("avx2")
            && std::arch::is_x86_feature_detected!("fma")
            && std::arch::is_x86_feature_detected!("f16c")
        {
            // SAFETY: The processor has these instructions; sizes were checked.
            return unsafe { attend_with_avx2(head, queries, scratch) };
        }
    }
    // SAFETY: Any processor will do; sizes were checked.
    unsafe { attend_portably(head, queries, scratch) }
}

/// Computes rows in tiles of so many rows, blocks of keys and vectors of features: as many as the processor's registers hold.
macro_rules! attend_in_tiles {
    ($(#[$attribute:meta])* $name:ident, $lanes:ty, $([$rows:expr, $blocks:literal, $vectors:literal]),+) => {
        /// # Safety
        /// The processor must have the instructions, and the head what the rows see.
        $(#[$attribute])*
        unsafe fn $name<E: Stored>(head: &Head<'_, E>, queries: &mut Queries<'_>, scratch: &mut Vec<f32>) {
            let rows = queries.rows.len() / head.padded;
            let mut first = 0;
            $(
                while rows - first >= $rows {
                    // SAFETY: As the caller vouches; the rows are within bounds.
                    unsafe { tile::<$lanes, E, { $rows }, $blocks, $vectors>(head, queries, first, scratch) };
                    first += $rows;
                }
            )+
        }
    };
}

#[cfg(target_arch = "x86_64")]
attend_in_tiles!(
    #[target_feature(enable = "avx512f,avx2,fma,f16c")]
    attend_with_avx512,
    Avx512,
    [TILE_ROWS, 2, 2],
    [4, 4, 4],
    [2, 4, 4],
    [1, 8, 4]
);
#[cfg(target_arch = "x86_64")]
attend_in_tiles!(
    #[target_feature(enable = "avx2,fma,f16c")]
    attend_with_avx2,
    Avx2,
    [4, 1, 1],
    [2, 2, 2],
    [1, 4, 4]
);
attend_in_tiles!(attend_portably, Portable, [2, 1, 1], [1, 1, 1]);

/// Rows `first..first + R`.
#[inline(always)]
unsafe fn tile<L: Lanes, E: Stored, const R: usize, const B: usize, const C: usize>(
    head: &Head<'_, E>,
    queries: &mut Queries<'_>,
    first: usize,
    scratch: &mut Vec<f32>,
) {
    let visible: [Range<usize>; R] = std::array::from_fn(|row| queries.visible(first + row));
    let begin = visible.iter().map(|keys| keys.start).min().unwrap_or(0) / LANES * LANES;
    let end = visible.iter().map(|keys| keys.end).max().unwrap_or(0);
    let visible = visible.map(|keys| keys.start - begin..keys.end - begin);
    let length = (end - begin).next_multiple_of(LANES);
    if scratch.len() < R * length {
        scratch.resize(R * length, 0.0);
    }
    let (scores, _) = scratch.split_at_mut(R * length);
    let padded = head.padded;
    // SAFETY: `attend` checked that all keys up to `end`, and their values, lie within the head, and the rows within the queries.
    unsafe {
        let rows = queries.rows.as_mut_ptr().add(first * padded);
        let keys = head.keys.as_ptr().add(begin * padded);
        let (blocks, mut block) = (length / LANES, 0);
        while block < blocks {
            let (keys, scores) = (keys.add(block * LANES * padded), scores.as_mut_ptr().add(block * LANES));
            if blocks - block >= B {
                score::<L, E, R, B>(rows, keys, head.size, padded, scores, length);
                block += B;
            } else {
                score::<L, E, R, 1>(rows, keys, head.size, padded, scores, length);
                block += 1;
            }
        }
        let mut inverse_sums = [0.0; R];
        for ((row, keys), inverse_sum) in scores.chunks_exact_mut(length).zip(&visible).zip(&mut inverse_sums) {
            *inverse_sum = 1.0 / softmax_without_division(row, keys.clone());
        }
        let weights = Weights { scores: scores.as_ptr(), length, visible: &visible, inverse_sums: &inverse_sums };
        let (vectors, mut vector) = (padded / LANES, 0);
        while vector < vectors {
            let (values, rows) = (head.values.as_ptr().add(begin * padded + vector * LANES), rows.add(vector * LANES));
            if vectors - vector >= C {
                weigh::<L, E, R, C>(&weights, values, rows, padded);
                vector += C;
            } else {
                weigh::<L, E, R, 1>(&weights, values, rows, padded);
                vector += 1;
            }
        }
    }
}

/// Scores of `R` rows against `B` blocks of 16 keys.
#[inline(always)]
unsafe fn score<L: Lanes, E: Stored, const R: usize, const B: usize>(
    rows: *const f32,
    keys: *const E,
    size: usize,
    padded: usize,
    scores: *mut f32,
    length: usize,
) {
    // SAFETY: The caller vouches for `B` blocks of keys, `R` rows of queries and as many of scores.
    unsafe {
        let mut sums = [[L::zero(); B]; R];
        for feature in 0..size {
            let keys: [L; B] = std::array::from_fn(|block| E::load(keys.add((block * padded + feature) * LANES)));
            for (row, sums) in sums.iter_mut().enumerate() {
                let query = L::splat(*rows.add(row * padded + feature));
                for (sum, keys) in sums.iter_mut().zip(keys) {
                    *sum = keys.multiply_add(query, *sum);
                }
            }
        }
        for (row, sums) in sums.into_iter().enumerate() {
            for (block, sum) in sums.into_iter().enumerate() {
                sum.store(scores.add(row * length + block * LANES));
            }
        }
    }
}

/// Replaces the scores of visible keys by their exponentials, those of the others by zero, and answers the sum.
#[inline(always)]
fn softmax_without_division(scores: &mut [f32], visible: Range<usize>) -> f32 {
    let (before, rest) = scores.split_at_mut(visible.start);
    let (seen, after) = rest.split_at_mut(visible.len());
    before.fill(0.0);
    after.fill(0.0);
    let mut largest = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = seen.as_chunks::<LANES>();
    for chunk in chunks {
        for (largest, score) in largest.iter_mut().zip(chunk) {
            *largest = if score > largest { *score } else { *largest };
        }
    }
    let largest = largest.iter().chain(rest).fold(f32::NEG_INFINITY, |largest, score| largest.max(*score));
    for score in seen {
        *score = exponential(*score - largest);
    }
    let mut sums = [0.0; LANES];
    for chunk in scores.as_chunks::<LANES>().0 {
        for (sum, weight) in sums.iter_mut().zip(chunk) {
            *sum += weight;
        }
    }
    sums.iter().sum()
}

/// A tile's weights.
struct Weights<'a, const R: usize> {
    /// `[R, length]`
    scores: *const f32,
    length: usize,
    /// Which of the keys each row sees.
    visible: &'a [Range<usize>; R],
    inverse_sums: &'a [f32; R],
}

/// Sums of `C` vectors of values, weighted by each of `R` rows.
#[inline(always)]
unsafe fn weigh<L: Lanes, E: Stored, const R: usize, const C: usize>(
    weights: &Weights<'_, R>,
    values: *const E,
    results: *mut f32,
    padded: usize,
) {
    let start = weights.visible.iter().map(|keys| keys.start).max().unwrap_or(0);
    let end = weights.visible.iter().map(|keys| keys.end).min().unwrap_or(0).max(start);
    // SAFETY: The caller vouches for the values of all visible keys and for `R` rows of results.
    unsafe {
        let mut sums = [[L::zero(); C]; R];
        let scores = |row: usize| weights.scores.add(row * weights.length);
        // What only some rows see comes before and after what all see, so that each row's keys are in order.
        for (row, (sums, keys)) in sums.iter_mut().zip(weights.visible).enumerate() {
            let keys = keys.start..start.min(keys.end);
            accumulate::<L, E, 1, C>(std::array::from_mut(sums), scores(row), weights.length, keys, values, padded);
        }
        accumulate::<L, E, R, C>(&mut sums, scores(0), weights.length, start..end, values, padded);
        for (row, ((sums, keys), inverse)) in sums.iter_mut().zip(weights.visible).zip(weights.inverse_sums).enumerate() {
            let keys = end.max(keys.start)..keys.end;
            accumulate::<L, E, 1, C>(std::array::from_mut(sums), scores(row), weights.length, keys, values, padded);
            let inverse = L::splat(*inverse);
            for (vector, sum) in sums.iter().enumerate() {
                sum.multiply_add(inverse, L::zero()).store(results.add(row * padded + vector * LANES));
            }
        }
    }
}

/// Adds the values of a range of keys to the sums of `N` rows.
#[inline(always)]
unsafe fn accumulate<L: Lanes, E: Stored, const N: usize, const C: usize>(
    sums: &mut [[L; C]; N],
    scores: *const f32,
    length: usize,
    keys: Range<usize>,
    values: *const E,
    padded: usize,
) {
    let mut local = *sums;
    for key in keys {
        // SAFETY: The caller vouches for these keys' values and scores.
        unsafe {
            let values: [L; C] = std::array::from_fn(|vector| E::load(values.add(key * padded + vector * LANES)));
            for (row, sums) in local.iter_mut().enumerate() {
                let weight = L::splat(*scores.add(row * length + key));
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum = value.multiply_add(weight, *sum);
                }
            }
        }
    }
    *sums = local;
}
