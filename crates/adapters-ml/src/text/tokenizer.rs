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
use tokenizers::{DecoderWrapper, Tokenizer};

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
}

impl TextTokenizer {
    /// Reads `tokenizer.json` from a folder, and the end-of-text tokens from its `generation_config.json` or else its `config.json`.
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
        Ok(Self { token_bytes, end_tokens: end_tokens(folder)?, tokenizer })
    }

    /// The tokens of a prompt, with what the tokenizer puts around it (nothing, for a GPT-2). As in Hugging Face, the name of a special
    /// token inside the text is that token.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let encoded = unless_it_panics(|| self.tokenizer.encode_fast(text, true).map_err(|error| error.to_string()));
        let encoding = encoded.and_then(|encoded| encoded).map_err(TokenizerError::Encoding)?;
        Ok(encoding.get_ids().to_vec())
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
fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, TokenizerError> {
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
            prop_assert_eq!(streamed(bundled(), &tokens), text);
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
