//! The model computes what `PyTorch` computes, however its input is cut up and whoever shares the step.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod model_support;

use adapters_ml::text::model::{LoadedModel, Precision};
use adapters_ml::text::step_model::StepModel;
use model_support::{Expected, argmax, difference, expected, extend_in_chunks, load, options};
use rstest::rstest;

/// What 32-bit sums in another order may differ by.
const TOLERANCE: f32 = 1e-4;

fn assert_close(prompt: &Expected, rows: &[Vec<f32>], how: &str) {
    for (expected, &position) in prompt.logits.iter().zip(&prompt.positions) {
        let distance = difference(expected, &rows[position]);
        assert!(distance < TOLERANCE, "{how}: the logits after position {position} differ by {distance}");
    }
}

fn greedy(model: &mut LoadedModel, slot: usize, prompt: &Expected) -> Vec<u32> {
    let mut next = argmax(model.extend(slot, 0, &prompt.tokens, 1).unwrap().rows().next().unwrap());
    let mut answer = vec![next];
    while answer.len() < prompt.greedy.len() {
        let position = prompt.tokens.len() + answer.len() - 1;
        next = argmax(model.extend(slot, position, &[next], 1).unwrap().rows().next().unwrap());
        answer.push(next);
    }
    answer
}

#[rstest]
fn logits_are_those_of_pytorch_in_one_piece_in_chunks_and_token_by_token(
    #[values(
        "gpt2-odd-a",
        "gpt2-odd-b",
        "gpt2-distilled",
        "bundled",
        "llama-tiny",
        "llama-tiny-untied",
        "mistral-tiny",
        "qwen2-tiny"
    )]
    name: &str,
) {
    let mut model = load(name, &options(Precision::Fp32));
    for prompt in expected(name) {
        for chunk in [prompt.tokens.len(), 7, 1] {
            let rows = extend_in_chunks(&mut model, 1, &prompt.tokens, chunk);
            assert_close(&prompt, &rows, &format!("{name} in chunks of {chunk}"));
        }
    }
}

#[rstest]
fn the_greedy_continuation_is_that_of_pytorch(
    #[values(
        "gpt2-odd-a",
        "gpt2-odd-b",
        "gpt2-distilled",
        "bundled",
        "llama-tiny",
        "llama-tiny-untied",
        "mistral-tiny",
        "qwen2-tiny"
    )]
    name: &str,
) {
    let mut model = load(name, &options(Precision::Fp32));
    for prompt in expected(name) {
        assert_eq!(greedy(&mut model, 2, &prompt), prompt.greedy);
    }
}

#[rstest]
fn sequences_of_different_lengths_decode_together_as_they_would_alone(
    #[values(
        "gpt2-odd-a",
        "gpt2-odd-b",
        "gpt2-distilled",
        "bundled",
        "llama-tiny",
        "llama-tiny-untied",
        "mistral-tiny",
        "qwen2-tiny"
    )]
    name: &str,
) {
    let mut model = load(name, &options(Precision::Fp32));
    let mut prompts = expected(name);
    prompts.truncate(4);
    for (slot, prompt) in prompts.iter().enumerate() {
        model.extend(slot, 0, &prompt.tokens, 0).unwrap();
    }
    for step in 0..prompts.iter().map(|prompt| prompt.greedy.len()).min().unwrap() - 1 {
        let tokens: Vec<u32> = prompts.iter().map(|prompt| prompt.greedy[step]).collect();
        let positions: Vec<usize> = prompts.iter().map(|prompt| prompt.tokens.len() + step).collect();
        let logits = model.decode(&tokens, &positions).unwrap();
        for (row, prompt) in logits.rows().zip(&prompts) {
            assert_eq!(argmax(row), prompt.greedy[step + 1]);
        }
    }
}

#[rstest]
fn a_copied_slot_continues_as_its_source_does(
    #[values("gpt2-odd-a", "bundled", "llama-tiny", "mistral-tiny", "qwen2-tiny")] name: &str,
    #[values(Precision::Fp32, Precision::Int8, Precision::Int4)] precision: Precision,
) {
    let mut model = load(name, &options(precision));
    for prompt in expected(name) {
        // What another sequence left in the slot must not show.
        model.extend(3, 0, &vec![1; prompt.tokens.len() + 5], 0).unwrap();
        model.extend(0, 0, &prompt.tokens, 0).unwrap();
        model.copy_slot(0, 3, prompt.tokens.len()).unwrap();
        let next = &prompt.greedy[..prompt.greedy.len().min(3)];
        let [original, copied] = [0, 3].map(|slot| {
            let logits = model.extend(slot, prompt.tokens.len(), next, next.len()).unwrap();
            logits.rows().flatten().map(|logit| logit.to_bits()).collect::<Vec<_>>()
        });
        assert_eq!(copied, original);
    }
}
