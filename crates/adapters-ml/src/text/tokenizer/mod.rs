//! Text to tokens, with the tokenizer that a model was trained with.
//!
//! The file is read by the `tokenizers` crate, which is Hugging Face's own; what is added here is what a server needs of it: bounded
//! files, errors that name the file and the field, and tables for decoding a stream byte by byte ([`super::stream_decoder`]).

mod files;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use tokenizers::{DecoderWrapper, Encoding, Model as _, OffsetReferential, OffsetType, PreTokenizer as _, Tokenizer};

use self::files::{check_shape, end_tokens};
use super::control_tokens::ControlTokens;
use super::model_files;
use super::stream_decoder::{StreamDecoder, TokenBytes};

pub(super) use self::files::read_bounded;

/// The largest `tokenizer.json` that is read. The largest in use today (256,000 tokens) has 34 MB.
pub const MAX_TOKENIZER_FILE_BYTES: u64 = 128 * 1024 * 1024;

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
