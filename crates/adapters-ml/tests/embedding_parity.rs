//! The mean of the hidden states is what `PyTorch` computes, however its text is cut up, and reading them changes no text.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod model_support;

use adapters_ml::text::model::{LoadedModel, ModelOptions, Precision};
use adapters_ml::text::step_model::StepModel;
use model_support::{difference, expected, fixture, load, options};
use rstest::rstest;
use serde_json::Value;

/// What 32-bit sums in another order may differ by. No feature of a vector of length 1 is beyond 1.
const TOLERANCE: f32 = 1e-5;

/// Texts of a model, in tokens, and what `PyTorch` makes of each.
fn expected_embeddings(name: &str) -> Vec<(Vec<u32>, Vec<f32>)> {
    let json: Value = serde_json::from_slice(&std::fs::read(fixture("embeddings").join("expected.json")).unwrap()).unwrap();
    let entries = json["models"][name].as_array().unwrap();
    let read = |entry: &Value| {
        let of = |name: &str| serde_json::from_value(entry[name].clone());
        (of("tokens").unwrap(), serde_json::from_value(entry["embedding"].clone()).unwrap())
    };
    entries.iter().map(read).collect()
}

fn sums(model: &mut LoadedModel, slot: usize, tokens: &[u32], chunk: usize) -> Vec<f64> {
    let mut sums = vec![0.0; model.limits().width];
    for (index, part) in tokens.chunks(chunk).enumerate() {
        model.add_hidden_states(slot, index * chunk, part, &mut sums).unwrap();
    }
    sums
}

#[expect(clippy::cast_possible_truncation, reason = "what is told are 32-bit numbers")]
fn normalised(sums: &[f64]) -> Vec<f32> {
    let length = sums.iter().map(|sum| sum * sum).sum::<f64>().sqrt();
    sums.iter().map(|sum| (sum / length) as f32).collect()
}

const MODELS: [&str; 8] =
    ["gpt2-odd-a", "gpt2-odd-b", "gpt2-distilled", "bundled", "llama-tiny", "llama-tiny-untied", "mistral-tiny", "qwen2-tiny"];

#[test]
fn the_mean_of_the_hidden_states_is_that_of_pytorch_in_one_piece_and_in_chunks() {
    for name in MODELS {
        let mut model = load(name, &options(Precision::Fp32));
        for (tokens, embedding) in expected_embeddings(name) {
            for chunk in [tokens.len(), 7, 1] {
                let distance = difference(&embedding, &normalised(&sums(&mut model, 1, &tokens, chunk)));
                assert!(distance < TOLERANCE, "{name}, {} tokens in chunks of {chunk}: off by {distance}", tokens.len());
            }
        }
    }
}

#[test]
fn in_eight_bits_it_points_the_same_way() {
    for name in MODELS {
        let mut model = load(name, &options(Precision::Int8));
        for (tokens, embedding) in expected_embeddings(name) {
            let found = normalised(&sums(&mut model, 1, &tokens, tokens.len()));
            let cosine: f32 = found.iter().zip(&embedding).map(|(a, b)| a * b).sum();
            assert!(cosine > 0.995, "{name}, {} tokens: cosine {cosine}", tokens.len());
        }
    }
}

#[rstest]
fn where_a_text_is_cut_does_not_change_a_bit(
    #[values("gpt2-odd-a", "llama-tiny", "mistral-tiny", "bundled")] name: &str,
    #[values(Precision::Fp32, Precision::Int8, Precision::Int4)] precision: Precision,
) {
    // The model cuts by itself where a call is longer than a chunk may be.
    let mut in_short_chunks = load(name, &ModelOptions { max_chunk: 8, ..options(precision) });
    let mut model = load(name, &options(precision));
    for (tokens, _) in expected_embeddings(name).into_iter().filter(|(tokens, _)| tokens.len() % 4 != 1) {
        let whole = sums(&mut model, 0, &tokens, tokens.len());
        assert_eq!(sums(&mut model, 2, &tokens, 4), whole);
        assert_eq!(sums(&mut in_short_chunks, 0, &tokens, tokens.len()), whole);
    }
}

#[rstest]
fn reading_hidden_states_leaves_the_keys_and_values_that_reading_a_prompt_leaves(
    #[values("gpt2-odd-a", "llama-tiny", "bundled")] name: &str,
    #[values(Precision::Fp32, Precision::Int8)] precision: Precision,
) {
    let mut model = load(name, &options(precision));
    for prompt in expected(name) {
        model.extend(0, 0, &prompt.tokens, 0).unwrap();
        sums(&mut model, 3, &prompt.tokens, prompt.tokens.len());
        let next = &prompt.greedy[..prompt.greedy.len().min(3)];
        let [read, embedded] = [0, 3].map(|slot| {
            let logits = model.extend(slot, prompt.tokens.len(), next, next.len()).unwrap();
            logits.rows().flatten().map(|logit| logit.to_bits()).collect::<Vec<_>>()
        });
        assert_eq!(embedded, read);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut model = load("gpt2-odd-a", &options(Precision::Fp32));
    let (width, context_length) = (model.limits().width, model.limits().context_length);
    assert!(model.add_hidden_states(0, 0, &[1, 2], &mut vec![0.0; width - 1]).is_err());
    assert!(model.add_hidden_states(0, context_length - 1, &[1, 2], &mut vec![0.0; width]).is_err());
    assert!(model.add_hidden_states(0, 0, &[], &mut vec![0.0; width]).is_err());
    assert!(model.add_hidden_states(9, 0, &[1, 2], &mut vec![0.0; width]).is_err());
}
