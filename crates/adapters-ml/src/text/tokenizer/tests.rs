//! The tokenizer on the bundled model's file, on files that are none, and on one in the manner of `SentencePiece`.

use super::*;
use proptest::prelude::*;
use std::sync::OnceLock;

fn bundled_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/fairy-tales")
}

fn bundled() -> &'static TextTokenizer {
    static TOKENIZER: OnceLock<TextTokenizer> = OnceLock::new();
    TOKENIZER.get_or_init(|| TextTokenizer::load(&bundled_folder(), usize::MAX).unwrap())
}

fn streamed(tokenizer: &TextTokenizer, tokens: &[u32]) -> String {
    let mut decoder = tokenizer.stream_decoder(&[]);
    let mut text: String = tokens.iter().map(|token| decoder.push(tokenizer, *token)).collect();
    text.push_str(&decoder.finish(tokenizer));
    text
}

proptest! {
    #[test]
    fn any_text_survives_the_round_trip(text in any::<String>().prop_filter("the name of a special token is that token", |t| !t.contains("<|endoftext|>"))) {
        let tokens = bundled().encode(&text).unwrap();
        prop_assert_eq!(bundled().decode(&tokens).unwrap(), text.clone());
        prop_assert_eq!(streamed(bundled(), &tokens), text.clone());
        // Where there are no marks, looking for them changes nothing.
        let mark = Some('\u{E000}').filter(|mark| !text.contains(*mark));
        prop_assert_eq!(bundled().encode_marked(&text, mark, true).unwrap(), tokens);
    }

    #[test]
    fn any_tokens_stream_to_what_the_library_decodes_at_once(tokens in prop::collection::vec(0u32..2048, 0..60)) {
        prop_assert_eq!(streamed(bundled(), &tokens), bundled().decode(&tokens).unwrap());
    }

    #[test]
    fn decoding_by_text_agrees_with_decoding_by_bytes(text in "[a-zA-Z áéñ¿🧚🏽\n]{0,40}") {
        let tokens = bundled().encode(&text).unwrap();
        let mut decoder = StreamDecoder::by_text(&[]);
        let mut decoded: String = tokens.iter().map(|token| decoder.push(bundled(), *token)).collect();
        decoded.push_str(&decoder.finish(bundled()));
        prop_assert_eq!(decoded, text);
    }
}

fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

fn refusal(tokenizer_json: &str) -> String {
    let folder = folder_with(&[("tokenizer.json", tokenizer_json)]);
    TextTokenizer::load(folder.path(), 10).err().unwrap().to_string()
}

#[test]
fn a_bad_tokenizer_file_is_named_with_its_field() {
    for (json, field) in [
        ("", "EOF"),
        ("{}", "`model`"),
        (r#"{"model": 3}"#, "model: "),
        (r#"{"model": {"type": "BPE"}}"#, "`vocab`"),
        (r#"{"model": {"type": "BPE", "vocab": [], "merges": []}}"#, "tokenizer.json"),
        (r#"{"decoder": 5, "model": {"type": "BPE", "vocab": {}, "merges": []}}"#, "tokenizer.json"),
    ] {
        let refusal = refusal(json);
        assert!(refusal.contains("tokenizer.json") && refusal.contains(field), "{json}: {refusal}");
    }
}

#[test]
fn a_file_at_which_the_library_panics_is_refused_like_any_other() {
    let json = b"{\"decoder\": {\"type\xff\": \"ByteLevel\"}, \"model\": {\"type\": \"BPE\", \"vocab\": {}, \"merges\": []}}";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), json).unwrap();
    let refusal = TextTokenizer::load(folder.path(), 10).err().unwrap().to_string();
    assert!(refusal.contains("tokenizer.json: contradicts itself (Helper: "), "{refusal}");
}

/// A vocabulary of single characters in `SentencePiece`'s manner, as Llama 2's is: spaces as `▁`, bytes for all else, a token before
/// every prompt.
fn in_sentence_piece_manner() -> TextTokenizer {
    let vocab: serde_json::Map<String, serde_json::Value> = ["<unk>", "<s>", "▁", "a", "b", "s", "<", ">", "<0xC3>", "<0xA9>"]
        .iter()
        .zip(0..)
        .map(|(t, id)| ((*t).into(), id.into()))
        .collect();
    let json = serde_json::json!({
        "version": "1.0",
        "added_tokens": [{ "id": 1, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true }],
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "Prepend", "prepend": "▁" },
            { "type": "Replace", "pattern": { "String": " " }, "content": "▁" },
        ] },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{ "SpecialToken": { "id": "<s>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
            "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } }],
            "special_tokens": { "<s>": { "id": "<s>", "ids": [1], "tokens": ["<s>"] } },
        },
        "decoder": { "type": "Sequence", "decoders": [
            { "type": "Replace", "pattern": { "String": "▁" }, "content": " " },
            { "type": "ByteFallback" },
            { "type": "Fuse" },
        ] },
        "model": { "type": "BPE", "byte_fallback": true, "unk_token": "<unk>", "vocab": vocab, "merges": [] },
    });
    TextTokenizer::load(folder_with(&[("tokenizer.json", &json.to_string())]).path(), 10).unwrap()
}

#[test]
fn what_comes_before_every_prompt_is_known() {
    assert_eq!(in_sentence_piece_manner().prefix(), [1]);
    assert_eq!(bundled().prefix(), [0; 0]);
}

#[test]
fn a_marked_name_is_read_as_its_characters_and_the_mark_is_gone() {
    let tokenizer = in_sentence_piece_manner();
    let encode = |text, mark| tokenizer.encode_marked(text, mark, false).unwrap();
    assert_eq!(encode("<s>a b", None), [1, 2, 3, 2, 4]);
    assert_eq!(encode("<s>a <\u{E000}s>", Some('\u{E000}')), [1, 2, 3, 2, 6, 5, 7]);
}

#[test]
fn a_token_stands_for_bytes_or_else_for_its_name() {
    let tokenizer = in_sentence_piece_manner();
    assert_eq!([2, 3, 8, 1].map(|token| tokenizer.bytes_of(token)), [b" ".to_vec(), b"a".to_vec(), vec![0xC3], b"<s>".to_vec()]);
    let fairy = bundled().encode("Érase 🧚").unwrap();
    assert_eq!(fairy.iter().flat_map(|token| bundled().bytes_of(*token)).collect::<Vec<u8>>(), "Érase 🧚".as_bytes());
    assert_eq!(bundled().bytes_of(0), b"<|endoftext|>");
    assert!(bundled().bytes_of(u32::MAX).is_empty());
}

#[test]
fn a_token_beyond_the_models_vocabulary_is_refused() {
    let refusal = TextTokenizer::load(&bundled_folder(), 2047).err().unwrap().to_string();
    assert!(refusal.contains("token 2047 lies outside of the model's vocabulary of 2047"), "{refusal}");
}

#[test]
fn a_missing_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(TextTokenizer::load(folder.path(), 10).err().unwrap().to_string().contains("tokenizer.json"));
}

#[test]
fn the_end_of_a_text_may_be_one_token_several_or_none() {
    let tokens = |files: &[(&str, &str)]| end_tokens(folder_with(files).path());
    assert_eq!(tokens(&[]).unwrap(), Vec::<u32>::new());
    assert_eq!(tokens(&[("config.json", r#"{"eos_token_id": 7}"#)]).unwrap(), [7]);
    assert_eq!(tokens(&[("config.json", r#"{"eos_token_id": null}"#)]).unwrap(), Vec::<u32>::new());
    let both = [("config.json", r#"{"eos_token_id": 7}"#), ("generation_config.json", r#"{"eos_token_id": [1, 2]}"#)];
    assert_eq!(tokens(&both).unwrap(), [1, 2]);
    let silent = [("config.json", r#"{"eos_token_id": 7}"#), ("generation_config.json", "{}")];
    assert_eq!(tokens(&silent).unwrap(), [7]);
    let wrong = tokens(&[("config.json", r#"{"eos_token_id": "x"}"#)]).unwrap_err().to_string();
    assert!(wrong.contains("config.json") && wrong.contains("eos_token_id"), "{wrong}");
}
