//! Completions of texts.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use services::{Choice, Completed, CompletionHead, CompletionInput, CompletionPiece, CompletionRequest};
use utoipa::ToSchema;

use super::logprobs::TextLogprobs;
use super::sampling::{Delivery, checked_alternatives, checked_tokens, completion_request};
use super::unserved::{self, unsupported};
use super::usage::{Heading, OpenAiFinishReason, UsageMember};
use crate::ApiError;
use crate::dto::texts::{OneOrMany, UsageResponse};
use crate::dto::{integer, token_biases};
use crate::openai_error::OpenAiError;
use crate::sse::{self, Sent, Wire};

completion_request! {
    /// Texts to be continued. Fields that are not named here are ignored, or refused where they would change the answer: `suffix`,
    /// `best_of` above 1. Without `max_tokens` a text may have as many new tokens as the model's `max_length`.
    TextCompletionRequest {
        /// A string, or a list of strings, each of which is continued. Lists of token identifiers are refused.
        #[schema(value_type = OneOrMany)]
        prompt: Option<Value>,
        /// Whether each text begins with its prompt. Not together with `logprobs`.
        echo: Option<bool>,
        /// How many of the likeliest tokens to tell in each place; absent for none, also of the tokens themselves.
        #[schema(minimum = 0, maximum = 20)]
        #[serde(default, deserialize_with = "integer::optional")]
        logprobs: Option<i64>,
    }
}

/// What to say of the prompts in the answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Echo {
    /// Empty where they are not repeated.
    prompts: Vec<String>,
    /// How many texts are made of each.
    choices: usize,
}

impl Echo {
    /// What this choice begins with.
    fn of(&self, choice: usize) -> &str {
        self.prompts.get(choice / self.choices.max(1)).map(String::as_str).unwrap_or_default()
    }
}

impl TextCompletionRequest {
    /// What is asked for, what it is to begin with, and how it is to be sent.
    pub(crate) fn read(mut self) -> Result<(CompletionRequest, Echo, Delivery), ApiError> {
        unserved::refuse(&self.others, unserved::OF_COMPLETIONS)?;
        let delivery = self.delivery()?;
        let logprobs = self.logprobs.map(|count| checked_alternatives("logprobs", count)).transpose()?;
        let echo = self.echo.unwrap_or(false);
        if echo && logprobs.is_some() {
            return Err(unsupported("echo", "together with logprobs is not supported: the prompt's tokens have none here"));
        }
        let tokens = checked_tokens("max_tokens", self.max_tokens)?;
        let prompts = prompts(self.prompt.take())?;
        let choices = self.n.unwrap_or(1);
        let echo = if echo {
            Echo { prompts: prompts.clone(), choices: usize::try_from(choices).unwrap_or(1) }
        } else {
            Echo::default()
        };
        let request = CompletionRequest {
            input: CompletionInput::Prompts(prompts),
            model: self.take_model(),
            choices,
            logprobs,
            sampling: self.take_sampling(tokens),
        };
        Ok((request, echo, delivery))
    }
}

fn prompts(prompt: Option<Value>) -> Result<Vec<String>, ApiError> {
    let malformed = || ApiError::malformed("prompt: must be a string or a list of strings").about("prompt");
    match prompt {
        Some(Value::String(prompt)) => Ok(vec![prompt]),
        Some(Value::Array(prompts)) if prompts.iter().any(|prompt| prompt.is_number() || prompt.is_array()) => {
            Err(unsupported("prompt", "must be text: lists of token identifiers are not supported"))
        }
        Some(Value::Array(prompts)) => {
            let text = |prompt| if let Value::String(prompt) = prompt { Ok(prompt) } else { Err(malformed()) };
            prompts.into_iter().map(text).collect()
        }
        Some(_) | None => Err(malformed()),
    }
}

/// Texts, whole or in pieces: both have the same shape.
#[derive(Serialize, ToSchema)]
pub(crate) struct TextCompletion {
    /// Names the completion; the same in all its chunks.
    #[schema(example = "cmpl-0197a1b2000070008000000000000000")]
    id: String,
    /// Always `text_completion`.
    #[schema(example = "text_completion")]
    object: &'static str,
    /// When it was asked for, in seconds since 1970.
    #[schema(example = 1_767_268_800)]
    created: i64,
    /// The model that made it.
    #[schema(example = "default")]
    model: String,
    /// Changes with the weights; `null` for a provider's model.
    #[schema(example = "fp_0a1b2c3d4e", required)]
    system_fingerprint: Option<String>,
    /// The texts: those of the first prompt come first.
    choices: Vec<TextChoice>,
    /// Tokens read and made. In a stream only where `stream_options.include_usage` asks for it, and `null` until its last chunk.
    #[serde(skip_serializing_if = "UsageMember::is_absent")]
    #[schema(value_type = Option<UsageResponse>)]
    usage: UsageMember,
}

/// A text, or a piece of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct TextChoice {
    /// The text, or what is new of it.
    #[schema(example = " there was a king")]
    text: String,
    /// Which text.
    index: u32,
    /// How likely its tokens were; `null` where that was not asked for.
    #[schema(required)]
    logprobs: Option<TextLogprobs>,
    /// Why it ended; `null` in all pieces but the last.
    #[schema(required)]
    finish_reason: Option<OpenAiFinishReason>,
}

impl TextCompletion {
    /// The answer to a request that asked for logprobs or not.
    pub(crate) fn new(completed: Completed, echo: &Echo, with_logprobs: bool) -> Self {
        let choice = |(index, choice): (usize, Choice)| TextChoice {
            text: format!("{}{}", echo.of(index), choice.text),
            index: u32::try_from(index).unwrap_or(u32::MAX),
            logprobs: with_logprobs.then(|| TextLogprobs::following(&mut 0, choice.logprobs)),
            finish_reason: Some(choice.finish_reason.into()),
        };
        let choices = completed.choices.into_iter().enumerate().map(choice).collect();
        Self::under(Heading::new("cmpl", &completed.head), choices, UsageMember::Told(completed.usage.into()))
    }

    fn under(heading: Heading, choices: Vec<TextChoice>, usage: UsageMember) -> Self {
        let Heading { id, created, model, system_fingerprint } = heading;
        Self { id, object: "text_completion", created, model, system_fingerprint, choices, usage }
    }
}

/// Writes a completion's chunks.
pub(crate) struct TextCompletionWire {
    heading: Heading,
    echo: Echo,
    with_logprobs: bool,
    include_usage: bool,
    /// Of each text of which something was sent: where its next token begins, in characters.
    offsets: BTreeMap<u32, usize>,
}

impl TextCompletionWire {
    /// A wire for the completion with this head.
    pub(crate) fn new(head: &CompletionHead, echo: Echo, with_logprobs: bool, include_usage: bool) -> Self {
        Self { heading: Heading::new("cmpl", head), echo, with_logprobs, include_usage, offsets: BTreeMap::new() }
    }

    fn chunk(&self, choices: Vec<TextChoice>) -> Bytes {
        self.chunk_with(choices, if self.include_usage { UsageMember::Later } else { UsageMember::Absent })
    }

    fn chunk_with(&self, choices: Vec<TextChoice>, usage: UsageMember) -> Bytes {
        sse::data(&TextCompletion::under(self.heading.clone(), choices, usage))
    }

    /// A piece of one text, and before its first piece what it is to begin with.
    fn choice(&mut self, choice: TextChoice) -> Sent {
        let mut bytes = BytesMut::new();
        if let Entry::Vacant(unbegun) = self.offsets.entry(choice.index) {
            unbegun.insert(0);
            let prompt = self.echo.of(usize::try_from(choice.index).unwrap_or(usize::MAX)).to_owned();
            if !prompt.is_empty() {
                let opening = TextChoice { text: prompt, index: choice.index, logprobs: None, finish_reason: None };
                bytes.extend_from_slice(&self.chunk(vec![opening]));
            }
        }
        bytes.extend_from_slice(&self.chunk(vec![choice]));
        Sent::Event(bytes.freeze())
    }
}

impl Wire for TextCompletionWire {
    type Piece = CompletionPiece;

    fn piece(&mut self, piece: CompletionPiece) -> Sent {
        match piece {
            CompletionPiece::Queued { position } => sse::queued(position),
            CompletionPiece::Text { choice: index, text, logprobs } => {
                let mut offset = self.offsets.get(&index).copied().unwrap_or(0);
                let logprobs = self.with_logprobs.then(|| TextLogprobs::following(&mut offset, logprobs));
                let sent = self.choice(TextChoice { text, index, logprobs, finish_reason: None });
                self.offsets.insert(index, offset);
                sent
            }
            CompletionPiece::Ended { choice: index, finish_reason } => {
                let finish_reason = Some(finish_reason.into());
                self.choice(TextChoice { text: String::new(), index, logprobs: None, finish_reason })
            }
            CompletionPiece::Done(usage) => {
                let last = self.include_usage.then(|| self.chunk_with(Vec::new(), UsageMember::Told(usage.into())));
                Sent::Last(sse::done(last))
            }
        }
    }

    fn error(&mut self, error: &ApiError) -> Bytes {
        sse::data(&OpenAiError::new(error))
    }
}
