//! A folder from a stranger either becomes a model or is refused with a line that says what is wrong with it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod model_support;

use std::path::Path;

use adapters_ml::text::model::{LoadError, LoadedModel, ModelOptions, Precision};
use adapters_ml::text::step_model::StepModel;
use model_support::{fixture, load, model_folder, options, runtime};
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A copy of a fixture's model that may be damaged.
fn copy(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(fixture(name)).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    folder
}

fn change_config(folder: &Path, field: &str, value: Value) {
    let path = folder.join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config[field] = value;
    std::fs::write(path, config.to_string()).unwrap();
}

fn refusal(folder: &Path) -> LoadError {
    runtime();
    match LoadedModel::load(folder, &options(Precision::Fp32)) {
        Ok(_) => panic!("{} was loaded", folder.display()),
        Err(error) => error,
    }
}

#[test]
fn a_foreign_family_is_refused_by_name_before_its_weights_are_opened() {
    let folder = copy("gpt2-odd-a");
    change_config(folder.path(), "model_type", json!("mamba"));
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    let error = refusal(folder.path());
    assert!(matches!(&error, LoadError::UnsupportedFamily { model_type, .. } if model_type == "mamba"), "{error}");
    assert!(error.to_string().contains("supported: gpt2, llama, mistral, qwen2"), "{error}");
}

#[rstest]
#[case("gpt2-odd-a", "n_head", json!(5), "n_head: 5 does not divide n_embd, which is 48")]
#[case("gpt2-odd-a", "n_layer", json!(0), "n_layer: is 0; a whole number from 1 to 512 is allowed")]
#[case("gpt2-odd-a", "n_embd", json!(1e18), "n_embd: is 1e+18; a whole number")]
#[case("gpt2-odd-a", "n_embd", json!("48"), "n_embd: is \"48\"; a whole number")]
#[case("gpt2-odd-a", "vocab_size", json!(-1), "vocab_size: is -1; a whole number")]
#[case("gpt2-odd-a", "vocab_size", Value::Null, "vocab_size: is missing")]
#[case("gpt2-odd-a", "activation_function", json!("swiglu"), "activation_function: \"swiglu\" is not supported")]
#[case("gpt2-odd-a", "layer_norm_epsilon", json!(7), "layer_norm_epsilon: is 7; a number from")]
#[case("gpt2-odd-a", "add_cross_attention", json!(true), "add_cross_attention: only false is supported")]
#[case("llama-tiny", "num_key_value_heads", json!(3), "num_key_value_heads: 3 does not divide num_attention_heads, which is 4")]
#[case("llama-tiny", "head_dim", json!(11), "head_dim: is 11; an even number is supported")]
#[case("llama-tiny", "hidden_act", json!("gelu"), "hidden_act: \"gelu\" is not supported")]
#[case("llama-tiny", "rope_scaling", json!({"rope_type": "yarn"}), "rope_type: \"yarn\" is not supported")]
#[case("llama-tiny", "rope_scaling", json!(3), "rope_scaling: must be an object")]
#[case("qwen2-tiny", "use_sliding_window", json!(true), "use_sliding_window: only false is supported")]
fn a_configuration_is_refused_by_file_and_field(
    #[case] model: &str,
    #[case] field: &str,
    #[case] value: Value,
    #[case] expected: &str,
) {
    let folder = copy(model);
    change_config(folder.path(), field, value);
    let error = refusal(folder.path()).to_string();
    assert!(error.contains(expected) && error.contains("config.json"), "{error:?} does not say {expected:?}");
}

#[rstest]
#[case("gpt2-odd-a", "n_layer", json!(3), "tensor h.2.ln_1.weight: is missing; it should have shape [48]")]
#[case("gpt2-odd-a", "vocab_size", json!(212), "tensor wte.weight: has shape [211, 48], config.json demands [212, 48]")]
#[case("gpt2-odd-a", "n_inner", json!(100), "tensor h.0.mlp.c_fc.weight: has shape [48, 192], config.json demands [48, 100]")]
#[case("llama-tiny", "attention_bias", json!(true), "tensor model.layers.0.self_attn.q_proj.bias: is missing")]
#[case("llama-tiny", "tie_word_embeddings", json!(false), "tensor lm_head.weight: is missing")]
fn weights_that_do_not_match_the_configuration_are_refused_by_tensor(
    #[case] model: &str,
    #[case] field: &str,
    #[case] value: Value,
    #[case] expected: &str,
) {
    let folder = copy(model);
    change_config(folder.path(), field, value);
    let error = refusal(folder.path()).to_string();
    assert!(error.contains(expected), "{error:?} does not say {expected:?}");
}

#[test]
fn a_file_that_is_missing_or_cut_short_is_refused_by_name() {
    let folder = copy("llama-tiny-untied");
    let part = folder.path().join("model-00002-of-00003.safetensors");
    let bytes = std::fs::read(&part).unwrap();
    std::fs::write(&part, &bytes[..bytes.len() - 1]).unwrap();
    let error = refusal(folder.path()).to_string();
    assert!(error.contains("model-00002-of-00003.safetensors"), "{error}");
    std::fs::remove_file(&part).unwrap();
    let error = refusal(folder.path());
    assert!(matches!(&error, LoadError::Unreadable { path, .. } if *path == part), "{error}");
}

#[test]
fn weights_that_are_not_numbers_are_refused_by_tensor() {
    let folder = copy("gpt2-odd-a");
    let path = folder.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let error = refusal(folder.path()).to_string();
    assert!(error.contains("has elements that are not finite numbers"), "{error}");
}

#[test]
fn a_model_that_does_not_fit_is_refused_with_the_sum() {
    runtime();
    let tight = ModelOptions { memory_bytes: 100_000, ..options(Precision::Fp32) };
    let error = LoadedModel::load(&model_folder("bundled"), &tight).err().expect("it does not fit");
    assert!(matches!(error, LoadError::DoesNotFit { limit_bytes: 100_000, .. }), "{error}");
}

#[test]
fn short_memory_gives_fewer_slots_and_the_model_still_computes() {
    let whole = load("llama-tiny", &ModelOptions { max_slots: 64, ..options(Precision::Fp32) });
    assert_eq!(whole.limits().slots, 64);
    let memory_bytes = whole.memory().total_bytes() - whole.memory().cache_bytes / 2;
    let mut half = load("llama-tiny", &ModelOptions { max_slots: 64, memory_bytes, ..options(Precision::Fp32) });
    assert_eq!(half.limits().slots, 32);
    assert_eq!(half.extend(31, 0, &[1, 2, 3], 1).unwrap().rows().count(), 1);
}

#[test]
fn steps_that_do_not_fit_are_refused_and_leave_the_model_usable() {
    let mut model = load("gpt2-odd-a", &options(Precision::Fp32));
    let limits = model.limits();
    let full = vec![1; limits.context_length];
    assert!(model.extend(limits.slots, 0, &[1], 1).is_err(), "no such slot");
    assert!(model.extend(0, 1, &full, 1).is_err(), "one token too many");
    assert!(model.extend(0, usize::MAX, &[1, 2], 1).is_err(), "a position beyond counting");
    assert!(model.extend(0, 0, &[], 0).is_err(), "nothing to read");
    assert!(model.extend(0, 0, &[1], 2).is_err(), "more logits than tokens");
    assert!(model.extend(0, 0, &[u32::MAX], 1).is_err(), "no such token");
    assert!(model.decode(&[1, 2], &[0]).is_err(), "a position is missing");
    assert!(model.decode(&[1], &[limits.context_length]).is_err(), "the slot is full");
    assert!(model.decode(&vec![1; limits.slots + 1], &vec![0; limits.slots + 1]).is_err(), "too many slots");
    assert!(model.copy_slot(0, limits.slots, 1).is_err(), "no such slot");
    assert!(model.copy_slot(0, 1, limits.context_length + 1).is_err(), "too many tokens");
    assert_eq!(model.extend(0, 0, &full, 1).unwrap().rows().count(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_damaged_folder_is_refused_or_loads_and_never_ends_the_process(place in 0_usize..3_000, byte: u8, cut in 0_usize..200_000, of_config: bool) {
        let folder = copy("qwen2-tiny");
        let path = folder.path().join(if of_config { "config.json" } else { "model.safetensors" });
        let mut bytes = std::fs::read(&path).unwrap();
        let place = place % bytes.len();
        bytes[place] = byte;
        bytes.truncate(cut.max(1));
        std::fs::write(&path, bytes).unwrap();
        runtime();
        let limited = ModelOptions { memory_bytes: 64 << 20, ..options(Precision::Int8) };
        if let Ok(mut model) = LoadedModel::load(folder.path(), &limited) {
            prop_assert!(model.extend(0, 0, &[0], 1).is_ok());
        }
    }
}
