//! Text to tokens, with the tokenizer that a model was trained with.
//!
//! The file is read by the `tokenizers` crate, which is Hugging Face's own; what is added here is what a server needs of it: bounded
//! files, errors that name the file and the field, and tables for decoding a stream byte by byte ([`super::stream_decoder`]).

use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;
use tokenizers::{DecoderWrapper, Encoding, Model as _, OffsetReferential, OffsetType, PreTokenizer as _, Tokenizer};

use super::control_tokens::ControlTokens;
use super::model_files;
use super::stream_decoder::{StreamDecoder, TokenBytes};

/// The largest `tokenizer.json` that is read. The largest in use today (256,000 tokens) has 34 MB.
pub const MAX_TOKENIZER_FILE_BYTES: u64 = 128 * 1024 * 1024;
/// The largest `config.json` or `generation_config.json` that is read.
const MAX_CONFIG_FILE_BYTES: u64 = 1024 * 1024;

/// Why a model's tokenizer cannot be used. The text names the file and, where there is one, the field.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error("{}: {problem}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// The field and what is wrong with it.
        problem: String,
    },
    /// A text cannot be turned into tokens.
    #[error("the text cannot be tokenised: {0}")]
    Encoding(String),
}

/// A model's tokenizer, and the tokens by which the model ends a text.
pub struct TextTokenizer {
    tokenizer: Tokenizer,
    token_bytes: Option<TokenBytes>,
    end_tokens: Vec<u32>,
    control_tokens: ControlTokens,
    /// What comes before every prompt: a token for the beginning of a text, or nothing.
    prefix: Vec<u32>,
}

impl TextTokenizer {
    /// Reads `tokenizer.json` from a folder, and the end-of-text tokens from its `generation_config.json` or else its `config.json`; the
    /// `eos_token` of its `tokenizer_config.json` is one too, since there are models that end their answers with it and do not list it.
    ///
    /// Blocks on the disk. `vocabulary` is the model's number of tokens: a tokenizer with a token beyond it is refused, as the model
    /// would look it up outside of its table.
    pub fn load(folder: &Path, vocabulary: usize) -> Result<Self, TokenizerError> {
        let path = folder.join("tokenizer.json");
        let json = read_bounded(&path, MAX_TOKENIZER_FILE_BYTES)?;
        let malformed = |problem: String| TokenizerError::Malformed { path: path.clone(), problem };
        check_shape(&json).map_err(malformed)?;
        let read = unless_it_panics(|| Tokenizer::from_bytes(&json).map_err(|error| error.to_string()));
        let mut tokenizer = read.and_then(|read| read).map_err(malformed)?;
        // Both may be left over from training; a prompt is neither cut nor filled up.
        tokenizer.with_truncation(None).map_err(|error| malformed(format!("truncation: {error}")))?;
        tokenizer.with_padding(None);
        let vocab = tokenizer.get_vocab(true);
        if let Some((_, id)) = vocab.iter().max_by_key(|(_, id)| **id).filter(|(_, id)| **id as usize >= vocabulary) {
            return Err(malformed(format!("model.vocab: token {id} lies outside of the model's vocabulary of {vocabulary}")));
        }
        let token_bytes = is_byte_level(&tokenizer).then(|| TokenBytes::new(&tokenizer, &vocab));
        let mut end_tokens = end_tokens(folder)?;
        let named = model_files::special_names(folder).remove("eos_token").and_then(|name| tokenizer.token_to_id(&name));
        end_tokens.extend(named.filter(|token| !end_tokens.contains(token)));
        let control_tokens = ControlTokens::of(&tokenizer);
        let mut loaded = Self { token_bytes, end_tokens, tokenizer, control_tokens, prefix: Vec::new() };
        loaded.prefix = loaded.prefix_of_prompts();
        Ok(loaded)
    }

    /// Finds what is put before a prompt by looking at one.
    fn prefix_of_prompts(&self) -> Vec<u32> {
        let encode = |add_special_tokens| self.encode_marked("a", None, add_special_tokens).unwrap_or_default();
        let (bare, whole) = (encode(false), encode(true));
        let before = whole.windows(bare.len().max(1)).position(|window| window == bare);
        whole.get(..before.unwrap_or(0)).unwrap_or_default().to_vec()
    }

    /// The tokens of a prompt, with what the tokenizer puts around it (nothing, for a GPT-2). As in Hugging Face, the name of a special
    /// token inside the text is that token.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        self.encode_marked(text, None, true)
    }

    /// The tokens of a text in which names of tokens may be marked as plain text; see [`super::control_tokens`]. `add_special_tokens`
    /// puts around it what belongs around a prompt.
    pub(super) fn encode_marked(
        &self,
        text: &str,
        mark: Option<char>,
        add_special_tokens: bool,
    ) -> Result<Vec<u32>, TokenizerError> {
        let encoded = unless_it_panics(|| {
            let encoding = match mark {
                None => self.tokenizer.encode_fast(text, add_special_tokens),
                Some(mark) => self.encode_without(mark, text, add_special_tokens),
            };
            encoding.map_err(|error| error.to_string())
        });
        let encoding = encoded.and_then(|encoded| encoded).map_err(TokenizerError::Encoding)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// As the library's own `encode`, step by step, but for the marks, which go once the names of tokens were found.
    fn encode_without(&self, mark: char, text: &str, add_special_tokens: bool) -> tokenizers::Result<Encoding> {
        let tokenizer = &self.tokenizer;
        let mut pieces = tokenizer.get_added_vocabulary().extract_and_normalize(tokenizer.get_normalizer(), text);
        let splits = pieces.get_splits(OffsetReferential::Normalized, OffsetType::None);
        let found = splits.iter().filter(|(_, _, tokens)| tokens.is_some()).count();
        pieces.normalize(|piece| {
            piece.filter(|character| character != mark);
            Ok(())
        })?;
        if let Some(pre_tokenizer) = tokenizer.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut pieces)?;
        }
        tokenizer.get_model().tokenize_in_pretokenized(&mut pieces, None)?;
        let encoding = pieces.into_encoding(None, 0, OffsetType::None)?;
        if encoding.get_ids().iter().filter(|id| self.control_tokens.contains(**id)).count() > found {
            // A vocabulary that has the whole name as a word besides.
            return Err("it holds the name of a control token, which this tokenizer cannot read as plain text".into());
        }
        tokenizer.post_process(encoding, None, add_special_tokens)
    }

    /// The text of some tokens, special ones left out.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, TokenizerError> {
        let decoded = unless_it_panics(|| self.tokenizer.decode(tokens, true).map_err(|error| error.to_string()));
        decoded.and_then(|decoded| decoded).map_err(TokenizerError::Encoding)
    }

    /// Decodes what follows a prompt, token by token.
    pub fn stream_decoder(&self, prompt: &[u32]) -> StreamDecoder {
        if self.token_bytes.is_some() { StreamDecoder::byte_level() } else { StreamDecoder::by_text(prompt) }
    }

    /// Whether the model ends a text with this token.
    pub fn is_end(&self, token: u32) -> bool {
        self.end_tokens.contains(&token)
    }

    /// The tokens with which the model ends a text.
    pub fn end_tokens(&self) -> &[u32] {
        &self.end_tokens
    }

    /// The tokens that are more than text.
    pub(super) fn control_tokens(&self) -> &ControlTokens {
        &self.control_tokens
    }

    /// What comes before every prompt.
    pub(super) fn prefix(&self) -> &[u32] {
        &self.prefix
    }

    /// The bytes that a token stands for, which need not be whole characters; of a token that is no text, its name's.
    pub fn bytes_of(&self, token: u32) -> Vec<u8> {
        let bytes = self.token_bytes.as_ref().map(|table| table.get(token)).unwrap_or_default();
        if !bytes.is_empty() {
            return bytes.to_vec();
        }
        let name = self.tokenizer.id_to_token(token).unwrap_or_default();
        if self.token_bytes.is_some() || self.control_tokens.contains(token) {
            return name.into_bytes();
        }
        // `SentencePiece` writes a space as U+2581, and a byte that is no character of its vocabulary as `<0xE2>`.
        let byte = name.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
        match byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => vec![byte],
            None => name.replace('\u{2581}', " ").into_bytes(),
        }
    }

    pub(super) fn token_bytes(&self) -> Option<&TokenBytes> {
        self.token_bytes.as_ref()
    }
}

/// Whether tokens are strings of bytes that need only be put one after the other.
fn is_byte_level(tokenizer: &Tokenizer) -> bool {
    matches!(tokenizer.get_decoder(), Some(DecoderWrapper::ByteLevel(_)))
}

/// What the library answers, or that it panicked: it does so at some files that contradict themselves (found by fuzzing), which come from
/// strangers. It keeps no state that a panic could leave half changed but a cache of words.
fn unless_it_panics<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let reason = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        format!("contradicts itself ({})", reason.unwrap_or("no reason given"))
    })
}

/// Names the field that is missing or of the wrong kind. The library alone would say "did not match any variant of untagged enum".
fn check_shape(json: &[u8]) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Outer<Model> {
        model: Model,
    }
    #[derive(Deserialize)]
    struct Model {
        vocab: IgnoredAny,
    }
    let Outer { model: IgnoredAny } = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let Outer { model: Model { vocab: IgnoredAny } } = serde_json::from_slice(json).map_err(|error| format!("model: {error}"))?;
    Ok(())
}

/// `eos_token_id`: one number, several, or none at all.
#[derive(Deserialize, Default)]
#[serde(untagged)]
enum EndTokens {
    One(u32),
    Several(Vec<u32>),
    #[default]
    None,
}

#[derive(Deserialize)]
struct ConfigFile {
    #[serde(default)]
    eos_token_id: serde_json::Value,
}

/// The end-of-text tokens of a folder. As in Hugging Face, `generation_config.json` goes before `config.json`.
fn end_tokens(folder: &Path) -> Result<Vec<u32>, TokenizerError> {
    for name in ["generation_config.json", "config.json"] {
        let path = folder.join(name);
        let json = match read_bounded(&path, MAX_CONFIG_FILE_BYTES) {
            Ok(json) => json,
            Err(TokenizerError::Unreadable { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let malformed = |problem: String| TokenizerError::Malformed { path: path.clone(), problem };
        let config: ConfigFile = serde_json::from_slice(&json).map_err(|error| malformed(error.to_string()))?;
        let tokens = match EndTokens::deserialize(config.eos_token_id) {
            Ok(EndTokens::One(token)) => vec![token],
            Ok(EndTokens::Several(tokens)) => tokens,
            Ok(EndTokens::None) => continue,
            Err(_) => return Err(malformed("eos_token_id: must be a token, a list of tokens, or null".to_owned())),
        };
        return Ok(tokens);
    }
    Ok(Vec::new())
}

/// Reads a file that has no more than `limit` bytes; a file that grows while it is read is not followed.
pub(super) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, TokenizerError> {
    let unreadable = |source| TokenizerError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    if size > limit {
        return Err(TokenizerError::Malformed {
            path: path.to_owned(),
            problem: format!("has {size} bytes; at most {limit} are read"),
        });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    file.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::OnceLock;

    pub(in crate::text) fn bundled_folder() -> PathBuf {
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
        let vocab: serde_json::Map<String, serde_json::Value> =
            ["<unk>", "<s>", "▁", "a", "b", "s", "<", ">", "<0xC3>", "<0xA9>"]
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
        assert_eq!(
            [2, 3, 8, 1].map(|token| tokenizer.bytes_of(token)),
            [b" ".to_vec(), b"a".to_vec(), vec![0xC3], b"<s>".to_vec()]
        );
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
}
