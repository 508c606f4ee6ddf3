//! Probabilities of tokens, in the two shapes that OpenAI gives them.

use std::collections::BTreeMap;
use std::fmt::Write;

use ports::TokenLogprob;
use serde::Serialize;
use utoipa::ToSchema;

/// The least that is told, as OpenAI does: JSON has no number for "never".
const LEAST_LOGPROB: f32 = -9999.0;

/// The probabilities of a chat's tokens.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct ChatLogprobs {
    /// The tokens of the answer, in order.
    content: Vec<ChatTokenLogprob>,
    /// Always `null`.
    #[schema(required)]
    refusal: Option<String>,
}

/// One token of an answer.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct ChatTokenLogprob {
    /// Its text; where it is not whole characters, its bytes as `\xNN`.
    #[schema(example = " king")]
    token: String,
    /// The natural logarithm of its probability, by the model's own distribution.
    #[schema(example = -0.31)]
    logprob: f32,
    /// Its bytes.
    bytes: Vec<u8>,
    /// The likeliest tokens in its place.
    top_logprobs: Vec<TopLogprob>,
}

/// A token that could have stood there.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct TopLogprob {
    /// Its text.
    #[schema(example = " king")]
    token: String,
    /// The natural logarithm of its probability.
    #[schema(example = -0.31)]
    logprob: f32,
    /// Its bytes.
    bytes: Vec<u8>,
}

impl From<Vec<TokenLogprob>> for ChatLogprobs {
    fn from(tokens: Vec<TokenLogprob>) -> Self {
        Self { content: tokens.into_iter().map(Into::into).collect(), refusal: None }
    }
}

impl From<TokenLogprob> for ChatTokenLogprob {
    fn from(token: TokenLogprob) -> Self {
        let top = |(bytes, logprob): (Vec<u8>, f32)| TopLogprob { token: text_of(&bytes, ""), logprob: told(logprob), bytes };
        Self {
            token: text_of(&token.token, ""),
            logprob: told(token.logprob),
            bytes: token.token,
            top_logprobs: token.top.into_iter().map(top).collect(),
        }
    }
}

/// The probabilities of a text's tokens.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct TextLogprobs {
    /// Where each token begins, in characters of the choice's text.
    text_offset: Vec<usize>,
    /// The natural logarithm of each token's probability.
    token_logprobs: Vec<f32>,
    /// Each token's text; where it is not whole characters, its bytes as `bytes:\xNN`.
    tokens: Vec<String>,
    /// For each token the likeliest ones in its place, and itself.
    top_logprobs: Vec<BTreeMap<String, f32>>,
}

impl TextLogprobs {
    /// Tells of tokens that follow others; `offset` is where the first of them begins, and is moved to where the last one ends.
    pub(super) fn following(offset: &mut usize, tokens: Vec<TokenLogprob>) -> Self {
        const PREFIX: &str = "bytes:";
        let mut told_of =
            Self { text_offset: Vec::new(), token_logprobs: Vec::new(), tokens: Vec::new(), top_logprobs: Vec::new() };
        for token in tokens {
            told_of.text_offset.push(*offset);
            *offset += characters_begun(&token.token);
            let text = text_of(&token.token, PREFIX);
            let mut top: BTreeMap<String, f32> =
                token.top.iter().map(|(bytes, logprob)| (text_of(bytes, PREFIX), told(*logprob))).collect();
            top.insert(text.clone(), told(token.logprob));
            told_of.tokens.push(text);
            told_of.token_logprobs.push(told(token.logprob));
            told_of.top_logprobs.push(top);
        }
        told_of
    }
}

fn told(logprob: f32) -> f32 {
    logprob.max(LEAST_LOGPROB)
}

/// A token's text, or its bytes after a prefix.
fn text_of(bytes: &[u8], prefix: &str) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    bytes.iter().fold(prefix.to_owned(), |mut text, byte| {
        // Writing into a string cannot fail.
        let _ = write!(text, "\\x{byte:02x}");
        text
    })
}

/// How many characters begin in these bytes: one that two tokens share is counted with the first.
fn characters_begun(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0b1100_0000 != 0b1000_0000).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(bytes: &[u8], logprob: f32, top: &[(&[u8], f32)]) -> TokenLogprob {
        TokenLogprob {
            token: bytes.to_vec(),
            logprob,
            top: top.iter().map(|(bytes, logprob)| (bytes.to_vec(), *logprob)).collect(),
        }
    }

    #[test]
    fn a_token_that_is_half_a_character_is_told_by_its_bytes() {
        let dragon = "🐉".as_bytes();
        let tokens = vec![token(b" a", -0.5, &[(b" a", -0.5)]), token(&dragon[..2], -1.0, &[]), token(&dragon[2..], 0.0, &[])];
        let chat = serde_json::to_value(ChatLogprobs::from(tokens.clone())).unwrap();
        assert_eq!(chat["content"][0]["top_logprobs"][0]["token"], " a");
        assert_eq!(chat["content"][1]["token"], r"\xf0\x9f");
        assert_eq!(chat["content"][1]["bytes"], serde_json::json!([0xf0, 0x9f]));
        let mut offset = 3;
        let text = TextLogprobs::following(&mut offset, tokens);
        assert_eq!((text.text_offset, offset), (vec![3, 5, 6], 6), "the character belongs to the token in which it begins");
        assert_eq!(text.tokens[1], r"bytes:\xf0\x9f");
    }

    #[test]
    fn a_token_stands_among_its_own_alternatives_and_never_is_a_number() {
        let tokens = vec![token(b"a", f32::NEG_INFINITY, &[(b"b", -0.1), (b"c", -3.0)])];
        let text = TextLogprobs::following(&mut 0, tokens);
        assert_eq!(text.top_logprobs[0], BTreeMap::from([("a".into(), -9999.0), ("b".into(), -0.1), ("c".into(), -3.0)]));
        assert_eq!(serde_json::to_value(&text).unwrap()["token_logprobs"][0], -9999.0);
    }
}
