//! Chat completions.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use domain::{ChatMessage, ChatRole};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use services::{Choice, Completed, CompletionHead, CompletionInput, CompletionPiece, CompletionRequest};
use utoipa::ToSchema;

use super::logprobs::ChatLogprobs;
use super::sampling::{Delivery, checked_alternatives, checked_tokens, completion_request};
use super::unserved::{self, unsupported};
use super::usage::{Heading, OpenAiFinishReason, UsageMember};
use crate::ApiError;
use crate::ErrorCode;
use crate::dto::texts::{OneOrMany, UsageResponse};
use crate::dto::{integer, token_biases};
use crate::openai_error::OpenAiError;
use crate::sse::{self, Sent, Wire};

completion_request! {
    /// A conversation to be answered. Fields that are not named here are ignored, or refused where they would change the answer: tools,
    /// functions, audio, pictures, structured output.
    ChatCompletionRequest {
        /// The conversation so far, the oldest message first.
        messages: Vec<ChatMessageRequest>,
        /// Whether to tell how likely each token was.
        logprobs: Option<bool>,
        /// How many of the likeliest tokens to tell in each place. Only together with `logprobs`.
        #[schema(minimum = 0, maximum = 20)]
        #[serde(default, deserialize_with = "integer::optional")]
        top_logprobs: Option<i64>,
        /// The most tokens to make; the newer name of `max_tokens`. Without either a chat model answers until it is done or its context
        /// is full, and another model makes as many tokens as its `max_length`.
        #[schema(minimum = 1, maximum = 1_048_576)]
        #[serde(default, deserialize_with = "integer::optional")]
        max_completion_tokens: Option<i64>,
    }
}

/// A message of a conversation.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ChatMessageRequest {
    /// `system` (or `developer`), `user` or `assistant`.
    #[schema(example = "user")]
    role: String,
    /// A string, or a list of parts `{"type": "text", "text": "…"}`, which are joined by line breaks.
    #[schema(value_type = String, example = "Tell me a story.")]
    content: Option<Value>,
    /// The calls that a model made, which this server never makes.
    #[schema(ignore)]
    tool_calls: Option<Value>,
}

impl ChatCompletionRequest {
    /// What is asked for, and how it is to be sent.
    pub(crate) fn read(mut self) -> Result<(CompletionRequest, Delivery), ApiError> {
        unserved::refuse(&self.others, unserved::OF_CHAT)?;
        let delivery = self.delivery()?;
        let logprobs = self.alternatives()?;
        let tokens = self.tokens()?;
        let messages = std::mem::take(&mut self.messages).into_iter().enumerate();
        let messages = messages.map(|(index, message)| message.read(index)).collect::<Result<_, _>>()?;
        let request = CompletionRequest {
            input: CompletionInput::Chat(messages),
            model: self.take_model(),
            choices: self.n.unwrap_or(1),
            logprobs,
            sampling: self.take_sampling(tokens),
        };
        Ok((request, delivery))
    }

    fn tokens(&self) -> Result<Option<i64>, ApiError> {
        let newer = checked_tokens("max_completion_tokens", self.max_completion_tokens)?;
        let older = checked_tokens("max_tokens", self.max_tokens)?;
        match (newer, older) {
            (Some(newer), Some(older)) if newer != older => {
                let problem = "max_completion_tokens and max_tokens are two names of one field and must not differ";
                Err(ApiError::new(ErrorCode::ValueRefused, problem).about("max_completion_tokens"))
            }
            (newer, older) => Ok(newer.or(older)),
        }
    }

    fn alternatives(&self) -> Result<Option<u8>, ApiError> {
        match (self.logprobs.unwrap_or(false), self.top_logprobs) {
            (true, count) => checked_alternatives("top_logprobs", count.unwrap_or(0)).map(Some),
            (false, None | Some(0)) => Ok(None),
            (false, Some(_)) => {
                let problem = "top_logprobs is only allowed together with logprobs";
                Err(ApiError::new(ErrorCode::ValueRefused, problem).about("top_logprobs"))
            }
        }
    }
}

impl ChatMessageRequest {
    fn read(self, index: usize) -> Result<ChatMessage, ApiError> {
        let place = format!("messages[{index}]");
        if matches!(self.role.as_str(), "tool" | "function") {
            return Err(unsupported(format!("{place}.role"), "must not be 'tool' or 'function': this server calls no tools"));
        }
        if self.tool_calls.is_some_and(|calls| !calls.is_null() && calls.as_array().is_none_or(|calls| !calls.is_empty())) {
            return Err(unsupported(format!("{place}.tool_calls"), "is not supported by this server"));
        }
        let role = ChatRole::parse(&self.role).map_err(|refusal| {
            ApiError::new(ErrorCode::ValueRefused, format!("{place}.{refusal}")).about(format!("{place}.role"))
        })?;
        Ok(ChatMessage { role, content: text_of(self.content, &format!("{place}.content"))? })
    }
}

/// The text of a message. One without any (an assistant's that only called tools, say) has nothing that a model could read.
fn text_of(content: Option<Value>, place: &str) -> Result<String, ApiError> {
    let malformed = |place: &str, problem: &str| ApiError::malformed(format!("{place}: {problem}")).about(place);
    match content {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Array(parts)) => {
            let parts = parts.into_iter().enumerate().map(|(index, part)| {
                let place = format!("{place}[{index}]");
                match part.get("type").and_then(Value::as_str) {
                    Some("text") => part
                        .get("text")
                        .and_then(Value::as_str)
                        .map(str::to_owned)
                        .ok_or_else(|| malformed(&format!("{place}.text"), "must be a string")),
                    Some(other) => {
                        let kind: String = other.chars().take(32).collect();
                        Err(unsupported(format!("{place}.type"), &format!("'{kind}' is not supported: only 'text' is")))
                    }
                    None => Err(malformed(&place, "must be an object with a type")),
                }
            });
            Ok(parts.collect::<Result<Vec<_>, _>>()?.join("\n"))
        }
        Some(_) | None => Err(malformed(place, "must be a string or a list of text parts")),
    }
}

/// An answer, whole.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChatCompletion {
    /// Names the answer.
    #[schema(example = "chatcmpl-0197a1b2000070008000000000000000")]
    id: String,
    /// Always `chat.completion`.
    #[schema(example = "chat.completion")]
    object: &'static str,
    /// When it was asked for, in seconds since 1970.
    #[schema(example = 1_767_268_800)]
    created: i64,
    /// The model that answered.
    #[schema(example = "default")]
    model: String,
    /// Changes with the weights; `null` for a provider's model.
    #[schema(example = "fp_0a1b2c3d4e", required)]
    system_fingerprint: Option<String>,
    /// The answers, as many as `n`.
    choices: Vec<ChatChoice>,
    /// Tokens read and made.
    usage: UsageResponse,
}

/// One answer.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChatChoice {
    /// Which one.
    index: usize,
    /// What is said.
    message: AssistantMessage,
    /// How likely its tokens were; `null` where that was not asked for.
    #[schema(required)]
    logprobs: Option<ChatLogprobs>,
    /// Why it ended.
    finish_reason: OpenAiFinishReason,
}

/// What the model says.
#[derive(Serialize, ToSchema)]
pub(crate) struct AssistantMessage {
    /// Always `assistant`.
    #[schema(example = "assistant")]
    role: &'static str,
    /// The text.
    #[schema(example = "Once upon a time there was a king.")]
    content: String,
    /// Always `null`.
    #[schema(required)]
    refusal: Option<String>,
}

impl ChatCompletion {
    /// The answer to a request that asked for logprobs or not.
    pub(crate) fn new(completed: Completed, with_logprobs: bool) -> Self {
        let Heading { id, created, model, system_fingerprint } = Heading::new("chatcmpl", &completed.head);
        let choice = |(index, choice): (usize, Choice)| ChatChoice {
            index,
            message: AssistantMessage { role: "assistant", content: choice.text, refusal: None },
            logprobs: with_logprobs.then(|| choice.logprobs.into()),
            finish_reason: choice.finish_reason.into(),
        };
        let choices = completed.choices.into_iter().enumerate().map(choice).collect();
        let usage = completed.usage.into();
        Self { id, object: "chat.completion", created, model, system_fingerprint, choices, usage }
    }
}

/// A piece of an answer.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChatCompletionChunk {
    /// Names the answer; the same in all its chunks.
    #[schema(example = "chatcmpl-0197a1b2000070008000000000000000")]
    id: String,
    /// Always `chat.completion.chunk`.
    #[schema(example = "chat.completion.chunk")]
    object: &'static str,
    /// When the answer was asked for, in seconds since 1970.
    #[schema(example = 1_767_268_800)]
    created: i64,
    /// The model that answers.
    #[schema(example = "default")]
    model: String,
    /// Changes with the weights; `null` for a provider's model.
    #[schema(example = "fp_0a1b2c3d4e", required)]
    system_fingerprint: Option<String>,
    /// A piece of one answer; empty in the chunk that tells of usage.
    choices: Vec<ChatChunkChoice>,
    /// Only where `stream_options.include_usage` asks for it: `null`, and in the last chunk the tokens read and made.
    #[serde(skip_serializing_if = "UsageMember::is_absent")]
    #[schema(value_type = Option<UsageResponse>)]
    usage: UsageMember,
}

/// A piece of one answer.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChatChunkChoice {
    /// Which answer.
    index: u32,
    /// What is new.
    delta: ChatDelta,
    /// How likely its tokens were; `null` where that was not asked for.
    #[schema(required)]
    logprobs: Option<ChatLogprobs>,
    /// Why it ended, in its last piece; `null` before.
    #[schema(required)]
    finish_reason: Option<OpenAiFinishReason>,
}

/// What is new.
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct ChatDelta {
    /// `assistant`, in the first piece of each answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    /// More of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
}

/// Writes an answer's chunks.
pub(crate) struct ChatWire {
    heading: Heading,
    with_logprobs: bool,
    include_usage: bool,
    /// The answers of which something was sent.
    begun: BTreeSet<u32>,
}

impl ChatWire {
    /// A wire for the answer with this head.
    pub(crate) fn new(head: &CompletionHead, with_logprobs: bool, include_usage: bool) -> Self {
        Self { heading: Heading::new("chatcmpl", head), with_logprobs, include_usage, begun: BTreeSet::new() }
    }

    fn chunk(&self, choices: Vec<ChatChunkChoice>) -> Bytes {
        self.chunk_with(choices, if self.include_usage { UsageMember::Later } else { UsageMember::Absent })
    }

    fn chunk_with(&self, choices: Vec<ChatChunkChoice>, usage: UsageMember) -> Bytes {
        let Heading { id, created, model, system_fingerprint } = self.heading.clone();
        sse::data(&ChatCompletionChunk {
            id,
            object: "chat.completion.chunk",
            created,
            model,
            system_fingerprint,
            choices,
            usage,
        })
    }

    /// A piece of one answer; its first piece says before anything else who speaks.
    fn choice(&mut self, choice: ChatChunkChoice) -> Sent {
        let mut bytes = BytesMut::new();
        if self.begun.insert(choice.index) {
            let delta = ChatDelta { role: Some("assistant"), content: Some(String::new()) };
            let opening = ChatChunkChoice { index: choice.index, delta, logprobs: None, finish_reason: None };
            bytes.extend_from_slice(&self.chunk(vec![opening]));
        }
        bytes.extend_from_slice(&self.chunk(vec![choice]));
        Sent::Event(bytes.freeze())
    }
}

impl Wire for ChatWire {
    type Piece = CompletionPiece;

    fn piece(&mut self, piece: CompletionPiece) -> Sent {
        match piece {
            CompletionPiece::Queued { position } => sse::queued(position),
            CompletionPiece::Text { choice: index, text, logprobs } => {
                let delta = ChatDelta { role: None, content: Some(text) };
                let logprobs = self.with_logprobs.then(|| logprobs.into());
                self.choice(ChatChunkChoice { index, delta, logprobs, finish_reason: None })
            }
            CompletionPiece::Ended { choice: index, finish_reason } => {
                let finish_reason = Some(finish_reason.into());
                self.choice(ChatChunkChoice { index, delta: ChatDelta::default(), logprobs: None, finish_reason })
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
