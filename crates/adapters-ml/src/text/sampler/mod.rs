//! Chooses the next token from a row of logits.
//!
//! The order is `OpenAI`'s and Hugging Face's: bias, penalties, temperature, `top_k`, `top_p`, `min_p`, then a draw. The work stays far below a step of the
//! model: two passes in vector instructions run over the whole vocabulary, and what comes after looks only at blocks of it that matter.
//! The distribution is the parameters' own, but for tokens that weigh less than 2^-24 all together, which are never drawn.
//!
//! **Reproducible**: the draws come from a `ChaCha` generator seeded by the request alone, one draw a token, and all arithmetic is
//! additions, multiplications and divisions of IEEE 754, without the platform's `exp`. Equal logits, seed and parameters give equal
//! tokens on every machine.

mod adjustments;
mod candidates;
mod kernels;
mod logprobs;

use domain::SamplingParameters;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use adjustments::Adjustments;
use candidates::Candidates;
pub use logprobs::{Logprobs, logprobs};

/// Why no token can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SamplerError {
    /// The model computed what is no number, or infinity.
    #[error("the model's logits are not finite")]
    NotFinite,
    /// Not a single token is possible.
    #[error("the model's logits leave no token to choose")]
    NothingToChoose,
}

/// Room to work in, shared by all sequences of an engine so that no step allocates.
#[derive(Debug, Default)]
pub struct SamplerScratch {
    logits: Vec<f32>,
    candidates: Candidates,
}

/// Chooses the tokens of one sequence.
#[derive(Debug)]
pub struct Sampler {
    adjustments: Option<Adjustments>,
    /// Absent: always the most likely token.
    draw: Option<Draw>,
}

#[derive(Debug)]
struct Draw {
    random: ChaCha12Rng,
    shape: Shape,
}

/// What is left of a distribution before a draw. See [`SamplingParameters`] for each.
#[derive(Debug, Clone, Copy)]
struct Shape {
    inverse_temperature: f32,
    top_k: Option<usize>,
    top_p: f64,
    min_p: f64,
}

impl Sampler {
    /// A sampler for one sequence with this prompt.
    pub fn new(parameters: &SamplingParameters, prompt: &[u32]) -> Self {
        let greedy = parameters.temperature <= 0.0 || parameters.top_p <= 0.0 || parameters.top_k == Some(1);
        let shape = Shape {
            inverse_temperature: inverse(parameters.temperature),
            top_k: parameters.top_k.and_then(|k| usize::try_from(k).ok()),
            top_p: parameters.top_p,
            min_p: parameters.min_p,
        };
        let random = ChaCha12Rng::seed_from_u64(parameters.seed.get().cast_unsigned());
        Self { adjustments: Adjustments::new(parameters, prompt), draw: (!greedy).then_some(Draw { random, shape }) }
    }

    /// Chooses the token that follows and remembers it for the penalties. Of equally likely tokens, the greedy choice is the lowest.
    ///
    /// `logits` holds one number a token of the vocabulary; negative infinity is a token that cannot be.
    pub fn choose(&mut self, logits: &[f32], scratch: &mut SamplerScratch) -> Result<u32, SamplerError> {
        let logits = match &self.adjustments {
            Some(adjustments) => adjustments.apply(logits, &mut scratch.logits),
            None => logits,
        };
        let max = match scratch.candidates.survey(logits) {
            None | Some(f32::INFINITY) => return Err(SamplerError::NotFinite),
            Some(f32::NEG_INFINITY) => return Err(SamplerError::NothingToChoose),
            Some(max) => max,
        };
        let index = match &mut self.draw {
            None => scratch.candidates.most_likely(logits, max),
            Some(draw) => scratch.candidates.choose(logits, max, draw.shape, || unit_interval(draw.random.next_u64())),
        };
        let token = index.and_then(|index| u32::try_from(index).ok()).ok_or(SamplerError::NothingToChoose)?;
        if let Some(adjustments) = &mut self.adjustments {
            adjustments.add(token);
        }
        Ok(token)
    }
}

/// 1 / temperature, kept finite: beyond 1e30 every other token's weight is 0 already.
#[expect(clippy::cast_possible_truncation, reason = "the value is clamped to what an f32 holds")]
fn inverse(temperature: f64) -> f32 {
    (1.0 / temperature).clamp(0.0, 1e30) as f32
}

/// 53 random bits as a number in [0, 1).
#[expect(clippy::cast_precision_loss, reason = "53 bits are what an f64 holds exactly")]
fn unit_interval(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests;
