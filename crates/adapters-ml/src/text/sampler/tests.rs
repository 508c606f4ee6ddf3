use super::*;
use domain::{ModelDefaults, SamplingRequest, Seed};
use proptest::prelude::*;

fn parameters(change: impl FnOnce(&mut SamplingRequest)) -> SamplingParameters {
    let mut request = SamplingRequest { seed: Some(1), temperature: Some(1.0), top_p: Some(1.0), ..SamplingRequest::default() };
    change(&mut request);
    SamplingParameters::resolve(request, &ModelDefaults::default(), Seed::from_random_bits(0)).unwrap()
}

fn choices(parameters: &SamplingParameters, prompt: &[u32], logits: &[f32], count: usize) -> Vec<u32> {
    let mut sampler = Sampler::new(parameters, prompt);
    let mut scratch = SamplerScratch::default();
    (0..count).map(|_| sampler.choose(logits, &mut scratch).unwrap()).collect()
}

/// The probabilities by definition: sorts everything, in f64, as Hugging Face's processors do one after the other.
fn reference(logits: &[f32], parameters: &SamplingParameters) -> Vec<f64> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)));
    let max = f64::from(logits[order[0]]);
    let weight = |token: usize| ((f64::from(logits[token]) - max) / parameters.temperature).exp();
    order.truncate(parameters.top_k.map_or(usize::MAX, |k| k as usize));
    let total: f64 = order.iter().map(|token| weight(*token)).sum();
    let mut reached = 0.0;
    order.retain(|token| {
        let keep = reached < parameters.top_p * total || reached == 0.0;
        reached += weight(*token);
        keep
    });
    order.retain(|token| weight(*token) >= parameters.min_p);
    let total: f64 = order.iter().map(|token| weight(*token)).sum();
    let mut probabilities = vec![0.0; logits.len()];
    for token in order {
        probabilities[token] = weight(token) / total;
    }
    probabilities
}

fn varied_logits(count: u32) -> Vec<f32> {
    (0..count).map(|token| f32::from(u16::try_from(token * 7919 % 1009).unwrap()) / 100.0 - 5.0).collect()
}

#[test]
fn at_temperature_0_or_top_p_0_or_top_k_1_the_most_likely_token_is_taken_and_of_equal_ones_the_lowest() {
    let logits = [0.0, 3.0, 1.0, 3.0];
    for parameters in
        [parameters(|r| r.temperature = Some(0.0)), parameters(|r| r.top_p = Some(0.0)), parameters(|r| r.top_k = Some(1))]
    {
        assert_eq!(choices(&parameters, &[], &logits, 3), [1, 1, 1]);
    }
}

#[test]
fn the_same_seed_draws_the_same_tokens_and_another_seed_others() {
    let logits = varied_logits(3000);
    let draw = |seed| choices(&parameters(|r| (r.seed, r.temperature) = (Some(seed), Some(2.0))), &[], &logits, 50);
    assert_eq!(draw(5), draw(5));
    assert_ne!(draw(5), draw(6));
}

#[test]
fn draws_do_not_change_from_one_release_to_the_next() {
    let logits = varied_logits(3000);
    let drawn = choices(&parameters(|r| (r.seed, r.top_p) = (Some(42), Some(0.9))), &[], &logits, 6);
    assert_eq!(drawn, [284, 561, 2467, 1893, 33, 1649]);
}

#[test]
fn how_often_a_token_is_drawn_follows_its_probability() {
    let logits = [2.0, 1.0, 0.0, -1.0, f32::NEG_INFINITY, 1.5];
    for parameters in [
        parameters(|_| {}),
        parameters(|r| r.temperature = Some(0.5)),
        parameters(|r| r.top_k = Some(3)),
        parameters(|r| r.top_p = Some(0.8)),
        parameters(|r| r.min_p = Some(0.3)),
        parameters(|r| (r.top_k, r.top_p, r.min_p, r.temperature) = (Some(4), Some(0.95), Some(0.05), Some(1.7))),
    ] {
        let count = 20_000u16;
        let mut seen = vec![0.0; logits.len()];
        for token in choices(&parameters, &[], &logits, count.into()) {
            seen[token as usize] += 1.0 / f64::from(count);
        }
        for (seen, expected) in seen.iter().zip(reference(&logits, &parameters)) {
            assert!((seen - expected).abs() < 0.02 && (*seen > 0.0) == (expected > 0.0), "{seen} {expected} {parameters:?}");
        }
    }
}

#[test]
fn repetition_counts_the_prompt_too_and_the_other_penalties_only_the_text() {
    let logits = [1.0, 0.9, -0.1, -0.05];
    let greedy = |change: fn(&mut SamplingRequest)| {
        parameters(|r| {
            r.temperature = Some(0.0);
            change(r);
        })
    };
    assert_eq!(choices(&greedy(|r| r.repetition_penalty = Some(10.0)), &[0], &logits, 3), [1, 0, 0]);
    assert_eq!(choices(&greedy(|r| r.repetition_penalty = Some(10.0)), &[], &[-0.1, -0.2], 2), [0, 1]);
    assert_eq!(choices(&greedy(|r| r.presence_penalty = Some(0.2)), &[0], &logits, 4), [0, 1, 0, 0]);
    assert_eq!(choices(&greedy(|r| r.frequency_penalty = Some(0.2)), &[0], &logits, 4), [0, 1, 0, 1]);
}

#[test]
fn logits_that_are_no_numbers_are_an_error() {
    let mut sampler = Sampler::new(&parameters(|_| {}), &[]);
    let mut scratch = SamplerScratch::default();
    let mut choose = |logits: &[f32]| sampler.choose(logits, &mut scratch);
    assert_eq!(choose(&[1.0, f32::NAN, 2.0]), Err(SamplerError::NotFinite));
    assert_eq!(choose(&[[0.0; 8], [f32::NAN; 8]].concat()), Err(SamplerError::NotFinite));
    assert_eq!(choose(&[f32::INFINITY]), Err(SamplerError::NotFinite));
    assert_eq!(choose(&[f32::NEG_INFINITY; 3]), Err(SamplerError::NothingToChoose));
    assert_eq!(choose(&[]), Err(SamplerError::NothingToChoose));
}

#[test]
fn the_smallest_temperature_is_as_good_as_none() {
    assert_eq!(choices(&parameters(|r| r.temperature = Some(f64::MIN_POSITIVE)), &[], &[0.0, 1.0, 0.999], 20), [1; 20]);
}

proptest! {
    #[test]
    fn only_tokens_that_the_parameters_allow_are_drawn(
        seed in 0i64..1000,
        count in 1i64..700,
        temperature in 0.05f64..2.0,
        top_p in 0.01f64..=1.0,
        top_k in prop::option::of(1i64..300),
        min_p in 0.0f64..0.5,
    ) {
        let logits: Vec<f32> = (0..count).map(|i| f32::from(u16::try_from((i * 7919 + seed) % 997).unwrap()) / 50.0).collect();
        let parameters = parameters(|r| {
            (r.seed, r.temperature, r.top_p, r.top_k, r.min_p) = (Some(seed), Some(temperature), Some(top_p), top_k, Some(min_p));
        });
        let allowed = reference(&logits, &parameters);
        for token in choices(&parameters, &[], &logits, 20) {
            prop_assert!(allowed[token as usize] > 0.0, "token {} of {:?}", token, parameters);
        }
    }
}

#[test]
fn a_bias_is_added_before_the_penalties_and_counts_for_the_greedy_choice_too() {
    let biased = |bias: &[(u32, f64)], change: fn(&mut SamplingRequest)| {
        parameters(|r| {
            (r.temperature, r.logit_bias) = (Some(0.0), bias.iter().copied().collect());
            change(r);
        })
    };
    assert_eq!(choices(&biased(&[(2, 100.0)], |_| {}), &[], &[1.0, 0.9, -50.0], 2), [2, 2]);
    assert_eq!(choices(&biased(&[(0, -100.0)], |_| {}), &[], &[1.0, 0.9, -50.0], 2), [1, 1]);
    // 2 + 2 halved is less than 3; halved first, 1 + 2 would win by its number.
    assert_eq!(choices(&biased(&[(0, 2.0)], |r| r.repetition_penalty = Some(2.0)), &[0], &[2.0, 3.0], 1), [1]);
    let drawn = choices(&parameters(|r| r.logit_bias = [(1, -100.0)].into()), &[], &[0.0, 5.0, 0.0], 200);
    assert!(drawn.contains(&0) && drawn.contains(&2) && !drawn.contains(&1));
}
