//! How well the bundled model foretells the held-out tales, measured as `tools/train_fairy_tales/perplexity.py` measures it with `PyTorch`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod model_support;

use std::path::Path;

use adapters_ml::text::model::{ModelOptions, Precision};
use adapters_ml::text::step_model::StepModel;
use model_support::{load, model_folder, options};
use rstest::rstest;
use serde_json::Value;
use tokenizers::Tokenizer;

/// Chunks of the text that are read, of 112: enough to see a mistake.
const CHUNKS: usize = 12;

fn tools() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/train_fairy_tales")
}

/// The negative logarithm of the probability of each token of a chunk given those before it, on average, in nats.
fn negative_log_likelihood(model: &mut dyn StepModel, chunk: &[u32]) -> f64 {
    let logits = model.extend(0, 0, chunk, chunk.len()).unwrap();
    let of_token = |(row, next): (&[f32], &u32)| {
        let largest = f64::from(row.iter().copied().fold(f32::MIN, f32::max));
        let sum: f64 = row.iter().map(|&logit| (f64::from(logit) - largest).exp()).sum();
        sum.ln() + largest - f64::from(row[usize::try_from(*next).unwrap()])
    };
    logits.rows().zip(&chunk[1..]).map(of_token).sum::<f64>() / f64::from(u32::try_from(chunk.len() - 1).unwrap())
}

#[rstest]
#[case(Precision::Fp32, 1e-4, 1e-3)]
#[case(Precision::Int8, 0.004, 0.02)]
#[case(Precision::Int4, 0.03, 0.1)]
fn the_bundled_model_foretells_held_out_tales_as_it_does_in_pytorch(
    #[case] precision: Precision,
    #[case] allowed_on_average: f64,
    #[case] allowed_in_a_chunk: f64,
) {
    let text = std::fs::read_to_string(tools().join("validation.txt")).unwrap();
    let reference: Value = serde_json::from_slice(&std::fs::read(tools().join("validation-perplexity.json")).unwrap()).unwrap();
    let tokenizer = Tokenizer::from_file(model_folder("bundled").join("tokenizer.json")).unwrap();
    let tokens = tokenizer.encode_fast(text, false).unwrap().get_ids().to_vec();
    let context = usize::try_from(reference["context"].as_u64().unwrap()).unwrap();
    let mut model = load("bundled", &ModelOptions { max_slots: 1, max_chunk: context, ..options(precision) });
    let mut sum = 0.0;
    for (index, chunk) in tokens.chunks_exact(context).take(CHUNKS).enumerate() {
        let expected = reference["negative_log_likelihood_of_chunks"][index].as_f64().unwrap();
        let difference = negative_log_likelihood(&mut model, chunk) - expected;
        assert!(difference.abs() < allowed_in_a_chunk, "{precision:?}: chunk {index} is off by {difference} nats a token");
        sum += difference;
    }
    let average = sum / f64::from(u32::try_from(CHUNKS).unwrap());
    println!("{precision:?}: {average:+.5} nats a token");
    assert!(average.abs() < allowed_on_average, "{precision:?}: off by {average} nats a token");
}
