//! Attention of rows of queries over the kept keys and values of one head.
//!
//! Rows are computed in tiles, so that what is loaded of a key or value serves several of them. A row's numbers do not depend on its tile:
//! each score is one sum over the features in order; the maximum of scores does not depend on order; exponentials are summed in
//! lanes that are chosen by a key's position, one block after another; and each feature of the result is one sum over the keys in order.
//! Keys that only the tile's other rows see never enter a row's sums.
#![expect(unsafe_code, reason = "tiles live in registers: reads are checked once a tile, and vectors need the processor's instructions")]
#![expect(clippy::inline_always, reason = "what is not inlined into a function for AVX is not compiled for AVX")]

use std::ops::Range;

use super::lanes::{LANES, Lanes, Portable, Stored};

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
        use super::lanes::{Avx2, Avx512};
        if std::arch::is_x86_feature_detected!("avx512f") {
            #[target_feature(enable = "avx512f,avx2,fma,f16c")]
            fn avx512<E: Stored>(head: &Head<'_, E>, queries: &mut Queries<'_>, scratch: &mut Vec<f32>) {
                // SAFETY: The function is only entered where the processor has the instructions; sizes were checked.
                unsafe { attend_rows::<Avx512, E, 2, 4>(head, queries, scratch) }
            }
            // SAFETY: The processor has AVX-512F, and with it the older instructions.
            return unsafe { avx512(head, queries, scratch) };
        }
        if ["avx2", "fma", "f16c"].iter().all(|_| std::arch::is_x86_feature_detected!("avx2"))
            && std::arch::is_x86_feature_detected!("fma")
            && std::arch::is_x86_feature_detected!("f16c")
        {
            #[target_feature(enable = "avx2,fma,f16c")]
            fn avx2<E: Stored>(head: &Head<'_, E>, queries: &mut Queries<'_>, scratch: &mut Vec<f32>) {
                // SAFETY: As above.
                unsafe { attend_rows::<Avx2, E, 1, 2>(head, queries, scratch) }
            }
            // SAFETY: The processor has these instructions.
            return unsafe { avx2(head, queries, scratch) };
        }
    }
    // SAFETY: Any processor will do; sizes were checked.
    unsafe { attend_rows::<Portable, E, 1, 1>(head, queries, scratch) }
}
