//! Where pictures and speech are kept, and what makes them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use adapters_db::{DatabaseUrl, DbMediaStore, DbPool};
use adapters_pictures::PngCodec;
use adapters_providers::http::{Endpoint, EndpointConfig};
use adapters_providers::media::{Gtts, GttsPace, MediaLimits, OpenAiImages, OpenAiSpeech, Places, Pollinations};
use adapters_providers::{ProviderHealth, Providers};
use adapters_speech::EspeakSynthesizer;
use adapters_storage::{FileStorage, HmacLinks, JsonDocuments, S3Storage, StorageHealth};
use ports::{Background, HealthCheck, ImageGenerator, ObjectLinks, ObjectStorage, SpeechSynthesizer};
use secrecy::SecretString;
use services::{LimitService, MediaPolicy, MediaPorts, MediaService};

use super::Shared;
use crate::config::{Config, ConfigError, StorageConfig};
use crate::start_error::StartError;
use crate::system::TokioTimer;

/// The folder of objects, in the data folder.
const OBJECTS_FOLDER: &str = "objects";
/// What was broken off at its deadline has cleared up after itself well within this.
const CLEARING_TIME: Duration = Duration::from_mins(1);

/// Where objects are kept.
pub(crate) struct Storage {
    objects: Arc<dyn ObjectStorage>,
    /// `None` where the storage serves its own links.
    links: Option<Arc<dyn ObjectLinks>>,
}

impl Storage {
    /// Opens it; a folder is made if it is not there, a bucket is asked nothing yet. Blocks.
    pub(crate) fn open(config: &Config, secret_keys: &[SecretString]) -> Result<Self, StartError> {
        match &config.media.storage {
            StorageConfig::File => {
                let links: Arc<dyn ObjectLinks> = Arc::new(HmacLinks::new(secret_keys));
                let folder = config.data_dir.join(OBJECTS_FOLDER);
                let objects =
                    FileStorage::open(&folder, Arc::clone(&links)).map_err(|error| StartError::file(&folder, &error))?;
                Ok(Self { objects: Arc::new(objects), links: Some(links) })
            }
            StorageConfig::S3(s3) => {
                let objects = S3Storage::new(s3).map_err(|problem| ConfigError::new("S3_ENDPOINT", problem.to_string()))?;
                Ok(Self { objects: Arc::new(objects), links: None })
            }
        }
    }

    /// Whether it answers.
    pub(crate) fn health(&self) -> Arc<dyn HealthCheck> {
        Arc::new(StorageHealth::new(Arc::clone(&self.objects)))
    }
}

/// What the use cases around pictures and speech share with others.
pub(crate) struct Neighbours<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) database: &'a DbPool,
    pub(crate) limits: &'a LimitService,
    pub(crate) background: &'a Arc<dyn Background>,
    pub(crate) providers: &'a Providers,
}

/// Joins use cases and adapters.
pub(crate) fn service(
    config: &Config,
    storage: &Storage,
    neighbours: &Neighbours<'_>,
) -> Result<(MediaService, Vec<Arc<dyn HealthCheck>>), StartError> {
    let Neighbours { shared, database, limits, background, providers } = neighbours;
    let Makers { synthesizers, image_generators, health } = makers(config, providers)?;
    let media = &config.media;
    let ports = MediaPorts {
        records: Arc::new(DbMediaStore::new((*database).clone())),
        storage: Arc::clone(&storage.objects),
        links: storage.links.clone(),
        documents: Arc::new(JsonDocuments),
        pictures: Arc::new(PngCodec::default()),
        synthesizers,
        image_generators,
        users: Arc::clone(&shared.users),
        background: Arc::clone(background),
        clock: Arc::clone(&shared.clock),
        timer: Arc::new(TokioTimer),
        randomness: Arc::clone(&shared.randomness),
    };
    let policy = MediaPolicy {
        allows_guests: media.allows_guests,
        image_model: media.image_model.clone(),
        speech_model: media.speech_model.clone(),
        image_prompt_characters: media.image_prompt_characters,
        speech_characters: media.speech_characters,
        image_tokens: media.image_tokens,
        max_per_owner: media.max_per_owner,
        time_limit: media.timeout,
        link_lifetime: media.link_lifetime,
    };
    Ok((MediaService::new(ports, policy, (*limits).clone(), shared.audit_trail()), health))
}

/// What speaks and draws, by the names that requests have for it.
struct Makers {
    synthesizers: BTreeMap<&'static str, Arc<dyn SpeechSynthesizer>>,
    image_generators: BTreeMap<&'static str, Arc<dyn ImageGenerator>>,
    /// Whether those that are nobody else's are called now.
    health: Vec<Arc<dyn HealthCheck>>,
}

fn makers(config: &Config, providers: &Providers) -> Result<Makers, StartError> {
    let settings = &config.media.providers;
    let limits =
        || MediaLimits { deadline: config.media.timeout, places: Places::new(settings.max_running, settings.max_waiting) };
    let endpoint = |provider, base_url: &_, api_key: &Option<SecretString>, name: &'static str| {
        let headers = Vec::new();
        let (base_url, api_key, limits) = (Clone::clone(base_url), api_key.clone(), config.providers.limits);
        let endpoint = Endpoint::new(providers.http_client(), EndpointConfig { provider, base_url, api_key, headers, limits });
        endpoint.map_err(|problem| StartError::from(ConfigError::new(name, problem)))
    };
    let pollinations = endpoint("pollinations", &settings.pollinations_url, &settings.pollinations_key, "POLLINATIONS_API_KEY")?;
    let gtts = endpoint("gtts", &settings.gtts_url, &None, "GTTS_BASE_URL")?;
    let watched = [&pollinations, &gtts].map(|endpoint| Arc::new(ProviderHealth::new(endpoint.clone(), "")) as _);
    let openai = providers.openai_endpoint();
    let of_gtts = limits();
    let synthesizers: [(_, Arc<dyn SpeechSynthesizer>); 4] = [
        ("espeak", Arc::new(EspeakSynthesizer::new(config.media.espeak.clone()))),
        ("gtts", Arc::new(Gtts::new(gtts.clone(), GttsPace::Normal, of_gtts.clone()))),
        ("gtts-slow", Arc::new(Gtts::new(gtts, GttsPace::Slow, of_gtts))),
        ("openai", Arc::new(OpenAiSpeech::new(openai.clone(), settings.openai_speech_model.clone(), limits()))),
    ];
    let image_generators: [(_, Arc<dyn ImageGenerator>); 2] = [
        ("pollinations", Arc::new(Pollinations::new(pollinations, settings.pollinations_api, limits()))),
        ("openai", Arc::new(OpenAiImages::new(openai, settings.openai_image_model.clone(), limits()))),
    ];
    Ok(Makers { synthesizers: synthesizers.into(), image_generators: image_generators.into(), health: watched.into() })
}

/// After how long a record that has not ended is nobody's any more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Abandonment {
    /// At the start: where no other process can be at work on this database, at once.
    pub(crate) at_start: Duration,
    /// Later.
    pub(crate) later: Duration,
}

impl Abandonment {
    pub(crate) fn new(config: &Config) -> Self {
        let later = config.media.timeout + config.shutdown_grace + CLEARING_TIME;
        let at_start = match config.database.url {
            DatabaseUrl::Sqlite(_) => Duration::ZERO,
            DatabaseUrl::Postgres(_) => later,
        };
        Self { at_start, later }
    }
}
