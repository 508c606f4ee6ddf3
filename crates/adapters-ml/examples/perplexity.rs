//! Measures how well the bundled model foretells the held-out tales at each precision, for `bench/engine.sh`.
//!
//! `perplexity [MODEL_FOLDER]` prints a JSON object: for each precision the perplexity on `tools/train_fairy_tales/validation.txt`, by the
//! method that `validation-perplexity.json` beside it describes, and `pytorch`, the value that is kept there for the bundled model.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a tool, not the server"
)]

use std::path::{Path, PathBuf};

use adapters_ml::text::model::{LoadedModel, ModelOptions, Precision, init_runtime};
use adapters_ml::text::step_model::StepModel;
use serde_json::{Value, json};
use tokenizers::Tokenizer;

/// The negative logarithm of the probability of each token of a chunk given those before it, on average, in nats.
fn negative_log_likelihood(model: &mut dyn StepModel, chunk: &[u32]) -> f64 {
    let logits = model.extend(0, 0, chunk, chunk.len()).expect("a step");
    let of_token = |(row, next): (&[f32], &u32)| {
        let largest = f64::from(row.iter().copied().fold(f32::MIN, f32::max));
        let sum: f64 = row.iter().map(|&logit| (f64::from(logit) - largest).exp()).sum();
        sum.ln() + largest - f64::from(row[*next as usize])
    };
    logits.rows().zip(&chunk[1..]).map(of_token).sum::<f64>() / (chunk.len() - 1) as f64
}

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = std::env::args().nth(1).map_or_else(|| root.join("models/fairy-tales"), PathBuf::from);
    let library = std::env::var_os("ORT_DYLIB_PATH")
        .map_or_else(|| root.join(".cache/onnxruntime/lib/libonnxruntime.so.1.31.1"), PathBuf::from);
    init_runtime(&library).expect("ONNX Runtime");
    let tools = root.join("tools/train_fairy_tales");
    let text = std::fs::read_to_string(tools.join("validation.txt")).expect("the held-out tales");
    let tokenizer = Tokenizer::from_file(folder.join("tokenizer.json")).expect("a tokenizer");
    let tokens = tokenizer.encode_fast(text, false).expect("tokens").get_ids().to_vec();
    let kept: Value = serde_json::from_slice(&std::fs::read(tools.join("validation-perplexity.json")).unwrap()).unwrap();
    let mut found = json!({ "pytorch": kept["perplexity"] });
    for (name, precision) in [("fp32", Precision::Fp32), ("int8", Precision::Int8), ("int4", Precision::Int4)] {
        let options = ModelOptions { precision, max_slots: 1, ..ModelOptions::default() };
        let mut model = LoadedModel::load(&folder, &options).expect("a model");
        let context = model.limits().context_length;
        assert!(context <= options.max_chunk, "a chunk must be read at once to have the logits of all its tokens");
        let means: Vec<f64> = tokens.chunks_exact(context).map(|chunk| negative_log_likelihood(&mut model, chunk)).collect();
        found[name] = json!((means.iter().sum::<f64>() / means.len() as f64).exp());
    }
    println!("{found}");
}
