//! The tokens that a draw may fall on, found without sorting the vocabulary.

use std::cmp::Ordering;

use super::Shape;

/// A token and how likely it is, relative to the most likely one.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    token: u32,
    weight: f32,
}

impl Candidate {
    /// Most likely first; of equally likely ones the lowest token, so that the order never depends on how it was found.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "sorting compares references")]
    fn order(&self, other: &Self) -> Ordering {
        other.weight.total_cmp(&self.weight).then(self.token.cmp(&other.token))
    }
}

/// Room for the work on one distribution.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    weights: Vec<f32>,
    block_sums: Vec<f64>,
    kept: Vec<Candidate>,
}

/// Weights are summed in blocks, so that a draw skips whole blocks.
const BLOCK: usize = 256;

impl Candidates {
    /// Draws a token. `max` is the largest of the logits; `random` gives a number in [0, 1) and is asked exactly once.
    pub(super) fn choose(&mut self, logits: &[f32], max: f32, shape: Shape, random: impl FnOnce() -> f64) -> Option<usize> {
        let random = random();
        let total = match shape.top_k.filter(|k| *k < logits.len()) {
            Some(k) => self.keep_top_k(logits, max, k, shape.inverse_temperature),
            None if shape.top_p < 1.0 => {
                let total = self.weigh(logits, max, shape.inverse_temperature);
                self.keep_all_that_top_p_may_need(shape.top_p, total);
                total
            }
            None => {
                let total = self.weigh(logits, max, shape.inverse_temperature);
                return self.draw_from_all(shape.min_p, total, random);
            }
        };
        let kept = self.cut_to_top_p(shape.top_p, total);
        let possible = kept.partition_point(|c| c.weight > 0.0 && f64::from(c.weight) >= shape.min_p).max(1);
        draw(kept.get(..possible)?, random)
    }

    /// exp((logit − max) / temperature) for every token; answers their sum.
    fn weigh(&mut self, logits: &[f32], max: f32, inverse_temperature: f32) -> f64 {
        self.weights.clear();
        self.weights.extend(logits.iter().map(|logit| exp_of_negative((logit - max) * inverse_temperature)));
        self.block_sums.clear();
        self.block_sums.extend(self.weights.chunks(BLOCK).map(|block| f64::from(lane_sum(block))));
        self.block_sums.iter().sum()
    }

    /// A draw from the whole vocabulary: walks over blocks, then inside one.
    fn draw_from_all(&mut self, min_p: f64, total: f64, random: f64) -> Option<usize> {
        let mut total = total;
        if min_p > 0.0 {
            for (block, sum) in self.weights.chunks_mut(BLOCK).zip(&mut self.block_sums) {
                for weight in block.iter_mut().filter(|weight| f64::from(**weight) < min_p) {
                    *weight = 0.0;
                }
                *sum = f64::from(lane_sum(block));
            }
            total = self.block_sums.iter().sum();
        }
        let mut left = random * total;
        let mut last = None;
        for (index, (block, sum)) in self.weights.chunks(BLOCK).zip(&self.block_sums).enumerate() {
            if left >= *sum {
                left -= sum;
                continue;
            }
            for (offset, weight) in block.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
                last = Some(index * BLOCK + offset);
                left -= f64::from(*weight);
                if left < 0.0 {
                    return last;
                }
            }
            // Rounding left a little: the last possible token of this block takes it.
            if last.is_some() {
                return last;
            }
        }
        self.weights.iter().rposition(|weight| *weight > 0.0)
    }

    /// Keeps the `k` most likely tokens, in order, and answers the sum of their weights. One pass with a threshold that rises: most
    /// tokens cost one comparison and no exponential.
    fn keep_top_k(&mut self, logits: &[f32], max: f32, k: usize, inverse_temperature: f32) -> f64 {
        self.kept.clear();
        let room = k.saturating_mul(2).max(64);
        // A candidate's weight is its logit until the best are found.
        let mut threshold = f32::NEG_INFINITY;
        for (token, weight) in (0u32..).zip(logits.iter().copied()) {
            // An equal logit that is found later has a higher token and loses, so the comparison is strict.
            if weight > threshold {
                self.kept.push(Candidate { token, weight });
                if self.kept.len() >= room {
                    threshold = keep_best(&mut self.kept, k);
                }
            }
        }
        if self.kept.len() > k {
            keep_best(&mut self.kept, k);
        }
        self.kept.sort_unstable_by(Candidate::order);
        for candidate in &mut self.kept {
            candidate.weight = exp_of_negative((candidate.weight - max) * inverse_temperature);
        }
        self.kept.iter().map(|candidate| f64::from(candidate.weight)).sum()
    }

    /// Drops what `top_p` cannot reach: tokens so unlikely that all of them together could not weigh 1 − `top_p`.
    fn keep_all_that_top_p_may_need(&mut self, top_p: f64, total: f64) {
        #[expect(clippy::cast_precision_loss, reason = "a vocabulary's size is far below 2^53")]
        let floor = (1.0 - top_p) * total / self.weights.len() as f64;
        self.kept.clear();
        let weights = (0u32..).zip(self.weights.iter().copied());
        self.kept.extend(weights.filter(|(_, w)| f64::from(*w) >= floor).map(|(token, weight)| Candidate { token, weight }));
    }

    /// Sorts just so many candidates as the smallest set that reaches `top_p` of `total` has, and answers that set.
    fn cut_to_top_p(&mut self, top_p: f64, total: f64) -> &[Candidate] {
        if top_p >= 1.0 {
            return &self.kept;
        }
        let target = top_p * total;
        let (mut sorted, mut reached) = (0, 0.0);
        let mut batch = 64;
        while sorted < self.kept.len() {
            let end = (sorted + batch).min(self.kept.len());
            if let Some(rest) = self.kept.get_mut(sorted..) {
                if rest.len() > batch {
                    rest.select_nth_unstable_by(batch - 1, Candidate::order);
                }
                let (best, _) = rest.split_at_mut(end - sorted);
                best.sort_unstable_by(Candidate::order);
                for (index, candidate) in best.iter().enumerate() {
                    reached += f64::from(candidate.weight);
                    if reached >= target {
                        return self.kept.get(..=sorted + index).unwrap_or_default();
                    }
                }
            }
            sorted = end;
            batch *= 4;
        }
        &self.kept
    }
}

/// Keeps the best `k`, which are fewer than there are; answers the least weight among them.
fn keep_best(kept: &mut Vec<Candidate>, k: usize) -> f32 {
    kept.select_nth_unstable_by(k - 1, Candidate::order);
    kept.truncate(k);
    kept.last().map_or(0.0, |candidate| candidate.weight)
}

/// A draw from a few candidates.
fn draw(candidates: &[Candidate], random: f64) -> Option<usize> {
    let mut left = random * candidates.iter().map(|candidate| f64::from(candidate.weight)).sum::<f64>();
    let chosen = candidates.iter().find(|candidate| {
        left -= f64::from(candidate.weight);
        left < 0.0
    });
    chosen.or(candidates.last()).map(|candidate| candidate.token as usize)
}

/// Sums in eight lanes: a fixed order that vectorises.
fn lane_sum(values: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let chunks = values.chunks_exact(8);
    for (lane, value) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane += value;
    }
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    lanes.iter().sum()
}

/// exp(x) for x ≤ 0, to within 3 units in the last place; 0 below −87, where `f32` has no normal numbers left.
///
/// Cephes' method (Moshier, `expf.c`): x = n·ln 2 + r with |r| ≤ ln 2 / 2, a polynomial of degree 6 for exp(r), and n added to the
/// exponent. Without branches, so that the compiler vectorises it, and without the platform's `exp`, which differs between machines.
fn exp_of_negative(x: f32) -> f32 {
    // 1.5 · 2^23: adding and taking it away rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, so that n times the first is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let clamped = if x > -87.0 { x } else { -87.0 };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = clamped - n * LN_2_HIGH - n * LN_2_LOW;
    let polynomial = 1.987_569_1e-4;
    let polynomial = polynomial * r + 1.398_199_9e-3;
    let polynomial = polynomial * r + 8.333_452e-3;
    let polynomial = polynomial * r + 4.166_579_6e-2;
    let polynomial = polynomial * r + 1.666_666_5e-1;
    let polynomial = polynomial * r + 0.5;
    let fraction = polynomial * r * r + r + 1.0;
    // The low bits of `shifted` hold n; moved into the exponent they multiply by 2^n.
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    let value = fraction * f32::from_bits(exponent);
    if x > -87.0 { value } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_exponential_agrees_with_the_librarys() {
        for step in 0..65_000u16 {
            let x = -f32::from(step) / 750.0;
            let (ours, exact) = (f64::from(exp_of_negative(x)), f64::from(x).exp());
            assert!((ours - exact).abs() <= exact * 3e-7, "{x}: {ours} {exact}");
        }
        assert_eq!((exp_of_negative(0.0), exp_of_negative(f32::NEG_INFINITY), exp_of_negative(-1e30)), (1.0, 0.0, 0.0));
    }
}
