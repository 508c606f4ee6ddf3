//! The JSON of Ollama's API, as far as it is needed here.

use std::collections::VecDeque;

use domain::{ChatMessage, FinishReason, SamplingParameters};
use ports::{GenerationError, GenerationInput, GenerationRequest};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::PROVIDER;
use crate::config::KeepAlive;
use crate::generation::{MAX_EVENT_BYTES, Told, WireFormat};
use crate::http::Refusal;
use crate::http::answer::json_problem;
use crate::http::lines::LineSplitter;
use crate::wire_logprobs::WireLogprob;

/// Where an input is sent: a conversation to be answered, or a text to go on from.
pub(super) const fn path(input: &GenerationInput) -> &'static str {
    match input {
        GenerationInput::Text(_) => "api/generate",
        GenerationInput::Chat(_) => "api/chat",
    }
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<Message<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'a str>,
    /// Never cut a prompt silently: refuse it. Versions that do not know the two fields ignore them; see [`super::context`].
    truncate: bool,
    shift: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_alive: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u8>,
    options: Options<'a>,
}

/// All of them are always sent: what is absent would come from the model's own file, whose defaults are not neutral.
#[derive(Serialize)]
struct Options<'a> {
    num_predict: u32,
    temperature: f64,
    top_p: f64,
    /// 0 for all.
    top_k: u32,
    min_p: f64,
    repeat_penalty: f64,
    presence_penalty: f64,
    frequency_penalty: f64,
    seed: i64,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    num_ctx: Option<u32>,
}

/// The body of a request.
pub(super) fn body(
    model: &str,
    request: &GenerationRequest,
    max_new_tokens: u32,
    num_ctx: Option<u32>,
    keep_alive: Option<&KeepAlive>,
) -> Result<Vec<u8>, GenerationError> {
    let (messages, prompt) = match &request.input {
        GenerationInput::Chat(messages) => (Some(messages.iter().map(message).collect()), None),
        GenerationInput::Text(prompt) => (None, Some(prompt.as_str())),
    };
    let body = Body {
        model,
        stream: true,
        messages,
        prompt,
        truncate: false,
        shift: false,
        keep_alive: keep_alive.map(keep_alive_value),
        logprobs: request.logprobs.map(|_| true),
        top_logprobs: request.logprobs.filter(|top| *top > 0),
        options: options(&request.parameters, max_new_tokens, num_ctx),
    };
    serde_json::to_vec(&body).map_err(|error| GenerationError::Failed(format!("a request cannot be written: {error}")))
}

/// As Ollama reads it.
pub(super) fn keep_alive_value(keep_alive: &KeepAlive) -> Value {
    match keep_alive {
        KeepAlive::Seconds(seconds) => Value::from(*seconds),
        KeepAlive::Duration(duration) => Value::from(duration.as_str()),
    }
}

fn options(parameters: &SamplingParameters, max_new_tokens: u32, num_ctx: Option<u32>) -> Options<'_> {
    Options {
        num_predict: max_new_tokens,
        temperature: parameters.temperature,
        top_p: parameters.top_p,
        top_k: parameters.top_k.unwrap_or(0),
        min_p: parameters.min_p,
        repeat_penalty: parameters.repetition_penalty,
        presence_penalty: parameters.presence_penalty,
        frequency_penalty: parameters.frequency_penalty,
        // Ollama hands on no more than 32 bits of it, and reads numbers by way of floating point.
        seed: parameters.seed.get() & i64::from(i32::MAX),
        stop: parameters.stop.as_slice(),
        num_ctx,
    }
}

fn message(message: &ChatMessage) -> Message<'_> {
    Message { role: message.role.as_str(), content: &message.content }
}

/// One line of either stream.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    message: Option<SaidMessage>,
    #[serde(default)]
    response: Option<String>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    logprobs: Option<Vec<WireLogprob>>,
    #[serde(default)]
    done: bool,
    #[serde(default)]
    done_reason: Option<String>,
    #[serde(default)]
    prompt_eval_count: Option<u32>,
    #[serde(default)]
    eval_count: Option<u32>,
    #[serde(default)]
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct SaidMessage {
    #[serde(default)]
    content: String,
    #[serde(default)]
    thinking: Option<String>,
}

/// The stream of either call.
pub(super) struct Lines {
    lines: LineSplitter,
    most_alternatives: usize,
}

impl Lines {
    pub(super) fn new(logprobs: Option<u8>) -> Self {
        let most_alternatives = usize::from(logprobs.unwrap_or_default());
        Self { lines: LineSplitter::new(MAX_EVENT_BYTES), most_alternatives }
    }

    fn take(&self, line: &str, told: &mut VecDeque<Told>) {
        if line.trim().is_empty() {
            return;
        }
        match serde_json::from_str::<Line>(line) {
            Ok(line) if line.error.is_none() => self.take_line(line, told),
            line_read => told.push_back(failure(line, line_read.err())),
        }
    }

    fn take_line(&self, line: Line, told: &mut VecDeque<Told>) {
        let most = self.most_alternatives;
        let mut logprobs: Vec<_> = line.logprobs.unwrap_or_default().into_iter().map(|token| token.into_logprob(most)).collect();
        let (text, thought) = match line.message {
            Some(message) => (message.content, message.thinking),
            None => (line.response.unwrap_or_default(), line.thinking),
        };
        if let Some(text) = thought.filter(|thought| !thought.is_empty()) {
            told.push_back(Told::Piece { text, hidden: true, logprobs: std::mem::take(&mut logprobs) });
        }
        told.push_back(Told::Piece { text, hidden: false, logprobs });
        if line.done {
            let length = line.done_reason.as_deref() == Some("length");
            told.push_back(Told::Ends(if length { FinishReason::Length } else { FinishReason::Stop }));
            told.extend(line.prompt_eval_count.map(Told::PromptTokens));
            told.extend(line.eval_count.map(Told::CompletionTokens));
            told.push_back(Told::Done);
        }
    }
}

/// What a line means that is no piece. Few are, so only these are read a second time.
fn failure(line: &str, problem: Option<serde_json::Error>) -> Told {
    match (serde_json::from_str::<Value>(line), problem) {
        (Ok(value), None) => failed(value),
        (Ok(value), Some(_)) if value.get("error").is_some() => failed(value),
        (_, Some(problem)) | (Err(problem), None) => garbled(&json_problem(&problem)),
    }
}

fn failed(value: Value) -> Told {
    let problem = Refusal::of_value(200, value, &[]).to_string();
    Told::Failed(GenerationError::ProviderFailed { provider: PROVIDER, problem })
}

fn garbled(problem: &str) -> Told {
    let problem = format!("what it sent cannot be understood: {problem}");
    Told::Failed(GenerationError::ProviderFailed { provider: PROVIDER, problem })
}

impl WireFormat for Lines {
    fn push(&mut self, bytes: &[u8], told: &mut VecDeque<Told>) {
        self.lines.push(bytes);
        while let Some(line) = self.lines.next_line() {
            match line {
                Ok(line) => self.take(&line, told),
                Err(problem) => told.push_back(garbled(&problem.to_string())),
            }
        }
    }

    fn end(&mut self, told: &mut VecDeque<Told>) {
        match self.lines.finish() {
            Some(Ok(line)) => self.take(&line, told),
            Some(Err(problem)) => told.push_back(garbled(&problem.to_string())),
            None => {}
        }
    }
}

/// What `/api/show` tells of a model.
#[derive(Deserialize)]
struct Shown {
    #[serde(default)]
    model_info: Map<String, Value>,
    #[serde(default)]
    capabilities: Option<Vec<String>>,
    #[serde(default)]
    template: String,
    /// Lines of `name value`.
    #[serde(default)]
    parameters: String,
}

/// What is known of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Details {
    /// What it was trained for; 0 where that is not told.
    pub(super) context_length: u32,
    /// What its file asks for instead of Ollama's default.
    pub(super) num_ctx: Option<u32>,
    pub(super) answers_chats: bool,
    /// Versions that do not tell are believed to.
    pub(super) generates: bool,
}

impl Details {
    pub(super) fn read(shown: Value) -> Result<Self, serde_json::Error> {
        let shown: Shown = serde_json::from_value(shown)?;
        let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
        let architecture = shown.model_info.get("general.architecture").and_then(Value::as_str).unwrap_or_default();
        let context_length = shown.model_info.get(&format!("{architecture}.context_length")).and_then(number);
        let num_ctx = shown.parameters.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            words.next().filter(|name| *name == "num_ctx").and_then(|_| words.next()?.parse().ok())
        });
        Ok(Self {
            context_length: context_length.unwrap_or(0),
            num_ctx,
            // The template of a base model hands the prompt on as it is.
            answers_chats: shown.template.trim() != "{{ .Prompt }}",
            generates: shown.capabilities.is_none_or(|all| all.iter().any(|one| one == "completion")),
        })
    }
}

/// What `/api/tags` tells.
#[derive(Deserialize)]
pub(super) struct Tags {
    #[serde(default)]
    pub(super) models: Vec<Tag>,
}

#[derive(Deserialize)]
pub(super) struct Tag {
    pub(super) name: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_model_is_is_read_from_what_ollama_shows() {
        let shown = json!({
            "model_info": {"general.architecture": "llama", "llama.context_length": 131_072},
            "capabilities": ["completion", "tools"],
            "template": "{{ if .System }}…",
            "parameters": "stop \"<|eot|>\"\nnum_ctx                        8192",
        });
        let details = Details { context_length: 131_072, num_ctx: Some(8192), answers_chats: true, generates: true };
        assert_eq!(Details::read(shown).unwrap(), details);
        let embedder = json!({"capabilities": ["embedding"], "template": "{{ .Prompt }}"});
        let details = Details::read(embedder).unwrap();
        assert_eq!(details, Details { context_length: 0, num_ctx: None, answers_chats: false, generates: false });
        assert!(Details::read(json!({})).unwrap().generates, "an older version does not tell");
    }
}
