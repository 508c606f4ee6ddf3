//! Tokenizers. One that loads must turn a text into tokens of the model's vocabulary and back, or refuse, without a panic.

#![no_main]

use std::sync::OnceLock;

use adapters_ml::text::tokenizer::TextTokenizer;
use libfuzzer_sys::fuzz_target;
use tertulia_fuzz::{MODELS, ModelFolder};

const VOCABULARY: u32 = 512;

fuzz_target!(|json: &[u8]| {
    static FOLDER: OnceLock<ModelFolder> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        // libFuzzer's hook ends the process at any panic. The library's are caught, and only those that are not shall count.
        std::panic::set_hook(Box::new(|_| ()));
        ModelFolder::copy_of(MODELS[0])
    });
    folder.replace("tokenizer.json", json);
    let Ok(tokenizer) = TextTokenizer::load(folder.path(), VOCABULARY as usize) else { return };
    let Ok(tokens) = tokenizer.encode("Once upon a time, a añil wolf 🐺") else { return };
    assert!(tokens.iter().all(|token| *token < VOCABULARY), "a token outside of the vocabulary: {tokens:?}");
    let mut decoder = tokenizer.stream_decoder(&tokens);
    for token in tokens.iter().copied().chain([0, VOCABULARY - 1]) {
        decoder.push(&tokenizer, token);
    }
    decoder.finish(&tokenizer);
});
