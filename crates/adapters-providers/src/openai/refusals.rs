//! What a refusal of OpenAI's API means: something to put differently, or something to tell.
//!
//! Servers of this API differ in what they know, and no call tells beforehand. So a request is put in the usual way first, and what a
//! refusal teaches is remembered for the model, once a request that follows it was accepted.

use domain::LengthLimit;
use ports::GenerationError;

use super::PROVIDER;
use super::wire::{Api, Form};
use crate::failures::{generation_error, key_refused, request_refused, speaks_of_the_key};
use crate::http::{HttpFailure, Refusal};

/// How to put the same request differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lesson {
    /// This model, or this server, knows conversations alone.
    AskByChat,
    /// It knows `max_completion_tokens` alone.
    MaxCompletionTokens,
    /// It does not know `stream_options`.
    NoStreamOptions,
    /// After this prompt there is room for so many tokens, fewer than were asked for.
    Room(u32),
}

/// What can be learnt from a refusal of a request in this form. `may_chat`: it may be put as a conversation instead.
pub(super) fn lesson(refusal: &Refusal, form: Form, may_chat: bool, max_new_tokens: u32) -> Option<Lesson> {
    let names = |field: &str| refusal.param == field || refusal.message.contains(field);
    if form.api == Api::Completions && may_chat && knows_conversations_alone(refusal) {
        return Some(Lesson::AskByChat);
    }
    if !matches!(refusal.status, 400 | 422) {
        return None;
    }
    if let Some(overflow) = Overflow::read(refusal) {
        return overflow.room().filter(|room| *room < max_new_tokens).map(Lesson::Room);
    }
    if !form.max_completion_tokens && (refusal.param == "max_tokens" || refusal.message.contains("max_completion_tokens")) {
        return Some(Lesson::MaxCompletionTokens);
    }
    (form.stream_options && names("stream_options")).then_some(Lesson::NoStreamOptions)
}

/// OpenAI answers 404 with these words, others 400; a server without the path 404, 405 or 501. That the model is unknown is another 404.
fn knows_conversations_alone(refusal: &Refusal) -> bool {
    let message = refusal.message.to_lowercase();
    match refusal.status {
        400 => message.contains("chat"),
        404 => refusal.code != "model_not_found",
        405 | 501 => true,
        _ => false,
    }
}

/// Where to look if a key is refused.
const KEY_SETTINGS: &str = "OPENAI_API_KEY and OPENAI_ORGANIZATION";

/// What a refusal says to whoever asked.
pub(super) fn meaning(refusal: Refusal, model: &str, length: LengthLimit) -> GenerationError {
    let failed = |problem: String| GenerationError::ProviderFailed { provider: PROVIDER, problem };
    match refusal.status {
        status @ (401 | 403) => key_refused(PROVIDER, status, KEY_SETTINGS),
        404 => GenerationError::ModelUnavailable(format!(
            "the server at OPENAI_BASE_URL has no model {model}: check the name behind openai:, and that OPENAI_BASE_URL ends with /v1 where \
             the server expects it"
        )),
        // The month's money is spent: waiting does not help.
        429 if refusal.code == "insufficient_quota" => failed(refusal.to_string()),
        400 | 422 => {
            let overflow = Overflow::read(&refusal).filter(|overflow| overflow.room().is_none());
            match (overflow, unsupported_field(&refusal)) {
                (Some(overflow), _) => overflow.into_error(length),
                (None, Some(field)) => GenerationError::Unsupported { field },
                (None, None) if speaks_of_the_key(&refusal) => key_refused(PROVIDER, refusal.status, KEY_SETTINGS),
                (None, None) => request_refused(PROVIDER, &refusal),
            }
        }
        _ => generation_error(PROVIDER, HttpFailure::Refused(Box::new(refusal))),
    }
}

/// A parameter that this model does not take, by the name that our own API has for it.
fn unsupported_field(refusal: &Refusal) -> Option<&'static str> {
    const FIELDS: [&str; 11] = [
        "temperature",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "stop",
        "seed",
        "logprobs",
        "top_logprobs",
        "top_k",
        "min_p",
    ];
    let says_so = matches!(refusal.code.as_str(), "unsupported_parameter" | "unsupported_value");
    FIELDS.into_iter().find(|field| says_so && refusal.param == *field)
}

/// A prompt that does not fit, or not with all that was to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Overflow {
    prompt_tokens: u32,
    context_length: u32,
}

impl Overflow {
    /// OpenAI and vLLM tell it in words that have changed over the years, llama.cpp in numbers of their own.
    fn read(refusal: &Refusal) -> Option<Self> {
        if let (Some(prompt_tokens), Some(context_length)) = (refusal.number("n_prompt_tokens"), refusal.number("n_ctx")) {
            return Some(Self { prompt_tokens, context_length });
        }
        let message = refusal.message.as_str();
        let context_length = number_after(message, "maximum context length is ")?;
        let prompt_tokens = [
            " in your prompt",
            " in the messages",
            " input tokens",
            " tokens from the input",
            " tokens in the input",
            " prompt tokens",
        ]
        .into_iter()
        .find_map(|marker| number_before(message, marker))
        .or_else(|| number_after(message, "messages resulted in "))?;
        Some(Self { prompt_tokens, context_length })
    }

    /// What is left after the prompt.
    fn room(self) -> Option<u32> {
        self.context_length.checked_sub(self.prompt_tokens).filter(|room| *room > 0)
    }

    const fn into_error(self, length: LengthLimit) -> GenerationError {
        let Self { prompt_tokens, context_length } = self;
        let limit = match length {
            LengthLimit::Total(total) => total,
            LengthLimit::New(_) => context_length,
        };
        GenerationError::PromptTooLong { prompt_tokens, limit, context_length }
    }
}

fn number_after(text: &str, marker: &str) -> Option<u32> {
    let (_, rest) = text.split_once(marker)?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

fn number_before(text: &str, marker: &str) -> Option<u32> {
    let (before, _) = text.split_once(marker)?;
    let begin = before.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |place| place + 1);
    before.get(begin..)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FORM: Form =
        Form { api: Api::Completions, extra_parameters: false, max_completion_tokens: false, stream_options: true };
    const CHAT: Form = Form { api: Api::Chat, ..FORM };

    fn refusal(status: u16, error: &serde_json::Value) -> Refusal {
        Refusal::new(status, None, json!({ "error": error }).to_string().as_bytes(), &[])
    }

    fn saying(status: u16, message: &str) -> Refusal {
        refusal(status, &json!({ "message": message }))
    }

    #[test]
    fn a_model_that_knows_conversations_alone_is_asked_by_one() {
        let words = "This is a chat model and not supported in the v1/completions endpoint.";
        for refusal in [saying(404, words), saying(400, words), saying(404, ""), saying(405, ""), saying(501, "")] {
            assert_eq!(lesson(&refusal, FORM, true, 5), Some(Lesson::AskByChat), "{refusal:?}");
            assert_eq!(lesson(&refusal, FORM, false, 5), None);
            assert_eq!(lesson(&refusal, CHAT, true, 5), None);
        }
        let unknown = refusal(404, &json!({"message": "no such model", "code": "model_not_found"}));
        assert_eq!(lesson(&unknown, FORM, true, 5), None);
        assert_eq!(lesson(&saying(400, "bad prompt"), FORM, true, 5), None);
    }

    #[test]
    fn a_field_under_another_name_and_one_that_is_not_known_are_put_differently() {
        let newer = refusal(400, &json!({"message": "Use 'max_completion_tokens' instead.", "param": "max_tokens"}));
        assert_eq!(lesson(&newer, CHAT, true, 5), Some(Lesson::MaxCompletionTokens));
        assert_eq!(lesson(&newer, Form { max_completion_tokens: true, ..CHAT }, true, 5), None);
        let strict = saying(422, "stream_options: extra fields not permitted");
        assert_eq!(lesson(&strict, CHAT, true, 5), Some(Lesson::NoStreamOptions));
        assert_eq!(lesson(&strict, Form { stream_options: false, ..CHAT }, true, 5), None);
    }

    #[test]
    fn a_prompt_that_does_not_fit_is_told_with_its_numbers_however_they_are_put() {
        let of = |prompt_tokens, context_length| GenerationError::PromptTooLong { prompt_tokens, limit: 300, context_length };
        for (words, prompt_tokens, context_length) in [
            ("This model's maximum context length is 4097 tokens. However, your messages resulted in 5000 tokens.", 5000, 4097),
            (
                "This model's maximum context length is 4097 tokens, however you requested 5010 tokens (5000 in your prompt; 10 for the completion).",
                5000,
                4097,
            ),
            ("This model's maximum context length is 512 tokens. However, your request has 600 input tokens.", 600, 512),
        ] {
            let refusal = saying(400, words);
            assert_eq!(lesson(&refusal, CHAT, true, 10), None);
            assert_eq!(meaning(refusal, "m", LengthLimit::Total(300)), of(prompt_tokens, context_length));
        }
        let llama = refusal(400, &json!({"code": 400, "message": "exceeds", "n_prompt_tokens": 5000, "n_ctx": 4096}));
        assert_eq!(meaning(llama, "m", LengthLimit::Total(300)), of(5000, 4096));
        let without_numbers = refusal(400, &json!({"message": "too long", "code": "context_length_exceeded"}));
        let told = GenerationError::InputRefused("openai refuses the request: too long".to_owned());
        assert_eq!(meaning(without_numbers, "m", LengthLimit::New(1)), told);
    }

    #[test]
    fn a_request_that_the_provider_does_not_like_is_the_callers_to_change_and_its_key_the_admins() {
        let policy =
            refusal(400, &json!({"message": "Your prompt was flagged as violating our policy.", "code": "content_policy"}));
        let told = "openai refuses the request: Your prompt was flagged as violating our policy.";
        assert_eq!(meaning(policy, "m", LengthLimit::New(1)), GenerationError::InputRefused(told.to_owned()));
        let silent = GenerationError::InputRefused("openai refuses the request (status 422)".to_owned());
        assert_eq!(meaning(saying(422, ""), "m", LengthLimit::New(1)), silent);
        let long = meaning(saying(400, &"x".repeat(5000)), "m", LengthLimit::New(1)).to_string();
        assert!(long.len() < 500, "{} bytes", long.len());
        for key in [
            refusal(400, &json!({"message": "API key not valid: sk-abc***xyz", "code": 400})),
            refusal(400, &json!({"message": "no: sk-abc***xyz", "code": "invalid_api_key"})),
        ] {
            let told = meaning(key, "m", LengthLimit::New(1));
            assert!(matches!(told, GenerationError::ProviderFailed { .. }) && !told.to_string().contains("sk-abc"), "{told}");
        }
    }

    #[test]
    fn a_limit_beyond_the_context_ends_at_the_context() {
        let words = "This model's maximum context length is 2048 tokens. However, you requested 2100 tokens (2000 in the messages, 100 in the completion).";
        assert_eq!(lesson(&saying(400, words), CHAT, true, 100), Some(Lesson::Room(48)));
        assert_eq!(lesson(&saying(400, words), CHAT, true, 48), None);
    }

    #[test]
    fn each_refusal_says_what_to_look_at() {
        let told = |refusal| meaning(refusal, "gpt-x", LengthLimit::New(5)).to_string();
        assert!(told(saying(401, "Incorrect API key provided: sk-abc***xyz")).contains("check OPENAI_API_KEY"));
        assert!(!told(saying(403, "key sk-abc***xyz")).contains("sk-abc"));
        assert!(told(saying(404, "")).contains("no model gpt-x"));
        let field = refusal(400, &json!({"message": "no", "param": "temperature", "code": "unsupported_value"}));
        assert_eq!(meaning(field, "m", LengthLimit::New(5)), GenerationError::Unsupported { field: "temperature" });
        let spent = refusal(429, &json!({"message": "spent", "code": "insufficient_quota"}));
        assert!(matches!(meaning(spent, "m", LengthLimit::New(5)), GenerationError::ProviderFailed { .. }));
        assert!(matches!(meaning(saying(429, "slow down"), "m", LengthLimit::New(5)), GenerationError::ProviderBusy { .. }));
    }
}
