//! Attention is the textbook's, on every kind of processor, and a row's bits are its own.
#![expect(unsafe_code, reason = "each form is called where the processor has its instructions")]

use half::f16;

use super::*;

/// Numbers between −1 and 1 that look random.
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f32::from(u16::try_from(state >> 48).unwrap()) / 32_768.0 - 1.0
    };
    (0..count).map(next).collect()
}

type Form<E> = unsafe fn(&Head<'_, E>, &mut Queries<'_>, &mut Vec<f32>);

/// The portable form, and those with fused operations that this processor has.
fn forms<E: Stored>() -> (Form<E>, Vec<Form<E>>) {
    #[cfg(target_arch = "x86_64")]
    let fused = {
        let has_avx2 = std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("f16c");
        let avx2 = (has_avx2 && std::arch::is_x86_feature_detected!("fma")).then_some(attend_with_avx2::<E> as Form<E>);
        let avx512 = std::arch::is_x86_feature_detected!("avx512f").then_some(attend_with_avx512::<E> as Form<E>);
        avx2.into_iter().chain(avx512).collect()
    };
    #[cfg(not(target_arch = "x86_64"))]
    let fused = Vec::new();
    (attend_portably::<E>, fused)
}

fn all_forms<E: Stored>() -> Vec<Form<E>> {
    let (portable, fused) = forms();
    std::iter::once(portable).chain(fused).collect()
}

fn bits(rows: Vec<f32>) -> Vec<u32> {
    rows.into_iter().map(f32::to_bits).collect()
}

struct Case {
    size: usize,
    padded: usize,
    tokens: usize,
    group: usize,
    window: usize,
    keys: Vec<f32>,
    values: Vec<f32>,
    queries: Vec<f32>,
}

impl Case {
    fn new(size: usize, tokens: usize, group: usize, window: usize) -> Self {
        let padded = size.next_multiple_of(LANES);
        let [keys, values] = [1, 2].map(|seed| noise(tokens * size, seed));
        let queries = noise(tokens * group * size, 3).iter().map(|value| value * 2.0).collect();
        Self { size, padded, tokens, group, window, keys, values, queries }
    }

    /// Keys and values as they are kept, and around them what a stranger left.
    fn kept<E: Stored>(&self) -> [Vec<E>; 2] {
        let capacity = (self.tokens + 5).next_multiple_of(LANES) * self.padded;
        let stale: E = keep_one(&mut f32::NAN.clone());
        let (mut keys, mut values) = (vec![stale; capacity], vec![stale; capacity]);
        for token in 0..self.tokens {
            for feature in 0..self.padded {
                let of = |source: &[f32]| if feature < self.size { source[token * self.size + feature] } else { 0.0 };
                keys[(token / LANES * self.padded + feature) * LANES + token % LANES] = keep_one(&mut of(&self.keys));
                values[token * self.padded + feature] = keep_one(&mut of(&self.values));
            }
        }
        [keys, values]
    }

    /// Computes the tokens `range` in one call.
    fn attend<E: Stored>(&self, kept: &[Vec<E>; 2], form: Form<E>, range: Range<usize>) -> Vec<f32> {
        let [keys, values] = kept;
        let head = Head { keys, values, size: self.size, padded: self.padded };
        let mut rows = vec![0.0; range.len() * self.group * self.padded];
        let queries = self.queries.chunks_exact(self.size).skip(range.start * self.group);
        for (row, query) in rows.chunks_exact_mut(self.padded).zip(queries) {
            row[..self.size].copy_from_slice(query);
        }
        let mut queries = Queries { rows: &mut rows, keys_before: range.start, rows_a_token: self.group, window: self.window };
        // SAFETY: The forms are only those that this processor has.
        unsafe { form(&head, &mut queries, &mut Vec::new()) };
        rows
    }

    /// The textbook's attention in 64 bits.
    fn expected(&self, row: usize) -> Vec<f64> {
        let token = row / self.group;
        let seen = (token + 1).saturating_sub(self.window)..token + 1;
        let dot = |key: usize| {
            (0..self.size)
                .map(|feature| {
                    f64::from(self.queries[row * self.size + feature]) * f64::from(self.keys[key * self.size + feature])
                })
                .sum::<f64>()
        };
        let weights: Vec<f64> = seen.clone().map(|key| dot(key).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let of = |feature: usize| {
            seen.clone()
                .zip(&weights)
                .map(|(key, weight)| weight * f64::from(self.values[key * self.size + feature]))
                .sum::<f64>()
        };
        (0..self.size).map(|feature| of(feature) / sum).collect()
    }
}

fn keep_one<E: Stored>(value: &mut f32) -> E {
    let mut kept = [E::ZERO];
    E::keep(std::slice::from_mut(value), &mut kept);
    kept[0]
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (size, tokens) in [(64, 75), (12, 33), (80, 17), (128, 40)] {
        for group in [1, 3, 7] {
            for window in [usize::MAX, 20, 3, 1] {
                cases.push(Case::new(size, tokens, group, window));
            }
        }
    }
    cases
}

fn assert_near<E: Stored>(case: &Case, tolerance: f64) {
    let kept = case.kept();
    for form in all_forms::<E>() {
        let rows = case.attend(&kept, form, 0..case.tokens);
        for (index, row) in rows.chunks_exact(case.padded).enumerate() {
            for (value, expected) in row.iter().zip(case.expected(index)) {
                let distance = (f64::from(*value) - expected).abs();
                assert!(distance < tolerance, "row {index} of {} features: {value} instead of {expected}", case.size);
            }
        }
    }
}

#[test]
fn rows_are_those_of_the_textbook() {
    for case in cases() {
        assert_near::<f32>(&case, 1e-5);
        assert_near::<f16>(&case, 3e-3);
    }
}

#[test]
fn a_row_has_the_same_bits_alone_and_in_any_tile() {
    for (case, form) in cases().iter().flat_map(|case| all_forms::<f16>().into_iter().map(move |form| (case, form))) {
        let kept = case.kept();
        let whole = bits(case.attend(&kept, form, 0..case.tokens));
        for piece in [1, 2, 3, 5, 11] {
            let starts = (0..case.tokens).step_by(piece);
            let ranges = starts.map(|start| start..(start + piece).min(case.tokens));
            let pieces: Vec<u32> = ranges.flat_map(|range| bits(case.attend(&kept, form, range))).collect();
            assert!(
                whole == pieces,
                "{} features, {} in a group, window {}, pieces of {piece}",
                case.size,
                case.group,
                case.window
            );
        }
    }
}

#[test]
fn processors_that_fuse_operations_agree_to_the_last_bit() {
    for case in cases() {
        let kept = case.kept();
        let rows: Vec<_> = forms::<f16>().1.into_iter().map(|form| bits(case.attend(&kept, form, 0..case.tokens))).collect();
        assert!(rows.windows(2).all(|pair| pair[0] == pair[1]), "{} features, {} in a group", case.size, case.group);
    }
}

#[test]
#[should_panic(expected = "shorter than what it is asked for")]
fn a_head_that_is_too_short_is_refused_before_it_is_read() {
    let (keys, values) = ([0.0_f32; 16 * 16], [0.0_f32; 16 * 16]);
    let head = Head { keys: &keys, values: &values, size: 16, padded: 16 };
    let mut queries = Queries { rows: &mut [0.0; 16], keys_before: 16, rows_a_token: 1, window: usize::MAX };
    attend(&head, &mut queries, &mut Vec::new());
}
