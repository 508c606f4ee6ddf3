//! How likely tokens were by the model's own distribution: the softmax of its logits, before anything is added, divided or cut.

use super::SamplerScratch;

/// Natural logarithms of probabilities.
#[derive(Debug, Clone, PartialEq)]
pub struct Logprobs {
    /// The chosen token's.
    pub chosen: f32,
    /// The likeliest tokens', the likeliest first; of equally likely ones the lowest.
    pub top: Vec<(u32, f32)>,
}

/// The probabilities of `chosen` and of the `top` likeliest tokens. `None` where the logits are no distribution, or the token is none
/// of them.
///
/// One more survey of the vocabulary, in the same vector instructions as a draw: the bits depend on the logits alone.
pub fn logprobs(logits: &[f32], chosen: u32, top: usize, scratch: &mut SamplerScratch) -> Option<Logprobs> {
    let candidates = &mut scratch.candidates;
    let max = candidates.survey(logits).filter(|max| max.is_finite())?;
    let log_sum = candidates.log_sum_of_weights(logits, max);
    #[expect(clippy::cast_possible_truncation, reason = "what is reported has the precision of the logits")]
    let logprob = |logit: f32| (f64::from(logit - max) - log_sum) as f32;
    let chosen = logprob(*logits.get(chosen as usize)?);
    let likeliest = candidates.likeliest(logits, top.min(logits.len()));
    let top = likeliest.filter(|(_, logit)| logit.is_finite()).map(|(token, logit)| (token, logprob(logit))).collect();
    Some(Logprobs { chosen, top })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_the_logarithms_of_the_softmax() {
        let logits: Vec<f32> =
            (0..1000_u32).map(|token| f32::from(u16::try_from(token * 7919 % 997).unwrap()) / 60.0 - 8.0).collect();
        let sum: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
        let exact = |token: usize| f64::from(logits[token]) - sum.ln();
        let found = logprobs(&logits, 17, 5, &mut SamplerScratch::default()).unwrap();
        assert!((f64::from(found.chosen) - exact(17)).abs() < 1e-5);
        let mut order: Vec<usize> = (0..1000).collect();
        order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)));
        assert_eq!(found.top.iter().map(|(token, _)| *token as usize).collect::<Vec<_>>(), order[..5]);
        assert!(found.top.iter().all(|(token, logprob)| (f64::from(*logprob) - exact(*token as usize)).abs() < 1e-5));
    }

    #[test]
    fn a_certain_token_has_a_logarithm_of_zero_and_an_impossible_one_is_no_alternative() {
        let logits = [f32::NEG_INFINITY, 900.0, -900.0, f32::NEG_INFINITY];
        let found = logprobs(&logits, 1, 4, &mut SamplerScratch::default()).unwrap();
        assert_eq!(found, Logprobs { chosen: 0.0, top: vec![(1, 0.0), (2, -1800.0)] });
        assert_eq!(logprobs(&logits, 1, 0, &mut SamplerScratch::default()).unwrap().top, []);
        assert_eq!(logprobs(&logits, 4, 1, &mut SamplerScratch::default()), None);
        assert_eq!(logprobs(&[f32::NAN; 3], 0, 1, &mut SamplerScratch::default()), None);
    }
}
