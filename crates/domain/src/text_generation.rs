//! A text that was made, and what it was made from.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::{LlmId, ModelName, Refusal, SamplingParameters, TextGenerationId, UserId};

/// What a text begins with: not empty, not only white space, and no longer than the server accepts. It never prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Prompt(String);

impl Prompt {
    /// Checks a prompt against the server's limit in Unicode scalar values.
    pub fn new(text: impl Into<String>, max_characters: usize) -> Result<Self, Refusal> {
        let text = text.into();
        if text.trim().is_empty() {
            return Err(Refusal::EmptyPrompt);
        }
        let characters = text.chars().count();
        if characters > max_characters {
            return Err(Refusal::PromptTooLong { characters, limit: max_characters });
        }
        Ok(Self(text))
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Prompt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Prompt({} bytes)", self.0.len())
    }
}

/// Why a text ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// The model ended it, or a stop string did.
    Stop,
    /// It reached its length.
    Length,
    /// The caller went away, the server stopped, or the generation failed midway; what was made until then was kept.
    Interrupted,
}

impl FinishReason {
    /// The reason's name on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Interrupted => "interrupted",
        }
    }

    /// Reads a reason by its name.
    pub fn parse(name: &str) -> Result<Self, Refusal> {
        match name {
            "stop" => Ok(Self::Stop),
            "length" => Ok(Self::Length),
            "interrupted" => Ok(Self::Interrupted),
            _ => Err(Refusal::field("finish_reason", "must be 'stop', 'length' or 'interrupted'")),
        }
    }
}

/// Tokens read and made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenUsage {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens made after it.
    pub completion_tokens: u32,
}

impl TokenUsage {
    /// Both together.
    pub const fn total_tokens(self) -> u32 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }
}

/// A text that was made for a user, with all that is needed to make it again.
#[derive(Debug, Clone, PartialEq)]
pub struct TextGeneration {
    /// Which one.
    pub id: TextGenerationId,
    /// Whose it is.
    pub user_id: UserId,
    /// What it began with.
    pub prompt: String,
    /// The prompt followed by the continuation, as the Hugging Face pipeline returns it.
    pub generated_text: String,
    /// The name that was asked for.
    pub model: ModelName,
    /// What stood behind that name at the time.
    pub llm: LlmId,
    /// SHA-256 of the weights, in lower-case hexadecimal, where the model ran here.
    pub weights_digest: Option<String>,
    /// How tokens were chosen.
    pub parameters: SamplingParameters,
    /// Tokens read and made.
    pub usage: TokenUsage,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens of the prompt that the model was not given because they did not fit; 0 unless the request allowed it.
    pub truncated_tokens: u32,
    /// From admission to the beginning, in milliseconds: the time in the queue. `None` where it was not measured.
    pub queued_ms: Option<u32>,
    /// From admission to the first piece of text, in milliseconds. `None` where there was none, or where it was not measured.
    pub first_token_ms: Option<u32>,
    /// From admission to the last token, in milliseconds.
    pub duration_ms: u32,
    /// Whether its words were changed after it was made.
    pub edited: bool,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_neither_empty_nor_endless() {
        assert_eq!(Prompt::new(" \n\t", 10), Err(Refusal::EmptyPrompt));
        assert!(Prompt::new("ééééé", 5).is_ok());
        assert_eq!(Prompt::new("abcdef", 5), Err(Refusal::PromptTooLong { characters: 6, limit: 5 }));
    }

    #[test]
    fn a_prompt_does_not_print() {
        assert_eq!(format!("{:?}", Prompt::new("my diary", 10).unwrap()), "Prompt(8 bytes)");
    }
}
