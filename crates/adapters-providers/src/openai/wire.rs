//! The JSON of `/chat/completions` and `/completions` (<https://platform.openai.com/docs/api-reference>), as far as it is needed here.

use std::collections::{BTreeMap, VecDeque};

use domain::{ChatMessage, FinishReason};
use ports::{GenerationError, GenerationInput, GenerationRequest, TokenLogprob};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::PROVIDER;
use crate::generation::{MAX_EVENT_BYTES, Told, WireFormat};
use crate::http::Refusal;
use crate::http::answer::json_problem;
use crate::http::sse::{SseEvent, SseParser};
use crate::wire_logprobs::{WireLogprob, likeliest, narrowed};

/// Which of the two is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Api {
    /// `/completions` goes on from a text.
    Completions,
    /// `/chat/completions` answers a conversation.
    Chat,
}

impl Api {
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Completions => "completions",
            Self::Chat => "chat/completions",
        }
    }
}

/// How a request is put, as far as servers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) api: Api,
    /// Whether `top_k` and its like are known there.
    pub(super) extra_parameters: bool,
    /// OpenAI's newer models know the limit by this name alone, other servers by the older one.
    pub(super) max_completion_tokens: bool,
    /// A server that is strict about what it knows may not know this.
    pub(super) stream_options: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// Absent fields are those that change nothing, or that the API in question does not have.
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<Message<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    logit_bias: &'a BTreeMap<u32, f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    seed: i64,
    /// A flag in the chat API, a number in the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repetition_penalty: Option<f64>,
    /// llama.cpp's name for the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    repeat_penalty: Option<f64>,
}

/// The body of a request. OpenAI's own newer models refuse a parameter even at the value that changes nothing, so those are left out;
/// a server that takes what is absent from its model's own defaults is sent all.
pub(super) fn body(
    model: &str,
    request: &GenerationRequest,
    form: Form,
    max_new_tokens: u32,
) -> Result<Vec<u8>, GenerationError> {
    let parameters = &request.parameters;
    let extra = form.extra_parameters;
    let unless = |neutral: f64, value: f64| (extra || value.to_bits() != neutral.to_bits()).then_some(value);
    let chat = form.api == Api::Chat;
    let (messages, prompt) = match (&request.input, chat) {
        (GenerationInput::Chat(messages), _) => (Some(messages.iter().map(message).collect()), None),
        (GenerationInput::Text(prompt), true) => (Some(vec![Message { role: "user", content: prompt.as_str() }]), None),
        (GenerationInput::Text(prompt), false) => (None, Some(prompt.as_str())),
    };
    let body = Body {
        model,
        stream: true,
        stream_options: form.stream_options.then_some(StreamOptions { include_usage: true }),
        messages,
        prompt,
        max_tokens: (!form.max_completion_tokens).then_some(max_new_tokens),
        max_completion_tokens: form.max_completion_tokens.then_some(max_new_tokens),
        temperature: unless(1.0, parameters.temperature),
        top_p: unless(1.0, parameters.top_p),
        presence_penalty: unless(0.0, parameters.presence_penalty),
        frequency_penalty: unless(0.0, parameters.frequency_penalty),
        logit_bias: parameters.logit_bias.as_map(),
        stop: parameters.stop.as_slice(),
        seed: parameters.seed.get(),
        logprobs: request.logprobs.map(|top| if chat { Value::Bool(true) } else { Value::from(top) }),
        top_logprobs: request.logprobs.filter(|top| chat && *top > 0),
        // Both servers read -1 as all tokens; older ones of vLLM do not know 0.
        top_k: extra.then(|| parameters.top_k.map_or(-1, i64::from)),
        min_p: extra.then_some(parameters.min_p),
        repetition_penalty: extra.then_some(parameters.repetition_penalty),
        repeat_penalty: extra.then_some(parameters.repetition_penalty),
    };
    serde_json::to_vec(&body).map_err(|error| GenerationError::Failed(format!("a request cannot be written: {error}")))
}

fn message(message: &ChatMessage) -> Message<'_> {
    Message { role: message.role.as_str(), content: &message.content }
}

/// One event of either API.
#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Usage>,
    /// A failure midway; `null` counts as absent.
    #[serde(default)]
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(default)]
    logprobs: Option<Logprobs>,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<String>,
    /// What a model says instead of an answer that it will not give.
    #[serde(default)]
    refusal: Option<String>,
    /// What it thinks, by the two names that servers give to it.
    #[serde(default, alias = "reasoning")]
    reasoning_content: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: Option<u32>,
    #[serde(default)]
    completion_tokens: Option<u32>,
}

/// Of the chat API `content`, of the other the rest: one list for each thing that is known of a token.
#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names are the API's")]
struct Logprobs {
    #[serde(default)]
    content: Option<Vec<WireLogprob>>,
    #[serde(default)]
    tokens: Option<Vec<String>>,
    #[serde(default)]
    token_logprobs: Option<Vec<Option<f64>>>,
    #[serde(default)]
    top_logprobs: Option<Vec<Option<BTreeMap<String, f64>>>>,
}

impl Logprobs {
    fn into_list(self, most: usize) -> Vec<TokenLogprob> {
        if let Some(content) = self.content {
            return content.into_iter().map(|token| token.into_logprob(most)).collect();
        }
        let mut top = self.top_logprobs.unwrap_or_default().into_iter();
        let tokens = self.tokens.unwrap_or_default().into_iter().zip(self.token_logprobs.unwrap_or_default());
        let mut list = Vec::new();
        for (token, logprob) in tokens {
            let top = top.next().flatten().unwrap_or_default();
            let Some(logprob) = logprob else { continue };
            let top = top.into_iter().map(|(token, logprob)| (token_bytes(token), logprob)).collect();
            list.push(TokenLogprob { token: token_bytes(token), logprob: narrowed(logprob), top: likeliest(top, most) });
        }
        list
    }
}

/// A token that is no whole character is written as `bytes:\xe2\x82` in the older API.
fn token_bytes(token: String) -> Vec<u8> {
    let parts = token.strip_prefix("bytes:").map(|rest| rest.split("\\x").skip(1));
    let bytes: Option<Vec<u8>> = parts.and_then(|mut parts| {
        parts.try_fold(Vec::new(), |mut bytes, part| {
            bytes.push(u8::from_str_radix(part, 16).ok()?);
            Some(bytes)
        })
    });
    bytes.filter(|bytes| !bytes.is_empty()).unwrap_or(token.into_bytes())
}

/// The stream of either API.
pub(super) struct Events {
    parser: SseParser,
    most_alternatives: usize,
    secrets: Vec<secrecy::SecretString>,
}

impl Events {
    pub(super) fn new(logprobs: Option<u8>, secrets: &[secrecy::SecretString]) -> Self {
        let most_alternatives = usize::from(logprobs.unwrap_or_default());
        Self { parser: SseParser::new(MAX_EVENT_BYTES), most_alternatives, secrets: secrets.to_vec() }
    }

    fn take(&self, event: &SseEvent, told: &mut VecDeque<Told>) {
        if event.data.trim() == "[DONE]" {
            told.push_back(Told::Done);
            return;
        }
        match serde_json::from_str::<Chunk>(&event.data) {
            Ok(chunk) if event.name != "error" && chunk.error.is_none() => self.take_chunk(chunk, told),
            // A failure midway: an event of that name, or an object where a chunk should be.
            chunk => told.push_back(self.failure(&event.data, chunk.err())),
        }
    }

    /// What an event means that is no chunk. Few are, so only these are read a second time.
    fn failure(&self, data: &str, problem: Option<serde_json::Error>) -> Told {
        match (serde_json::from_str::<Value>(data), problem) {
            (Ok(value), None) => self.failed(value),
            (Ok(value), Some(_)) if value.get("error").is_some_and(|error| !error.is_null()) => self.failed(value),
            (_, Some(problem)) | (Err(problem), None) => garbled(&json_problem(&problem)),
        }
    }

    fn failed(&self, value: Value) -> Told {
        let problem = Refusal::of_value(200, value, &self.secrets).to_string();
        Told::Failed(GenerationError::ProviderFailed { provider: PROVIDER, problem })
    }

    fn take_chunk(&self, chunk: Chunk, told: &mut VecDeque<Told>) {
        // Only one choice is ever asked for.
        if let Some(choice) = chunk.choices.into_iter().next() {
            let mut logprobs = choice.logprobs.map(|logprobs| logprobs.into_list(self.most_alternatives)).unwrap_or_default();
            let Delta { content, refusal, reasoning_content } =
                choice.delta.unwrap_or(Delta { content: None, refusal: None, reasoning_content: None });
            if let Some(thought) = reasoning_content.filter(|thought| !thought.is_empty()) {
                let logprobs = std::mem::take(&mut logprobs);
                told.push_back(Told::Piece { text: thought, hidden: true, logprobs });
            }
            let text = content.or(choice.text).filter(|text| !text.is_empty()).or(refusal).unwrap_or_default();
            told.push_back(Told::Piece { text, hidden: false, logprobs });
            if let Some(reason) = choice.finish_reason {
                told.push_back(Told::Ends(finish_reason(&reason)));
            }
        }
        if let Some(usage) = chunk.usage {
            told.extend(usage.prompt_tokens.map(Told::PromptTokens));
            told.extend(usage.completion_tokens.map(Told::CompletionTokens));
        }
    }
}

/// A text that the provider's filter cut ends where it was cut. The port has no word for that, and the text is no longer than what is
/// there: `stop`, and a line in the log for whoever wonders.
fn finish_reason(reason: &str) -> FinishReason {
    match reason {
        "length" | "max_tokens" => FinishReason::Length,
        "stop" | "eos" => FinishReason::Stop,
        other => {
            let known = ["content_filter", "tool_calls", "function_call"].into_iter().find(|known| *known == other);
            tracing::warn!(provider = PROVIDER, reason = known.unwrap_or("unknown"), "a text was ended for an unusual reason");
            FinishReason::Stop
        }
    }
}

fn garbled(problem: &str) -> Told {
    let problem = format!("what it sent cannot be understood: {problem}");
    Told::Failed(GenerationError::ProviderFailed { provider: PROVIDER, problem })
}

impl WireFormat for Events {
    fn push(&mut self, bytes: &[u8], told: &mut VecDeque<Told>) {
        self.parser.push(bytes);
        while let Some(event) = self.parser.next_event() {
            match event {
                Ok(event) => self.take(&event, told),
                Err(problem) => told.push_back(garbled(&problem.to_string())),
            }
        }
    }

    fn end(&mut self, told: &mut VecDeque<Told>) {
        match self.parser.finish() {
            Some(Ok(event)) => self.take(&event, told),
            Some(Err(problem)) => told.push_back(garbled(&problem.to_string())),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(bytes: &[u8]) -> Vec<Told> {
        let (mut events, mut told) = (Events::new(Some(2), &[]), VecDeque::new());
        events.push(bytes, &mut told);
        events.end(&mut told);
        told.into()
    }

    #[test]
    fn a_token_that_is_no_whole_character_is_read_as_its_bytes() {
        assert_eq!(token_bytes("bytes:\\xe2\\x82".to_owned()), [0xe2, 0x82]);
        for text in ["€", "bytes:", "bytes:\\xzz", "bytes: \\x41\\x"] {
            assert_eq!(token_bytes(text.to_owned()), text.as_bytes());
        }
    }

    #[test]
    fn a_token_without_a_probability_is_left_out() {
        let list = |logprobs: Value| serde_json::from_value::<Logprobs>(logprobs).unwrap().into_list(1);
        let first = serde_json::json!({"tokens": ["a", "b"], "token_logprobs": [null, -1.0], "top_logprobs": [null, {"c": -0.5, "b": -1.0}]});
        let expected = TokenLogprob { token: b"b".to_vec(), logprob: -1.0, top: vec![(b"c".to_vec(), -0.5)] };
        assert_eq!(list(first), [expected]);
        assert_eq!(list(serde_json::json!({})), []);
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_told_or_refused_and_never_a_panic(
            before in prop::collection::vec(any::<u8>(), 0..40),
            name in "choices|error|usage|delta|text",
            value in "null|7|\"x\"|\\[\\]|\\[7\\]|\\[\\{\\}\\]|\\{\\}|\\[\\{\"text\":\"x\",\"logprobs\":\\{\"tokens\":\\[\"a\"\\]\\}\\}\\]",
        ) {
            let mut bytes = before;
            bytes.extend_from_slice(format!("\n\ndata: {{\"{name}\": {value}}}\n\n").as_bytes());
            for event in told(&bytes) {
                if let Told::Failed(error) = event {
                    let is_told = matches!(error, GenerationError::ProviderFailed { .. });
                    prop_assert!(is_told);
                }
            }
        }
    }
}
