//! Configurations. The first byte chooses beside which weights.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tertulia_fuzz::{MODELS, ModelFolder};

fuzz_target!(|input: &[u8]| {
    static FOLDERS: OnceLock<Vec<ModelFolder>> = OnceLock::new();
    let folders = FOLDERS.get_or_init(|| MODELS.iter().map(|model| ModelFolder::copy_of(model)).collect());
    let Some((kind, content)) = input.split_first() else { return };
    let folder = &folders[usize::from(*kind) % folders.len()];
    folder.replace("config.json", content);
    folder.load();
});
