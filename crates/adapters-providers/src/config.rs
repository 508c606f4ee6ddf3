//! What must be known of the providers before any is called. Read from the environment by the app.

use std::fmt;
use std::time::Duration;

use secrecy::SecretString;

use crate::http::breaker::BreakerConfig;
use crate::http::retry::RetryPolicy;
use crate::http::{BaseUrl, HttpLimits};
use crate::running::RunningLimits;

/// All providers.
#[derive(Debug, Clone)]
pub struct ProvidersConfig {
    /// Whatever speaks OpenAI's API.
    pub openai: OpenAiConfig,
    /// Ollama.
    pub ollama: OllamaConfig,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How patient to be with each.
    pub limits: HttpLimits,
    /// How long a text may take in all.
    pub generation_timeout: Duration,
    /// How many texts may be made at the same time, at both together.
    pub running: RunningLimits,
    /// How long texts may take to end once the server was told to stop.
    pub shutdown_grace: Duration,
}

impl ProvidersConfig {
    /// Waits so long for the first byte and between two; repeats and breaks circuits as is usual.
    pub fn limits(patience: Duration) -> HttpLimits {
        HttpLimits { patience, retry: RetryPolicy::default(), breaker: BreakerConfig::default() }
    }
}

/// A server that speaks OpenAI's API.
#[derive(Debug, Clone)]
pub struct OpenAiConfig {
    /// Where it is, `/v1` included.
    pub base_url: BaseUrl,
    /// Its key; a server of one's own may need none.
    pub api_key: Option<SecretString>,
    /// The organisation that pays, where a key belongs to several.
    pub organization: Option<String>,
    /// How plain texts are asked for.
    pub text_api: OpenAiTextApi,
    /// Whether `top_k`, `min_p` and `repetition_penalty` are sent, which OpenAI's own API does not know and vLLM, llama.cpp and others
    /// do. All parameters are then sent, those that change nothing included, since such servers take what is absent from the model.
    pub extra_parameters: bool,
}

/// How plain texts are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OpenAiTextApi {
    /// By `/completions`, and where a model cannot do that, as a conversation of one message. What a model can do is remembered.
    #[default]
    Auto,
    /// By `/completions` alone.
    Completions,
    /// As a conversation of one message.
    Chat,
}

/// An Ollama server.
#[derive(Debug, Clone)]
pub struct OllamaConfig {
    /// Where it is.
    pub base_url: BaseUrl,
    /// How long it keeps a model loaded after a text; `None` for its own setting.
    pub keep_alive: Option<KeepAlive>,
}

/// How long Ollama keeps a model loaded: seconds, or a duration in Go's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeepAlive {
    /// So many seconds; below 0 for ever.
    Seconds(i64),
    /// `5m`, `1h30m`.
    Duration(String),
}

/// Neither a number of seconds nor a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a number of seconds (below 0: for ever) or a duration such as 5m or 1h30m")]
pub struct InvalidKeepAlive;

impl KeepAlive {
    /// Reads a setting.
    pub fn parse(text: &str) -> Result<Self, InvalidKeepAlive> {
        if let Ok(seconds) = text.parse() {
            return Ok(Self::Seconds(seconds));
        }
        let mut rest = text.strip_prefix('-').unwrap_or(text);
        while !rest.is_empty() {
            let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
            // Each part is a number and a unit, the longer units first: `ms` is not `m`.
            let after = ["ns", "us", "ms", "s", "m", "h"].iter().find_map(|name| unit.strip_prefix(name));
            match after {
                Some(after) if unit.len() < rest.len() => rest = after,
                _ => return Err(InvalidKeepAlive),
            }
        }
        if text.chars().any(|c| c.is_ascii_digit()) { Ok(Self::Duration(text.to_owned())) } else { Err(InvalidKeepAlive) }
    }
}

impl fmt::Display for KeepAlive {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seconds(seconds) => write!(formatter, "{seconds}"),
            Self::Duration(duration) => formatter.write_str(duration),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_keep_a_model_is_seconds_or_a_duration() {
        assert_eq!(KeepAlive::parse("-1"), Ok(KeepAlive::Seconds(-1)));
        assert_eq!(KeepAlive::parse("300"), Ok(KeepAlive::Seconds(300)));
        for text in ["5m", "1h30m", "1.5h", "250ms", "-5m"] {
            assert_eq!(KeepAlive::parse(text), Ok(KeepAlive::Duration(text.to_owned())));
        }
        for text in ["", "-", "m", "5 m", "5d", "5m3", "soon"] {
            assert_eq!(KeepAlive::parse(text), Err(InvalidKeepAlive), "{text}");
        }
    }
}
