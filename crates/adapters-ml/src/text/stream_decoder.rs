//! Tokens back to text, one at a time, without ever splitting a character.
//!
//! A token of a byte-level vocabulary is a string of bytes, and a character of several bytes may be spread over several tokens. For
//! such vocabularies (GPT-2, Llama 3, Qwen 2) the bytes are joined and whole characters handed out as they become complete: exact, and
//! without decoding anything twice. Other decoders (those of `SentencePiece` vocabularies, say) treat a token by what stands around it;
//! for them a short window of tokens is decoded before and after, and the difference is the new text, as in Hugging Face's
//! text-generation-inference.
//!
//! What is no text at all (bytes that no character begins or continues with) becomes U+FFFD, as it does in Hugging Face's decoder; so
//! does a character that is still incomplete when the text ends.

use std::collections::HashMap;

use tokenizers::Tokenizer;

use super::tokenizer::TextTokenizer;

/// The bytes of each token of a byte-level vocabulary; none for special tokens and for numbers that are no token.
pub(super) struct TokenBytes {
    bytes: Vec<u8>,
    /// Where each token's bytes end; they begin where those of the token before end.
    ends: Vec<u32>,
}

impl TokenBytes {
    pub(super) fn new(tokenizer: &Tokenizer, vocab: &HashMap<String, u32>) -> Self {
        let byte_of = bytes_of_characters();
        let added = tokenizer.get_added_tokens_decoder();
        let count = vocab.values().max().map_or(0, |id| *id as usize + 1);
        let mut names: Vec<Option<&str>> = vec![None; count];
        for (name, id) in vocab {
            let special = added.get(id).is_some_and(|token| token.special);
            if let Some(slot) = names.get_mut(*id as usize).filter(|_| !special) {
                *slot = Some(name);
            }
        }
        let mut table = Self { bytes: Vec::new(), ends: Vec::with_capacity(count) };
        for name in names {
            let name = name.unwrap_or_default();
            match name.chars().map(|character| byte_of.get(&character).copied()).collect::<Option<Vec<u8>>>() {
                Some(bytes) => table.bytes.extend(bytes),
                // A token that was added as plain text.
                None => table.bytes.extend(name.as_bytes()),
            }
            table.ends.push(u32::try_from(table.bytes.len()).unwrap_or(u32::MAX));
        }
        table
    }

    pub(super) fn get(&self, token: u32) -> &[u8] {
        let token = token as usize;
        let start = token.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(token).copied().unwrap_or(start);
        self.bytes.get(start as usize..end as usize).unwrap_or_default()
    }
}

/// The printable character by which a byte-level vocabulary writes each byte (`bytes_to_unicode` in GPT-2's `encoder.py`).
fn bytes_of_characters() -> HashMap<char, u8> {
    let is_printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut next_free = 256;
    let mut byte_of = HashMap::with_capacity(256);
    for byte in 0..=u8::MAX {
        let code = if is_printable(byte) {
            u32::from(byte)
        } else {
            next_free += 1;
            next_free - 1
        };
        byte_of.extend(char::from_u32(code).map(|character| (character, byte)));
    }
    byte_of
}

/// Decodes one sequence. See the module.
#[derive(Debug)]
pub struct StreamDecoder(Method);

#[derive(Debug)]
enum Method {
    /// Bytes that may be the beginning of a character: at most three.
    Bytes(Vec<u8>),
    Text(TextWindow),
}

impl StreamDecoder {
    pub(super) fn byte_level() -> Self {
        Self(Method::Bytes(Vec::new()))
    }

    pub(super) fn by_text(prompt: &[u32]) -> Self {
        let context = prompt.get(prompt.len().saturating_sub(TextWindow::CONTEXT_TOKENS)..).unwrap_or_default();
        Self(Method::Text(TextWindow { tokens: context.to_vec(), decoded: context.len() }))
    }

    /// Takes the next token and gives the characters that are complete with it, often none or several.
    pub fn push(&mut self, tokenizer: &TextTokenizer, token: u32) -> String {
        match &mut self.0 {
            Method::Bytes(pending) => {
                pending.extend(tokenizer.token_bytes().map(|table| table.get(token)).unwrap_or_default());
                complete_characters(pending)
            }
            Method::Text(window) => window.push(tokenizer, token),
        }
    }

    /// Ends the text: what is left of a character becomes U+FFFD.
    pub fn finish(&mut self, tokenizer: &TextTokenizer) -> String {
        match &mut self.0 {
            Method::Bytes(pending) => String::from_utf8_lossy(&std::mem::take(pending)).into_owned(),
            Method::Text(window) => window.take_new_text(tokenizer).unwrap_or_default(),
        }
    }
}

/// Takes the whole characters from the front of `bytes`; leaves what more bytes could complete.
fn complete_characters(bytes: &mut Vec<u8>) -> String {
    let mut text = String::new();
    let mut rest = bytes.as_slice();
    let incomplete = loop {
        match std::str::from_utf8(rest) {
            Ok(valid) => {
                text.push_str(valid);
                break 0;
            }
            Err(error) => {
                let (valid, after) = rest.split_at(error.valid_up_to());
                text.push_str(&String::from_utf8_lossy(valid));
                let Some(invalid) = error.error_len() else { break after.len() };
                text.push(char::REPLACEMENT_CHARACTER);
                rest = after.get(invalid..).unwrap_or_default();
            }
        }
    };
    bytes.drain(..bytes.len() - incomplete);
    text
}

/// The last tokens of a text: those that were handed out, kept for what they do to the next ones, and those that were not yet.
#[derive(Debug)]
struct TextWindow {
    tokens: Vec<u32>,
    /// How many of them were handed out.
    decoded: usize,
}

impl TextWindow {
    /// Tokens of context, as in text-generation-inference.
    const CONTEXT_TOKENS: usize = 5;
    /// A character has at most four bytes, and a token holds at least one: what is still no text after so many tokens never will be.
    const MAX_PENDING_TOKENS: usize = 8;

    fn push(&mut self, tokenizer: &TextTokenizer, token: u32) -> String {
        self.tokens.push(token);
        let may_wait = self.tokens.len() - self.decoded < Self::MAX_PENDING_TOKENS;
        match self.new_text(tokenizer) {
            Some(text) if may_wait && text.ends_with(char::REPLACEMENT_CHARACTER) => String::new(),
            Some(text) if text.is_empty() && may_wait => text,
            _ => self.take_new_text(tokenizer).unwrap_or_default(),
        }
    }

    fn new_text(&self, tokenizer: &TextTokenizer) -> Option<String> {
        let before = tokenizer.decode(self.tokens.get(..self.decoded)?).ok()?;
        let after = tokenizer.decode(&self.tokens).ok()?;
        Some(after.get(before.len()..).unwrap_or_default().to_owned())
    }

    fn take_new_text(&mut self, tokenizer: &TextTokenizer) -> Option<String> {
        let text = self.new_text(tokenizer);
        let keep = (self.tokens.len() - self.decoded).max(Self::CONTEXT_TOKENS);
        self.tokens.drain(..self.tokens.len().saturating_sub(keep));
        self.decoded = self.tokens.len();
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_waits_until_its_last_byte() {
        let mut bytes = Vec::new();
        let pieces: Vec<String> = "a🧚b"
            .bytes()
            .map(|byte| {
                bytes.push(byte);
                complete_characters(&mut bytes)
            })
            .collect();
        assert_eq!(pieces, ["a", "", "", "", "🧚", "b"]);
    }

    #[test]
    fn bytes_that_are_no_character_become_replacement_characters_and_hold_nothing_up() {
        let mut bytes = vec![0xFF, b'a', 0xE2, 0x82, b'b', 0xC3];
        assert_eq!(complete_characters(&mut bytes), "\u{FFFD}a\u{FFFD}b");
        assert_eq!(bytes, [0xC3]);
    }

    #[test]
    fn every_byte_has_its_own_character() {
        let byte_of = bytes_of_characters();
        assert_eq!(byte_of.len(), 256);
        assert_eq!((byte_of[&'A'], byte_of[&'Ġ'], byte_of[&'Ċ']), (b'A', b' ', b'\n'));
    }
}
