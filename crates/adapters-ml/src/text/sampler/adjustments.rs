//! Changes the logits of single tokens before one is chosen: what the request adds to them, and what makes words said already less likely.

use std::collections::{HashMap, HashSet};

use domain::SamplingParameters;

/// The adjustments of one sequence, and the tokens they apply to. Only these tokens are touched.
#[derive(Debug)]
pub(super) struct Adjustments {
    /// What is added, by token, before anything else.
    bias: Vec<(u32, f32)>,
    repetition: f32,
    presence: f32,
    frequency: f32,
    /// Tokens of prompt and text, for `repetition`; empty where it does nothing.
    seen: HashSet<u32>,
    /// How often the text, without the prompt, holds each token.
    counts: HashMap<u32, f32>,
}

impl Adjustments {
    /// The adjustments that a request asks for, or `None` where they change nothing.
    #[expect(clippy::cast_possible_truncation, reason = "the values lie between -100 and 100; logits are f32")]
    pub(super) fn new(parameters: &SamplingParameters, prompt: &[u32]) -> Option<Self> {
        let bias: Vec<(u32, f32)> = parameters.logit_bias.as_map().iter().map(|(token, bias)| (*token, *bias as f32)).collect();
        let repetition = parameters.repetition_penalty as f32;
        let presence = parameters.presence_penalty as f32;
        let frequency = parameters.frequency_penalty as f32;
        let repeats = (repetition - 1.0).abs() > 0.0;
        let seen = if repeats { prompt.iter().copied().collect() } else { HashSet::new() };
        let counts_matter = presence.abs() > 0.0 || frequency.abs() > 0.0;
        let any = repeats || counts_matter || !bias.is_empty();
        any.then(|| Self { bias, repetition, presence, frequency, seen, counts: HashMap::new() })
    }

    /// The logits after the adjustments, written to `room`.
    ///
    /// The bias is added first (OpenAI's definition). Repetition divides a positive logit and multiplies a negative one (Keskar et al.,
    /// "CTRL", 2019, as in Hugging Face's `RepetitionPenaltyLogitsProcessor`); presence and frequency are subtracted (OpenAI's
    /// definition).
    pub(super) fn apply<'a>(&self, logits: &[f32], room: &'a mut Vec<f32>) -> &'a [f32] {
        room.clear();
        room.extend_from_slice(logits);
        for (token, bias) in &self.bias {
            if let Some(logit) = room.get_mut(*token as usize) {
                *logit += bias;
            }
        }
        for token in &self.seen {
            if let Some(logit) = room.get_mut(*token as usize) {
                *logit = if *logit < 0.0 { *logit * self.repetition } else { *logit / self.repetition };
            }
        }
        for (token, count) in &self.counts {
            if let Some(logit) = room.get_mut(*token as usize) {
                *logit -= count * self.frequency + self.presence;
            }
        }
        room
    }

    /// The text holds one more token.
    pub(super) fn add(&mut self, token: u32) {
        if (self.repetition - 1.0).abs() > 0.0 {
            self.seen.insert(token);
        }
        *self.counts.entry(token).or_default() += 1.0;
    }
}
