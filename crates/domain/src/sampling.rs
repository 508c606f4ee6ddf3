//! How the next token is chosen: the knobs of `api.md`, checked.

use std::collections::BTreeMap;

use crate::{LengthLimit, ModelDefaults, Refusal};

/// Starts the random choices of one generation. On a local model the same seed, prompt and parameters give the same text.
///
/// Non-negative and below 2^63, as OpenAI's API and every database's big integer hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seed(i64);

impl Seed {
    /// Checks a seed that a caller gave.
    pub fn new(seed: i64) -> Result<Self, Refusal> {
        if seed < 0 { Err(Refusal::field("seed", "must be between 0 and 9223372036854775807")) } else { Ok(Self(seed)) }
    }

    /// A seed from random bits. It stays below 2^53, so that a JavaScript client can read it and send it back unchanged.
    pub const fn from_random_bits(bits: u64) -> Self {
        Self((bits >> 11).cast_signed())
    }

    /// The seed of one of several texts that are made from one request: the first has this very seed, the others have seeds that follow
    /// from it, so that the whole request can be made again.
    ///
    /// The mixing function is SplitMix64's (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
    #[must_use]
    pub const fn of_choice(self, index: u32) -> Self {
        const GOLDEN_GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;
        if index == 0 {
            return self;
        }
        let state = self.0.cast_unsigned().wrapping_add(GOLDEN_GAMMA.wrapping_mul(index as u64));
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Self::from_random_bits(mixed ^ (mixed >> 31))
    }

    /// The number itself.
    pub const fn get(self) -> i64 {
        self.0
    }
}

/// Up to four strings any of which ends a text and is cut from it, also where one spans tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StopStrings(Vec<String>);

impl StopStrings {
    /// The most strings one request may give, as in OpenAI's API.
    pub const MAX_STRINGS: usize = 4;
    /// The longest a string may be. What might be its beginning is held back from a stream, so it must stay short.
    pub const MAX_CHARACTERS: usize = 256;

    /// Checks a list of stop strings.
    pub fn new(strings: Vec<String>) -> Result<Self, Refusal> {
        if strings.len() > Self::MAX_STRINGS {
            return Err(Refusal::field("stop", "may hold at most 4 strings"));
        }
        if strings.iter().any(|s| s.is_empty() || s.chars().count() > Self::MAX_CHARACTERS) {
            return Err(Refusal::field("stop", "must hold strings of 1 to 256 characters"));
        }
        Ok(Self(strings))
    }

    /// The strings, as they were given.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

/// What is added to the logits of single tokens before anything else, as in OpenAI's API.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogitBias(BTreeMap<u32, f64>);

impl LogitBias {
    /// The most tokens one request may name.
    pub const MAX_TOKENS: usize = 1024;

    /// Checks a list of token identifiers, each with −100 to 100.
    pub fn new(biases: BTreeMap<u32, f64>) -> Result<Self, Refusal> {
        if biases.len() > Self::MAX_TOKENS {
            return Err(Refusal::field("logit_bias", "may name at most 1024 tokens"));
        }
        if biases.values().any(|bias| !(-100.0..=100.0).contains(bias)) {
            return Err(Refusal::field("logit_bias", "must hold numbers between -100 and 100"));
        }
        Ok(Self(biases))
    }

    /// The biases, by token.
    pub const fn as_map(&self) -> &BTreeMap<u32, f64> {
        &self.0
    }
}

/// What a caller asked for; what is absent comes from the model's defaults.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SamplingRequest {
    /// Total tokens, prompt included, as Hugging Face counts them.
    pub max_length: Option<i64>,
    /// Tokens after the prompt. Not together with `max_length`.
    pub max_new_tokens: Option<i64>,
    /// See [`SamplingParameters::temperature`].
    pub temperature: Option<f64>,
    /// See [`SamplingParameters::top_p`].
    pub top_p: Option<f64>,
    /// See [`SamplingParameters::top_k`].
    pub top_k: Option<i64>,
    /// See [`SamplingParameters::min_p`].
    pub min_p: Option<f64>,
    /// See [`SamplingParameters::repetition_penalty`].
    pub repetition_penalty: Option<f64>,
    /// See [`SamplingParameters::presence_penalty`].
    pub presence_penalty: Option<f64>,
    /// See [`SamplingParameters::frequency_penalty`].
    pub frequency_penalty: Option<f64>,
    /// See [`LogitBias`].
    pub logit_bias: BTreeMap<u32, f64>,
    /// See [`StopStrings`].
    pub stop: Vec<String>,
    /// See [`Seed`].
    pub seed: Option<i64>,
}

/// How the next token is chosen. Every value is inside its range.
///
/// The order in which they act is Hugging Face's: penalties, temperature, `top_k`, `top_p`, `min_p`, then a draw.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingParameters {
    /// Where the text ends at the latest.
    pub length: LengthLimit,
    /// 0–2. 0 always takes the most likely token; 1 leaves the model's distribution as it is.
    pub temperature: f64,
    /// 0–1. The smallest set of most likely tokens whose probabilities reach this sum is kept (Holtzman et al., "The Curious Case of
    /// Neural Text Degeneration", 2020); at 0 that is the most likely token alone.
    pub top_p: f64,
    /// The most tokens to choose from; absent for all.
    pub top_k: Option<u32>,
    /// 0–1. Tokens less likely than this share of the most likely one are dropped (Nguyen et al., "Turning Up the Heat", 2024).
    pub min_p: f64,
    /// 0.1–10. Above 1 makes what already stands in the prompt or the text less likely (Keskar et al., "CTRL", 2019).
    pub repetition_penalty: f64,
    /// −2–2. Subtracted once from the logit of each token that the text already holds (OpenAI's definition).
    pub presence_penalty: f64,
    /// −2–2. Subtracted for each time the text already holds the token (OpenAI's definition).
    pub frequency_penalty: f64,
    /// What is added to the logits of single tokens.
    pub logit_bias: LogitBias,
    /// What ends the text.
    pub stop: StopStrings,
    /// Where the random choices start.
    pub seed: Seed,
}

impl SamplingParameters {
    /// Checks a request, filling what is absent from the model's defaults and the seed from `fresh_seed`.
    pub fn resolve(request: SamplingRequest, defaults: &ModelDefaults, fresh_seed: Seed) -> Result<Self, Refusal> {
        let length = LengthLimit::resolve(request.max_length, request.max_new_tokens, defaults.max_length)?;
        Ok(Self {
            length,
            temperature: checked_temperature(request.temperature.unwrap_or(defaults.temperature))?,
            top_p: checked_top_p(request.top_p.unwrap_or(defaults.top_p))?,
            top_k: request.top_k.map(checked_top_k).transpose()?.flatten(),
            min_p: in_range("min_p", request.min_p.unwrap_or(0.0), 0.0, 1.0)?,
            repetition_penalty: in_range("repetition_penalty", request.repetition_penalty.unwrap_or(1.0), 0.1, 10.0)?,
            presence_penalty: in_range("presence_penalty", request.presence_penalty.unwrap_or(0.0), -2.0, 2.0)?,
            frequency_penalty: in_range("frequency_penalty", request.frequency_penalty.unwrap_or(0.0), -2.0, 2.0)?,
            logit_bias: LogitBias::new(request.logit_bias)?,
            stop: StopStrings::new(request.stop)?,
            seed: request.seed.map(Seed::new).transpose()?.unwrap_or(fresh_seed),
        })
    }
}

/// `temperature`, if it is inside 0–2.
pub(crate) fn checked_temperature(temperature: f64) -> Result<f64, Refusal> {
    if (0.0..=2.0).contains(&temperature) { Ok(temperature) } else { Err(Refusal::TemperatureOutOfRange(temperature)) }
}

/// `top_p`, if it is inside 0–1.
pub(crate) fn checked_top_p(top_p: f64) -> Result<f64, Refusal> {
    if (0.0..=1.0).contains(&top_p) { Ok(top_p) } else { Err(Refusal::TopPOutOfRange(top_p)) }
}

/// 0 means "all", as in Hugging Face.
fn checked_top_k(top_k: i64) -> Result<Option<u32>, Refusal> {
    const MAX: i64 = 1_000_000;
    match top_k {
        0 => Ok(None),
        1..=MAX => Ok(u32::try_from(top_k).ok()),
        _ => Err(Refusal::field("top_k", format!("must be between 0 (all) and {MAX}, got {top_k}"))),
    }
}

fn in_range(field: &'static str, value: f64, min: f64, max: f64) -> Result<f64, Refusal> {
    if (min..=max).contains(&value) {
        Ok(value)
    } else {
        Err(Refusal::field(field, format!("must be between {min} and {max}, got {value}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(change: impl FnOnce(&mut SamplingRequest)) -> Result<SamplingParameters, Refusal> {
        let mut request = SamplingRequest::default();
        change(&mut request);
        SamplingParameters::resolve(request, &ModelDefaults::default(), Seed::from_random_bits(u64::MAX))
    }

    #[test]
    fn what_is_absent_comes_from_the_defaults() {
        let parameters = resolve(|_| {}).unwrap();
        let defaults = ModelDefaults::default();
        assert_eq!(parameters.length, LengthLimit::Total(defaults.max_length));
        assert_eq!((parameters.temperature, parameters.top_p), (defaults.temperature, defaults.top_p));
        assert_eq!(parameters.seed.get(), (1 << 53) - 1);
    }

    #[test]
    fn the_ends_of_every_range_are_legal_and_what_lies_beyond_is_not() {
        for temperature in [0.0, 2.0] {
            assert!(resolve(|r| r.temperature = Some(temperature)).is_ok());
        }
        for temperature in [-0.001, 2.001, f64::NAN, f64::INFINITY] {
            assert!(matches!(resolve(|r| r.temperature = Some(temperature)), Err(Refusal::TemperatureOutOfRange(_))));
        }
        for top_p in [0.0, 1.0] {
            assert!(resolve(|r| r.top_p = Some(top_p)).is_ok());
        }
        for top_p in [-0.001, 1.001, f64::NAN] {
            assert!(matches!(resolve(|r| r.top_p = Some(top_p)), Err(Refusal::TopPOutOfRange(_))));
        }
        assert!(resolve(|r| r.seed = Some(-1)).is_err());
        assert!(resolve(|r| r.top_k = Some(-1)).is_err());
        assert_eq!(resolve(|r| r.top_k = Some(0)).unwrap().top_k, None);
        assert!(resolve(|r| r.repetition_penalty = Some(0.0)).is_err());
    }

    #[test]
    fn the_seeds_of_several_choices_follow_from_one_and_differ() {
        let seed = Seed::new(42).unwrap();
        let seeds: Vec<Seed> = (0..8).map(|index| seed.of_choice(index)).collect();
        assert_eq!(seeds[0], seed);
        assert_eq!(seeds.iter().map(|seed| seed.get()).collect::<std::collections::HashSet<_>>().len(), 8);
        assert!(seeds.iter().all(|seed| Seed::new(seed.get()).is_ok()));
        assert_eq!(seed.of_choice(7), Seed::new(42).unwrap().of_choice(7));
        assert_ne!(Seed::new(43).unwrap().of_choice(1), seed.of_choice(1));
    }

    #[test]
    fn a_bias_is_a_small_number_for_a_few_tokens() {
        assert!(resolve(|r| r.logit_bias = BTreeMap::from([(7, -100.0), (8, 100.0)])).is_ok());
        assert!(resolve(|r| r.logit_bias = BTreeMap::from([(7, 100.5)])).is_err());
        assert!(resolve(|r| r.logit_bias = BTreeMap::from([(7, f64::NAN)])).is_err());
        assert!(resolve(|r| r.logit_bias = (0..1025).map(|token| (token, 1.0)).collect()).is_err());
    }

    #[test]
    fn at_most_four_stop_strings_and_none_of_them_empty() {
        assert!(resolve(|r| r.stop = vec!["a".into(); 4]).is_ok());
        assert!(resolve(|r| r.stop = vec!["a".into(); 5]).is_err());
        assert!(resolve(|r| r.stop = vec![String::new()]).is_err());
    }
}
