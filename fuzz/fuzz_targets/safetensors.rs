//! Files of weights. The first byte says what the rest is: 0 for a whole file, else a header before which its length is put and after
//! which as many zeros as the fixture has, so that nonsense in the header is not hidden behind a wrong length.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tertulia_fuzz::{MODELS, ModelFolder, fixture};

struct Setting {
    folder: ModelFolder,
    data_bytes: usize,
}

fn setting() -> &'static Setting {
    static SETTING: OnceLock<Setting> = OnceLock::new();
    SETTING.get_or_init(|| {
        let file = std::fs::read(fixture(MODELS[0], "model.safetensors")).expect("a fixture");
        let header = usize::try_from(u64::from_le_bytes(file[..8].try_into().expect("8 bytes"))).expect("a short header");
        Setting { folder: ModelFolder::copy_of(MODELS[0]), data_bytes: file.len() - 8 - header }
    })
}

fuzz_target!(|input: &[u8]| {
    let Some((kind, content)) = input.split_first() else { return };
    let setting = setting();
    if *kind == 0 {
        setting.folder.replace("model.safetensors", content);
    } else {
        let length = (content.len() as u64).to_le_bytes();
        setting.folder.replace("model.safetensors", &[&length, content, &vec![0; setting.data_bytes]].concat());
    }
    setting.folder.load();
});
