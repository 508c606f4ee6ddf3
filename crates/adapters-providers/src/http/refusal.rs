//! What a provider says where it says no.
//!
//! Everybody has a form of their own: `{"error": {"message", "type", "param", "code"}}` (OpenAI and most who speak its API),
//! `{"error": "text"}` (Ollama), `{"message"}`, `{"detail"}`, or a proxy's page. All are read into one [`Refusal`].

use std::fmt;
use std::time::Duration;

use reqwest::header::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// The longest message that is kept, in characters.
const MAX_MESSAGE_CHARACTERS: usize = 400;
/// The longest that anybody is believed to have to wait.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);

/// What it said. The message is one bounded line, from which our keys are cut.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The HTTP status; 200 for a failure that is told inside a stream.
    pub status: u16,
    /// When it wants to be asked again, if it said so.
    pub retry_after: Option<Duration>,
    /// Its reason, for the log; may be empty.
    pub message: String,
    /// Its reason, for programs: `code`, or `type` where that is absent; may be empty.
    pub code: String,
    /// The field it did not like; may be empty.
    pub param: String,
    details: Value,
}

impl Refusal {
    /// Reads a body.
    pub fn new(status: u16, retry_after: Option<Duration>, body: &[u8], secrets: &[SecretString]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => Self { retry_after, ..Self::of_value(status, value, secrets) },
            Err(_) => Self {
                status,
                retry_after,
                message: one_line(&String::from_utf8_lossy(body), secrets),
                code: String::new(),
                param: String::new(),
                details: Value::Null,
            },
        }
    }

    /// Reads a body that is JSON, or an event of a stream.
    pub fn of_value(status: u16, body: Value, secrets: &[SecretString]) -> Self {
        let error = match body {
            Value::Object(mut fields) => match fields.remove("error") {
                Some(error) if !error.is_null() => error,
                _ => Value::Object(fields),
            },
            other => other,
        };
        let text = |name: &str| match error.get(name) {
            Some(Value::String(text)) => one_line(text, secrets),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let message = match &error {
            Value::String(text) => one_line(text, secrets),
            _ => [text("message"), text("detail"), validation_message(&error, secrets)]
                .into_iter()
                .find(|message| !message.is_empty())
                .unwrap_or_default(),
        };
        let code = Some(text("code")).filter(|code| !code.is_empty()).unwrap_or_else(|| text("type"));
        Self { status, retry_after: None, message, code, param: text("param"), details: error }
    }

    /// A number that it gave under this name.
    pub fn number(&self, name: &str) -> Option<u32> {
        self.details.get(name).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.status, self.message.as_str()) {
            (200, message) => write!(formatter, "it failed midway: {message}"),
            (status, "") => write!(formatter, "status {status}"),
            (status, message) => write!(formatter, "status {status}: {message}"),
        }
    }
}

/// FastAPI lists what is wrong with a body, each with the input it is about; the input may be somebody's text and is left out.
fn validation_message(error: &Value, secrets: &[SecretString]) -> String {
    let Some(first) = error.get("detail").and_then(|detail| detail.get(0)) else { return String::new() };
    let place = first.get("loc").and_then(Value::as_array).and_then(|path| path.last()).map(ToString::to_string);
    let problem = first.get("msg").and_then(Value::as_str).unwrap_or_default();
    one_line(&format!("{} {problem}", place.unwrap_or_default()), secrets)
}

/// One line of bounded length, without control characters and without our keys.
fn one_line(text: &str, secrets: &[SecretString]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().map(ExposeSecret::expose_secret).filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "[key]");
    }
    let mut line = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).fold(
        String::new(),
        |mut line, word| {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
            line
        },
    );
    if let Some((end, _)) = line.char_indices().nth(MAX_MESSAGE_CHARACTERS) {
        line.truncate(end);
        line.push('…');
    }
    line
}

/// Reads `Retry-After` (RFC 9110, section 10.2.3: seconds or a date) and OpenAI's finer `retry-after-ms`.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(milliseconds) = header("retry-after-ms").and_then(|text| text.parse::<u64>().ok()) {
        return Some(Duration::from_millis(milliseconds).min(MAX_RETRY_AFTER));
    }
    let text = header("retry-after")?;
    let asked = if let Ok(seconds) = text.parse::<u64>() {
        Duration::from_secs(seconds)
    } else {
        let date = chrono::DateTime::parse_from_rfc2822(text).ok()?;
        (date.to_utc() - chrono::Utc::now()).to_std().unwrap_or_default()
    };
    Some(asked.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn read(body: &str) -> Refusal {
        Refusal::new(400, None, body.as_bytes(), &[SecretString::from("sk-hunter2")])
    }

    #[test]
    fn every_form_of_a_refusal_is_read() {
        let openai = read(r#"{"error":{"message":"No such model","type":"t","param":"model","code":"model_not_found"}}"#);
        assert_eq!(
            (openai.message.as_str(), openai.code.as_str(), openai.param.as_str()),
            ("No such model", "model_not_found", "model")
        );
        let llama = read(r#"{"error":{"code":400,"message":"too long","type":"exceed","n_prompt_tokens":5000,"n_ctx":4096}}"#);
        assert_eq!((llama.number("n_prompt_tokens"), llama.number("n_ctx")), (Some(5000), Some(4096)));
        for (body, message) in [
            (r#"{"error":"model \"x\" not found"}"#, "model \"x\" not found"),
            (r#"{"object":"error","message":"bad","code":null}"#, "bad"),
            (r#"{"detail":"Not Found"}"#, "Not Found"),
            (r#"{"detail":[{"loc":["body","top_p"],"msg":"is too large","input":"my diary"}]}"#, "\"top_p\" is too large"),
            ("<html>\n<b>502</b></html>", "<html> <b>502</b></html>"),
            ("", ""),
            ("[]", ""),
        ] {
            assert_eq!(read(body).message, message, "{body}");
        }
    }

    #[test]
    fn a_message_is_one_short_line_without_our_key() {
        let refusal = read("{\"error\":{\"message\":\"key sk-hunter2\\nis\\u0007 bad\", \"code\":\"sk\\u002dhunter2\"}}");
        assert_eq!((refusal.message.as_str(), refusal.code.as_str()), ("key [key] is bad", "[key]"));
        assert_eq!(read(&"é".repeat(10_000)).message.chars().count(), MAX_MESSAGE_CHARACTERS + 1);
    }

    #[test]
    fn the_time_to_wait_is_read_in_each_of_its_forms() {
        let of = |name: &'static str, value: &str| {
            retry_after(&HeaderMap::from_iter([(
                reqwest::header::HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )]))
        };
        assert_eq!(of("retry-after", "3"), Some(Duration::from_secs(3)));
        assert_eq!(of("retry-after-ms", "250"), Some(Duration::from_millis(250)));
        assert_eq!(of("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(of("retry-after", "99999999999"), Some(MAX_RETRY_AFTER));
        assert_eq!(of("retry-after", "soon"), None);
    }
}
