//! The tokens that a draw may fall on, found without sorting the vocabulary.
//!
//! Blocks of the vocabulary whose largest logit is known to be too small are never looked into.

use std::cmp::Ordering;

use super::Shape;
use super::kernels::{BLOCK, Scale, block_maxima, block_sums};

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
    maxima: Vec<f32>,
    sums: Vec<f32>,
    kept: Vec<Candidate>,
}

impl Candidates {
    /// Finds the largest logit of each block, which everything else here builds on, and of all. Answers `None` if a logit is not a number.
    pub(super) fn survey(&mut self, logits: &[f32]) -> Option<f32> {
        self.maxima.clear();
        self.maxima.resize(logits.len().div_ceil(BLOCK), f32::NEG_INFINITY);
        let any_is_no_number = block_maxima(logits, &mut self.maxima);
        let max = self.maxima.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        (!any_is_no_number).then_some(max)
    }

    /// The lowest token with the largest logit.
    pub(super) fn most_likely(&self, logits: &[f32], max: f32) -> Option<usize> {
        let block = self.maxima.iter().position(|maximum| *maximum >= max)?;
        let offset = logits.chunks(BLOCK).nth(block)?.iter().position(|logit| *logit >= max)?;
        Some(block * BLOCK + offset)
    }

    /// The natural logarithm of the sum of all weights at temperature 1, of logits that were surveyed.
    pub(super) fn log_sum_of_weights(&mut self, logits: &[f32], max: f32) -> f64 {
        self.weigh(logits, Scale::new(max, 1.0, logits.len())).ln()
    }

    /// The `k` likeliest tokens with their logits, in order, of logits that were surveyed.
    pub(super) fn likeliest(&mut self, logits: &[f32], k: usize) -> impl Iterator<Item = (u32, f32)> {
        self.select_top_k(logits, k);
        self.kept.iter().map(|candidate| (candidate.token, candidate.weight))
    }

    /// Draws a token from logits that were surveyed. `max` is the largest; `random` gives a number in [0, 1) and is asked exactly once.
    pub(super) fn choose(&mut self, logits: &[f32], max: f32, shape: Shape, random: impl FnOnce() -> f64) -> Option<usize> {
        let random = random();
        let scale = Scale::new(max, shape.inverse_temperature, logits.len());
        match shape.top_k.filter(|k| *k < logits.len()) {
            Some(k) => {
                let total = self.keep_top_k(logits, k, scale);
                if shape.top_p < 1.0 {
                    self.cut_to_top_p(0, 0.0, shape.top_p * total);
                }
            }
            None if shape.top_p < 1.0 => {
                let total = self.weigh(logits, scale);
                self.keep_top_p(logits, scale, shape.top_p * total);
            }
            None if shape.min_p > 0.0 => self.keep_min_p(logits, scale, shape.min_p),
            None => {
                let total = self.weigh(logits, scale);
                return self.draw_from_all(logits, scale, random * total);
            }
        }
        self.kept.retain(|candidate| candidate.weight > 0.0 && f64::from(candidate.weight) >= shape.min_p);
        draw(&self.kept, random)
    }

    /// Sums the weights of each block; answers their sum.
    fn weigh(&mut self, logits: &[f32], scale: Scale) -> f64 {
        self.sums.clear();
        self.sums.resize(self.maxima.len(), 0.0);
        block_sums(logits, &self.maxima, scale, &mut self.sums);
        self.sums.iter().map(|sum| f64::from(*sum)).sum()
    }

    /// A draw from the whole vocabulary: walks over blocks, then inside one.
    fn draw_from_all(&self, logits: &[f32], scale: Scale, mut left: f64) -> Option<usize> {
        let mut last = None;
        for (index, (block, sum)) in logits.chunks(BLOCK).zip(&self.sums).enumerate() {
            if left >= f64::from(*sum) {
                left -= f64::from(*sum);
                continue;
            }
            for (offset, logit) in block.iter().enumerate().filter(|(_, logit)| **logit >= scale.cut) {
                last = Some(index * BLOCK + offset);
                left -= f64::from(scale.weight(*logit));
                if left < 0.0 {
                    return last;
                }
            }
            // Rounding left a little: the last possible token of this block takes it.
            if last.is_some() {
                return last;
            }
        }
        logits.iter().rposition(|logit| *logit >= scale.cut)
    }

    /// Keeps the `k` most likely tokens, in order, and answers the sum of their weights.
    fn keep_top_k(&mut self, logits: &[f32], k: usize, scale: Scale) -> f64 {
        self.select_top_k(logits, k);
        for candidate in &mut self.kept {
            candidate.weight = scale.weight(candidate.weight);
        }
        self.kept.iter().map(|candidate| f64::from(candidate.weight)).sum()
    }

    /// Keeps the `k` most likely tokens, in order, each with its logit for its weight. One pass with a threshold that rises: most blocks
    /// cost one comparison.
    fn select_top_k(&mut self, logits: &[f32], k: usize) {
        self.kept.clear();
        if k == 0 {
            return;
        }
        let room = k.saturating_mul(2).max(64);
        let mut threshold = f32::NEG_INFINITY;
        for ((first, block), maximum) in blocks(logits).zip(&self.maxima) {
            // An equal logit that is found later has a higher token and loses, so the comparison is strict.
            if *maximum <= threshold {
                continue;
            }
            for (token, weight) in (first..).zip(block.iter().copied()) {
                if weight > threshold {
                    self.kept.push(Candidate { token, weight });
                    if self.kept.len() >= room {
                        threshold = keep_best(&mut self.kept, k);
                    }
                }
            }
        }
        if self.kept.len() > k {
            keep_best(&mut self.kept, k);
        }
        self.kept.sort_unstable_by(Candidate::order);
    }

    /// Keeps the tokens that weigh at least `min_p`, in the vocabulary's order.
    fn keep_min_p(&mut self, logits: &[f32], scale: Scale, min_p: f64) {
        self.kept.clear();
        self.gather(logits, scale, (min_p, f64::INFINITY));
    }

    /// Keeps the smallest set of most likely tokens that reaches `target`, in order. Looks for them from the top down, in bands of
    /// weight, since a few hundred are usually enough.
    fn keep_top_p(&mut self, logits: &[f32], scale: Scale, target: f64) {
        /// Each band reaches down to this part of the one before.
        const STEP: f64 = 1.0 / 16.0;
        let total: f64 = self.sums.iter().map(|sum| f64::from(*sum)).sum();
        #[expect(clippy::cast_precision_loss, reason = "a vocabulary's size is far below 2^53")]
        // All tokens below this floor together weigh less than what is above the target, so the set ends before.
        let floor = (total - target) / logits.len() as f64 * 0.99;
        self.kept.clear();
        let (mut sorted, mut reached) = (0, 0.0);
        // The most likely tokens weigh 1; the first band begins above and holds what weighs a hundredth of all that is.
        let (mut least, mut most) = ((total / 128.0).min(0.5), f64::INFINITY);
        loop {
            let is_last = least <= floor;
            self.gather(logits, scale, (if is_last { floor } else { least }, most));
            let band: f64 = self.kept.get(sorted..).unwrap_or_default().iter().map(|c| f64::from(c.weight)).sum();
            if is_last || reached + band >= target {
                self.cut_to_top_p(sorted, reached, target);
                return;
            }
            (sorted, reached) = self.sort_from(sorted, reached);
            (most, least) = (least, least * STEP);
        }
    }

    /// Sorts the candidates from `first` on; answers how many there are, and `reached` with their weights.
    fn sort_from(&mut self, first: usize, mut reached: f64) -> (usize, f64) {
        let band = self.kept.get_mut(first..).unwrap_or_default();
        band.sort_unstable_by(Candidate::order);
        for candidate in band {
            reached += f64::from(candidate.weight);
        }
        (self.kept.len(), reached)
    }

    /// Adds the tokens whose weight lies in a band, from its lower bound to below its upper one, in the vocabulary's order.
    fn gather(&mut self, logits: &[f32], scale: Scale, (least, most): (f64, f64)) {
        let threshold = scale.logit_below(least);
        for ((first, block), _) in blocks(logits).zip(&self.maxima).filter(|(_, maximum)| **maximum >= threshold) {
            for (token, logit) in (first..).zip(block).filter(|(_, logit)| **logit >= threshold) {
                let weight = scale.weight(*logit);
                if f64::from(weight) >= least && f64::from(weight) < most {
                    self.kept.push(Candidate { token, weight });
                }
            }
        }
    }

    /// Cuts to the smallest set that reaches `target`. The first `sorted` candidates are in order, weigh more than the others and
    /// `reached` together; of the others just so many are sorted as the set has.
    fn cut_to_top_p(&mut self, mut sorted: usize, mut reached: f64, target: f64) {
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
                        self.kept.truncate(sorted + index + 1);
                        return;
                    }
                }
            }
            sorted = end;
            batch *= 4;
        }
    }
}

/// The blocks of a row, each with its first token.
fn blocks(logits: &[f32]) -> impl Iterator<Item = (u32, &[f32])> {
    (0u32..).step_by(BLOCK).zip(logits.chunks(BLOCK))
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
