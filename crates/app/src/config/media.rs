//! Settings of pictures and speech: where they are kept, what makes them, and how much of them there may be.

use std::time::Duration;

use adapters_providers::http::BaseUrl;
use adapters_providers::media::PollinationsApi;
use adapters_speech::EspeakConfig;
use adapters_storage::S3Config;
use domain::ModelName;
use secrecy::SecretString;

use super::{ConfigError, Reader};

/// Everything around pictures and speech.
#[derive(Debug, Clone)]
pub(crate) struct MediaConfig {
    pub(crate) storage: StorageConfig,
    /// How long a signed link works.
    pub(crate) link_lifetime: Duration,
    /// Whether somebody who did not sign in may have pictures and speech.
    pub(crate) allows_guests: bool,
    /// The model of speech that names none.
    pub(crate) speech_model: ModelName,
    /// The model of a picture that names none.
    pub(crate) image_model: ModelName,
    pub(crate) speech_characters: usize,
    pub(crate) image_prompt_characters: usize,
    /// What a picture costs of a user's tokens of the day.
    pub(crate) image_tokens: u32,
    /// How many one user may have under way, and all guests together.
    pub(crate) max_per_owner: usize,
    /// How long one may take, waiting included.
    pub(crate) timeout: Duration,
    pub(crate) espeak: EspeakConfig,
    pub(crate) providers: MediaProvidersConfig,
}

/// Other people's servers that draw and speak. OpenAI's is the one of the texts.
#[derive(Debug, Clone)]
pub(crate) struct MediaProvidersConfig {
    pub(crate) pollinations_url: BaseUrl,
    pub(crate) pollinations_key: Option<SecretString>,
    pub(crate) pollinations_api: PollinationsApi,
    pub(crate) gtts_url: BaseUrl,
    pub(crate) openai_image_model: String,
    pub(crate) openai_speech_model: String,
    /// Calls that run at the same time, and those that may wait.
    pub(crate) max_running: usize,
    pub(crate) max_waiting: usize,
}

/// Where objects are kept.
#[derive(Debug, Clone)]
pub(crate) enum StorageConfig {
    /// In a folder of the data folder.
    File,
    /// In a bucket.
    S3(S3Config),
}

/// S3 signs for no longer (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html>).
const MAX_LINK_SECONDS: u64 = 7 * 24 * 60 * 60;
const SPEECH_BACKENDS: [&str; 4] = ["espeak", "gtts", "gtts-slow", "openai"];
/// Pollinations for anybody, and for whoever has a key.
const POLLINATIONS_PROMPT_URL: &str = "https://image.pollinations.ai";
const POLLINATIONS_IMAGE_URL: &str = "https://gen.pollinations.ai";
const GTTS_URL: &str = "https://translate.google.com";
const IMAGE_BACKENDS: [&str; 2] = ["pollinations", "openai"];

impl MediaConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, ConfigError> {
        let timeout = reader.seconds("MEDIA_TIMEOUT_SECONDS", 120, 1..=3600)?;
        Ok(Self {
            storage: storage(reader)?,
            link_lifetime: reader.seconds("SIGNED_URL_EXPIRE_SECONDS", 900, 1..=MAX_LINK_SECONDS)?,
            allows_guests: reader.flag("GUEST_MEDIA", true)?,
            speech_model: backend(reader, "SPEECH_BACKEND", "espeak", &SPEECH_BACKENDS)?,
            image_model: backend(reader, "IMAGE_BACKEND", "pollinations", &IMAGE_BACKENDS)?,
            speech_characters: reader.number("MAX_SPEECH_CHARACTERS", 5000, 1..=100_000)?,
            image_prompt_characters: reader.number("MAX_IMAGE_PROMPT_CHARACTERS", 2000, 1..=100_000)?,
            image_tokens: reader.number("IMAGE_TOKENS", 1000, 0..=1_000_000)?,
            max_per_owner: reader.number("MAX_MEDIA_PER_USER", 16, 1..=10_000)?,
            espeak: EspeakConfig {
                program: reader.text_or("ESPEAK_PROGRAM", "espeak-ng"),
                max_processes: reader.number("MAX_SPEECH_PROCESSES", 2, 1..=256)?,
                max_waiting: reader.number("MAX_QUEUED_SPEECH", 64, 0..=10_000)?,
                deadline: timeout,
            },
            providers: providers(reader)?,
            timeout,
        })
    }
}

fn providers(reader: &mut Reader<'_>) -> Result<MediaProvidersConfig, ConfigError> {
    let pollinations_key = reader.secret("POLLINATIONS_API_KEY", 1)?;
    let (pollinations_api, public_url) = match pollinations_key {
        Some(_) => (PollinationsApi::Image, POLLINATIONS_IMAGE_URL),
        None => (PollinationsApi::Prompt, POLLINATIONS_PROMPT_URL),
    };
    Ok(MediaProvidersConfig {
        pollinations_url: base_url(reader, "POLLINATIONS_BASE_URL", public_url)?,
        pollinations_key,
        pollinations_api,
        gtts_url: base_url(reader, "GTTS_BASE_URL", GTTS_URL)?,
        openai_image_model: reader.text_or("OPENAI_IMAGE_MODEL", "gpt-image-1"),
        openai_speech_model: reader.text_or("OPENAI_SPEECH_MODEL", "gpt-4o-mini-tts"),
        max_running: reader.number("MAX_RUNNING_MEDIA", 4, 1..=256)?,
        max_waiting: reader.number("MAX_QUEUED_MEDIA", 32, 0..=10_000)?,
    })
}

/// The value may hold a password, where it should not: the error must not repeat it.
fn base_url(reader: &mut Reader<'_>, name: &'static str, default: &str) -> Result<BaseUrl, ConfigError> {
    BaseUrl::parse(&reader.text_or(name, default)).map_err(|problem| ConfigError::new(name, problem.to_string()))
}

/// A backend's name, with a model of its own behind `:` where it has several.
fn backend(reader: &mut Reader<'_>, name: &'static str, default: &str, backends: &[&str]) -> Result<ModelName, ConfigError> {
    reader.parsed(name, default, |text| {
        let known = backends.contains(&text.split_once(':').map_or(text, |(backend, _)| backend));
        known.then(|| ModelName::new(text).ok()).flatten().ok_or_else(|| format!("must be one of {}", backends.join(", ")))
    })
}

fn storage(reader: &mut Reader<'_>) -> Result<StorageConfig, ConfigError> {
    let in_s3 = reader.choice("STORAGE", &[("file", false), ("s3", true)])?;
    let endpoint = reader.text("S3_ENDPOINT");
    let region = reader.text_or("S3_REGION", "us-east-1");
    let bucket = reader.text("S3_BUCKET");
    let access_key_id = reader.text("S3_ACCESS_KEY_ID");
    let secret_access_key = reader.secret("S3_SECRET_ACCESS_KEY", 1)?;
    let path_style = reader.flag("S3_PATH_STYLE", true)?;
    if !in_s3 {
        return Ok(StorageConfig::File);
    }
    let required = |name: &'static str, value: Option<String>| {
        value.ok_or_else(|| ConfigError::new(name, "must be set where STORAGE is s3"))
    };
    let missing_secret = || ConfigError::new("S3_SECRET_ACCESS_KEY", "must be set where STORAGE is s3");
    let secret_access_key: SecretString = secret_access_key.ok_or_else(missing_secret)?;
    if let Some(endpoint) = &endpoint
        && !(endpoint.starts_with("http://") || endpoint.starts_with("https://"))
    {
        return Err(ConfigError::new("S3_ENDPOINT", "must begin with http:// or https://"));
    }
    Ok(StorageConfig::S3(S3Config {
        endpoint,
        region,
        bucket: required("S3_BUCKET", bucket)?,
        access_key_id: required("S3_ACCESS_KEY_ID", access_key_id)?,
        secret_access_key,
        path_style,
    }))
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Source};

    const S3: [(&str, &str); 4] =
        [("STORAGE", "s3"), ("S3_BUCKET", "tales"), ("S3_ACCESS_KEY_ID", "id"), ("S3_SECRET_ACCESS_KEY", "hunter22")];

    #[test]
    fn what_s3_needs_is_asked_for_by_name_and_its_key_does_not_print() {
        let config = Config::read(&Source::of(&S3)).unwrap();
        assert!(!format!("{config:?}").contains("hunter22"));
        for (missing, _) in &S3[1..] {
            let rest: Vec<(&str, &str)> = S3.into_iter().filter(|(name, _)| name != missing).collect();
            let problem = Config::read(&Source::of(&rest)).unwrap_err().to_string();
            assert!(problem.starts_with(missing) && !problem.contains("hunter22"), "{problem}");
        }
        let with_endpoint = [S3.as_slice(), &[("S3_ENDPOINT", "minio:9000")]].concat();
        assert!(Config::read(&Source::of(&with_endpoint)).unwrap_err().to_string().starts_with("S3_ENDPOINT"));
    }

    #[test]
    fn a_backend_that_is_not_there_is_refused_by_name() {
        for name in ["SPEECH_BACKEND", "IMAGE_BACKEND"] {
            let problem = Config::read(&Source::of(&[(name, "klingon")])).unwrap_err().to_string();
            assert!(problem.starts_with(name) && problem.contains("must be one of"), "{problem}");
        }
    }
}
