//! In 8 bits a sequence's logits are its own: the same bits alone and among others, and close to those of 32-bit floats.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod model_support;

use adapters_ml::text::model::{ModelOptions, Precision};
use adapters_ml::text::step_model::StepModel;
use model_support::{difference, expected, extend_in_chunks, load, options};
use rstest::rstest;

fn bits(row: &[f32]) -> Vec<u32> {
    row.iter().map(|value| value.to_bits()).collect()
}

fn cosine(left: &[f32], right: &[f32]) -> f32 {
    let dot = |left: &[f32], right: &[f32]| left.iter().zip(right).map(|(left, right)| left * right).sum::<f32>();
    dot(left, right) / (dot(left, left) * dot(right, right)).sqrt()
}

#[rstest]
fn int8_stays_close_to_pytorch(
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
    let mut model = load(name, &options(Precision::Int8));
    for prompt in expected(name) {
        let rows = extend_in_chunks(&mut model, 0, &prompt.tokens, prompt.tokens.len());
        for (expected, &position) in prompt.logits.iter().zip(&prompt.positions) {
            let cosine = cosine(expected, &rows[position]);
            assert!(cosine > 0.95, "{name}: the cosine is {cosine} after position {position}");
        }
    }
}

#[rstest]
fn int4_resembles_pytorch(
    #[values("gpt2-odd-a", "gpt2-odd-b", "bundled", "llama-tiny", "llama-tiny-untied", "mistral-tiny", "qwen2-tiny")] name: &str,
) {
    let mut model = load(name, &options(Precision::Int4));
    let mut cosines = Vec::new();
    for prompt in expected(name) {
        let rows = extend_in_chunks(&mut model, 0, &prompt.tokens, prompt.tokens.len());
        cosines
            .extend(prompt.logits.iter().zip(&prompt.positions).map(|(expected, &position)| cosine(expected, &rows[position])));
    }
    cosines.sort_by(f32::total_cmp);
    // The random models' weights are large and their layers amplify what 4 bits lose; a wrong layout would leave no resemblance at all.
    let median = cosines[cosines.len() / 2];
    assert!(median > 0.8, "{name}: the median cosine is {median}, the range {} to {}", cosines[0], cosines[cosines.len() - 1]);
}

/// Decodes `steps` tokens in every slot at once, each slot fed with a sequence of its own, and answers the rows of the slot that is watched.
fn decode_among(
    model: &mut dyn StepModel,
    slots: usize,
    watched: usize,
    steps: usize,
    feed: impl Fn(usize, usize) -> u32,
) -> Vec<Vec<u32>> {
    let prompt = |slot: usize| (0..3 + slot % 5).map(|index| feed(slot, index)).collect::<Vec<_>>();
    for slot in 0..slots {
        model.extend(slot, 0, &prompt(slot), 0).unwrap();
    }
    (0..steps)
        .map(|step| {
            let positions: Vec<usize> = (0..slots).map(|slot| prompt(slot).len() + step).collect();
            let tokens: Vec<u32> = (0..slots).map(|slot| feed(slot, positions[slot])).collect();
            bits(model.decode(&tokens, &positions).unwrap().rows().nth(watched).unwrap())
        })
        .collect()
}

#[rstest]
fn a_sequence_has_the_same_bits_alone_and_among_fifteen_others(
    #[values("gpt2-odd-a", "gpt2-odd-b", "bundled")] name: &str,
    #[values(Precision::Int8, Precision::Int4, Precision::Fp32)] precision: Precision,
    #[values(1, 2)] intra_threads: usize,
) {
    let mut model = load(name, &ModelOptions { max_slots: 16, intra_threads, ..options(precision) });
    let vocabulary = u32::try_from(model.limits().vocabulary).unwrap();
    let token = |slot: usize, index: usize| u32::try_from(slot * 7919 + index * 31 + 5).unwrap() % vocabulary;
    let watched = 5;
    let alone = decode_among(&mut model, 1, 0, 12, |_, index| token(watched, index));
    // Slot 0 alone has a prompt of three tokens, slot 5 of the crowd too, so that both decode the same sequence.
    let among = decode_among(&mut model, 16, watched, 12, token);
    assert_eq!(alone, among);
}

#[rstest]
fn a_token_has_the_same_bits_read_with_others_alone_and_decoded_among_strangers(
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
    #[values(1, 2)] intra_threads: usize,
) {
    let mut model = load(name, &ModelOptions { intra_threads, ..options(Precision::Int8) });
    assert!(model.extend_matches_decode());
    for prompt in expected(name) {
        let tokens = &prompt.tokens;
        let whole: Vec<_> = extend_in_chunks(&mut model, 0, tokens, tokens.len()).iter().map(|row| bits(row)).collect();
        for chunk in [1, 2, 3, 7] {
            let pieces = extend_in_chunks(&mut model, 1, tokens, chunk);
            assert!(whole.iter().eq(&pieces.iter().map(|row| bits(row)).collect::<Vec<_>>()), "{name} in chunks of {chunk}");
        }
        // The others are elsewhere in the same text, so that each row of the batch sees another number of keys.
        let lengths = [tokens.len() / 2, tokens.len() / 3, 0].map(|length| length.min(tokens.len() - 1));
        for (slot, &length) in lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
            model.extend(slot, 0, &tokens[..length], 0).unwrap();
        }
        for step in 0..(tokens.len() - lengths[0]).min(6) {
            let positions = lengths.map(|length| length + step);
            let next = positions.map(|position| tokens[position]);
            let logits = model.decode(&next, &positions).unwrap();
            for (row, position) in logits.rows().zip(positions) {
                assert!(whole[position] == bits(row), "{name}: position {position} decoded");
            }
        }
    }
}

#[test]
fn other_precisions_do_not_claim_that_a_token_alone_has_the_same_bits() {
    for precision in [Precision::Fp32, Precision::Int4] {
        assert!(!load("gpt2-odd-a", &options(precision)).extend_matches_decode());
    }
}

#[rstest]
fn a_prompt_has_the_same_bits_whole_and_in_chunks_of_two_or_more(
    #[values("gpt2-odd-a", "bundled", "llama-tiny", "mistral-tiny", "qwen2-tiny")] name: &str,
) {
    let mut model = load(name, &options(Precision::Int8));
    for prompt in expected(name).into_iter().filter(|prompt| prompt.tokens.len() >= 8) {
        let tokens = &prompt.tokens[..prompt.tokens.len() / 8 * 8];
        let whole = extend_in_chunks(&mut model, 0, tokens, tokens.len());
        for chunk in [4, 2] {
            let pieces = extend_in_chunks(&mut model, 1, tokens, chunk);
            let worst = whole.iter().zip(&pieces).map(|(whole, piece)| difference(whole, piece)).fold(0.0, f32::max);
            assert_eq!(worst.to_bits(), 0, "{name} in chunks of {chunk} differs by {worst}");
        }
    }
}
