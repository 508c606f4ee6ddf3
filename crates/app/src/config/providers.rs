//! Settings of the providers: where they are, and how patient to be with them.

use std::time::Duration;

use adapters_providers::http::BaseUrl;
use adapters_providers::http::base_url::InvalidBaseUrl;
use adapters_providers::{KeepAlive, OllamaConfig, OpenAiConfig, OpenAiTextApi, ProvidersConfig, RunningLimits};

use super::{ConfigError, Reader};

/// OpenAI's own API: whoever gives a key and no URL means this one.
const OPENAI_PUBLIC_URL: &str = "https://api.openai.com/v1";
/// The longest that a connection may take to come about. A provider in the same building needs a hundredth of it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Providers refuse shorter keys anyway; most are three times as long. One that stands for "none" may be short.
const MIN_KEY_BYTES: usize = 1;

/// Reads them. Generations at a provider keep the limits of those that run here.
pub(super) fn read(
    reader: &mut Reader<'_>,
    generation_timeout: Duration,
    shutdown_grace: Duration,
) -> Result<ProvidersConfig, ConfigError> {
    use OpenAiTextApi::{Auto, Chat, Completions};
    let patience = reader.seconds("PROVIDER_TIMEOUT_SECONDS", 60, 1..=3600)?;
    Ok(ProvidersConfig {
        openai: OpenAiConfig {
            base_url: base_url(reader, "OPENAI_BASE_URL", OPENAI_PUBLIC_URL, BaseUrl::parse)?,
            api_key: reader.secret("OPENAI_API_KEY", MIN_KEY_BYTES)?,
            organization: reader.text("OPENAI_ORGANIZATION"),
            text_api: reader.choice("OPENAI_TEXT_API", &[("auto", Auto), ("completions", Completions), ("chat", Chat)])?,
            extra_parameters: reader.flag("OPENAI_EXTRA_PARAMETERS", false)?,
        },
        ollama: OllamaConfig {
            base_url: base_url(reader, "OLLAMA_HOST", "http://127.0.0.1:11434", BaseUrl::parse_ollama_host)?,
            keep_alive: reader.optional_parsed("OLLAMA_KEEP_ALIVE", KeepAlive::parse)?,
        },
        connect_timeout: CONNECT_TIMEOUT,
        limits: ProvidersConfig::limits(patience),
        generation_timeout,
        running: RunningLimits {
            total: reader.number("MAX_PROVIDER_GENERATIONS", 256, 1..=65_536)?,
            per_owner: reader.number("MAX_PROVIDER_GENERATIONS_PER_USER", 32, 1..=65_536)?,
        },
        shutdown_grace,
    })
}

/// The value may hold a password, where it should not: the error must not repeat it.
fn base_url(
    reader: &mut Reader<'_>,
    name: &'static str,
    default: &str,
    parse: impl FnOnce(&str) -> Result<BaseUrl, InvalidBaseUrl>,
) -> Result<BaseUrl, ConfigError> {
    parse(&reader.text_or(name, default)).map_err(|problem| ConfigError::new(name, problem.to_string()))
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Source};

    #[test]
    fn a_url_that_cannot_be_used_is_refused_without_being_repeated() {
        for (name, value) in [
            ("OPENAI_BASE_URL", "https://user:hunter2@host/v1"),
            ("OPENAI_BASE_URL", "hunter2"),
            ("OLLAMA_HOST", "http://host/?key=hunter2"),
        ] {
            let problem = Config::read(&Source::of(&[(name, value)])).unwrap_err().to_string();
            assert!(problem.starts_with(name) && !problem.contains("hunter2"), "{problem}");
        }
    }
}
