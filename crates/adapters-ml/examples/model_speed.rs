//! Measures a model: load time, memory, tokens a second.
//!
//! `cargo run --release -p adapters-ml --example model_speed -- FOLDER [fp32|int8|int4] [threads] [rounds] [prompt tokens]`

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a tool, not the server"
)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use adapters_ml::text::model::{LoadedModel, ModelOptions, Precision, init_runtime};
use adapters_ml::text::step_model::StepModel;

fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default() / 1024
    };
    format!("{} MB resident (anonymous {}, file {}, peak {})", field("VmRSS"), field("RssAnon"), field("RssFile"), field("VmHWM"))
}

/// Processor time of all threads so far. On a machine that others use too, it says more than the clock.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) / 100.0
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().expect("a folder"));
    let precision = match arguments.next().as_deref() {
        Some("fp32") => Precision::Fp32,
        Some("int4") => Precision::Int4,
        _ => Precision::Int8,
    };
    let intra_threads = arguments.next().map_or(0, |threads| threads.parse().expect("a number of threads"));
    let rounds: usize = arguments.next().map_or(3, |rounds| rounds.parse().expect("a number of rounds"));
    let prompt_tokens: u32 = arguments.next().map_or(32, |tokens| tokens.parse().expect("a number of tokens"));
    let library = std::env::var_os("ORT_DYLIB_PATH").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/onnxruntime/lib/libonnxruntime.so.1.31.1"),
        PathBuf::from,
    );
    init_runtime(&library).expect("ONNX Runtime");
    println!("before: {}", resident());
    let began = Instant::now();
    let spin = std::env::var_os("SPIN").is_some();
    let mut model =
        LoadedModel::load(&folder, &ModelOptions { precision, intra_threads, spin, ..ModelOptions::default() }).expect("a model");
    println!("loaded in {:?}: {} {:?}", began.elapsed(), resident(), model.memory());
    let limits = model.limits();
    let vocabulary = u32::try_from(limits.vocabulary).unwrap();
    let prompt: Vec<u32> = (0..prompt_tokens).map(|index| index * 97 % vocabulary).collect();
    for slot in 0..16 {
        model.extend(slot, 0, &prompt, 1).unwrap();
    }
    for round in 0..rounds {
        for (streams, steps) in [(1, 96), (16, 32)] {
            let mut tokens = vec![1_u32; streams];
            let (began, processor) = (Instant::now(), processor_seconds());
            for step in 0..steps {
                let positions = vec![prompt.len() + step; streams];
                let logits = model.decode(&tokens, &positions).unwrap();
                for (token, row) in tokens.iter_mut().zip(logits.rows()) {
                    *token = row[0].to_bits() % vocabulary;
                }
            }
            let seconds = began.elapsed().as_secs_f64();
            let processor = (processor_seconds() - processor) * 1e3 / steps as f64;
            let rate = (streams * steps) as f64 / seconds;
            let step = seconds * 1e3 / steps as f64;
            println!(
                "round {round}: {streams} streams: {rate:.1} tokens/s ({step:.2} ms a step, {processor:.2} ms of processors)"
            );
        }
    }
    let long: Vec<u32> =
        (0..512.min(u32::try_from(limits.context_length).unwrap())).map(|index| index * 31 % vocabulary).collect();
    for _ in 0..2 {
        let began = Instant::now();
        model.extend(0, 0, &long, 1).unwrap();
        println!("prompt of {}: {:?}", long.len(), began.elapsed());
    }
    println!("after: {}", resident());
}
