//! What the tests of the model share: the runtime, the fixtures, and comparisons that say where two rows of logits differ.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::{Path, PathBuf};

use adapters_ml::text::model::{LoadedModel, ModelOptions, Precision, init_runtime};
use adapters_ml::text::step_model::StepModel;
use serde_json::Value;

/// Loads ONNX Runtime from `ORT_DYLIB_PATH`, or from where the project's script puts it.
pub(crate) fn runtime() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = std::env::var_os("ORT_DYLIB_PATH")
        .map_or_else(|| workspace.join(".cache/onnxruntime/lib/libonnxruntime.so.1.31.1"), PathBuf::from);
    init_runtime(&path).expect("ONNX Runtime's library: run the script that fetches it, or set ORT_DYLIB_PATH");
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The folder of the model whose expected values are in the fixture of this name.
pub(crate) fn model_folder(name: &str) -> PathBuf {
    if name == "bundled" { Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/fairy-tales") } else { fixture(name) }
}

pub(crate) fn options(precision: Precision) -> ModelOptions {
    ModelOptions { precision, max_slots: 4, intra_threads: 1, spin: false, ..ModelOptions::default() }
}

pub(crate) fn load(name: &str, options: &ModelOptions) -> LoadedModel {
    runtime();
    LoadedModel::load(&model_folder(name), options).expect("a fixture loads")
}

/// One prompt of a fixture, and what `PyTorch` answers to it.
pub(crate) struct Expected {
    pub(crate) tokens: Vec<u32>,
    pub(crate) positions: Vec<usize>,
    /// One row for each of `positions`.
    pub(crate) logits: Vec<Vec<f32>>,
    pub(crate) greedy: Vec<u32>,
}

pub(crate) fn expected(name: &str) -> Vec<Expected> {
    let folder = fixture(name);
    let json: Value = serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
    let file = std::fs::read(folder.join("expected.safetensors")).unwrap();
    let header_end = 8 + usize::try_from(u64::from_le_bytes(file[..8].try_into().unwrap())).unwrap();
    let header: Value = serde_json::from_slice(&file[8..header_end]).unwrap();
    let integers = |value: &Value| value.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect::<Vec<_>>();
    let tokens = |value: &Value| integers(value).into_iter().map(|n| u32::try_from(n).unwrap()).collect::<Vec<_>>();
    let prompt = |prompt: &Value| {
        let entry = &header[prompt["logits"].as_str().unwrap()];
        let offsets = integers(&entry["data_offsets"]);
        let vocabulary = usize::try_from(integers(&entry["shape"])[1]).unwrap();
        let bytes = &file[header_end + usize::try_from(offsets[0]).unwrap()..header_end + usize::try_from(offsets[1]).unwrap()];
        let values: Vec<f32> = bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
        Expected {
            tokens: tokens(&prompt["tokens"]),
            positions: integers(&prompt["logit_positions"]).into_iter().map(|n| usize::try_from(n).unwrap()).collect(),
            logits: values.chunks_exact(vocabulary).map(<[f32]>::to_vec).collect(),
            greedy: tokens(&prompt["greedy"]),
        }
    };
    json["prompts"].as_array().unwrap().iter().map(prompt).collect()
}

/// The largest difference between two rows.
pub(crate) fn difference(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len());
    left.iter().zip(right).map(|(left, right)| (left - right).abs()).fold(0.0, f32::max)
}

pub(crate) fn argmax(row: &[f32]) -> u32 {
    let (index, _) = row.iter().enumerate().max_by(|left, right| left.1.total_cmp(right.1)).unwrap();
    u32::try_from(index).unwrap()
}

/// Reads `tokens` in chunks and answers the logits after every one of them.
pub(crate) fn extend_in_chunks(model: &mut dyn StepModel, slot: usize, tokens: &[u32], chunk: usize) -> Vec<Vec<f32>> {
    let mut rows = Vec::new();
    for (index, part) in tokens.chunks(chunk).enumerate() {
        let logits = model.extend(slot, index * chunk, part, part.len()).unwrap();
        rows.extend(logits.rows().map(<[f32]>::to_vec));
    }
    rows
}
