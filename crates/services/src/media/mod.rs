//! Pictures and speech: making them, keeping them, and handing them out.
//!
//! A record is kept before the work begins (`queued`, then `running`) and is `done` only once its object is: see [`Job`](job::Job). What
//! breaks off, for whatever reason, leaves a record that says `failed` and no object; what a process that died leaves is put right by
//! [`sweep`]. Who may see a record is the record's own to say (`MediaRecord::belongs_to`).

mod draw;
mod erase;
mod histories;
mod job;
mod link;
mod records;
mod speak;
mod sweep;
mod under_way;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use domain::{MediaId, MediaKind, ModelName, Prompt, Refusal, Seed, Viewer};
use futures_util::future::{Either, select};
use ports::{
    Background, Clock, GenerationError, ImageGenerator, MediaDocuments, MediaStore, ObjectLinks, ObjectStorage, PictureCodec,
    Randomness, SpeechSynthesizer, StoreError, Timer, UserStore,
};

use crate::{AuditTrail, Caller, LimitService, ServiceError, TokenHold};

pub use draw::ImageOrder;
pub use link::{OpenedObject, SignedLink};
pub use speak::{SpeechOrder, SpeechStream};
pub use sweep::Swept;

use histories::Histories;
use under_way::UnderWay;

/// What a [`MediaService`] stands on.
#[derive(Clone)]
pub struct MediaPorts {
    /// The records.
    pub records: Arc<dyn MediaStore>,
    /// The objects.
    pub storage: Arc<dyn ObjectStorage>,
    /// Signs and checks links that this server serves; `None` where the storage serves its own.
    pub links: Option<Arc<dyn ObjectLinks>>,
    /// Writes records as documents.
    pub documents: Arc<dyn MediaDocuments>,
    /// Reads pictures and writes them anew.
    pub pictures: Arc<dyn PictureCodec>,
    /// Speaks, by the name that a request has for it.
    pub synthesizers: BTreeMap<&'static str, Arc<dyn SpeechSynthesizer>>,
    /// Draws, by the name that a request has for it.
    pub image_generators: BTreeMap<&'static str, Arc<dyn ImageGenerator>>,
    /// Whose history is nobody's any more.
    pub users: Arc<dyn UserStore>,
    /// Ends what a caller who went away began.
    pub background: Arc<dyn Background>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Waits.
    pub timer: Arc<dyn Timer>,
    /// Draws identifiers and seeds.
    pub randomness: Arc<dyn Randomness>,
}

/// What is accepted, what it costs, and how long links work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaPolicy {
    /// Whether somebody who did not sign in may have pictures and speech.
    pub allows_guests: bool,
    /// The model of a picture that names none.
    pub image_model: ModelName,
    /// The model of speech that names none.
    pub speech_model: ModelName,
    /// The longest description of a picture, in characters.
    pub image_prompt_characters: usize,
    /// The longest text to be spoken, in characters.
    pub speech_characters: usize,
    /// What a picture costs of a user's tokens of the day. Speech costs what its text would.
    pub image_tokens: u32,
    /// How many pictures and recordings one user may have under way, and all guests together.
    pub max_per_owner: usize,
    /// How long a picture or a recording may take, from its record to its end.
    pub time_limit: Duration,
    /// How long a signed link works.
    pub link_lifetime: Duration,
}

/// The use cases around pictures and speech.
#[derive(Clone)]
pub struct MediaService {
    ports: Arc<MediaPorts>,
    policy: Arc<MediaPolicy>,
    histories: Histories,
    under_way: UnderWay,
    limits: LimitService,
    audit: AuditTrail,
}

impl MediaService {
    /// Takes what it needs.
    pub fn new(ports: MediaPorts, policy: MediaPolicy, limits: LimitService, audit: AuditTrail) -> Self {
        let histories = Histories::new(&ports);
        let under_way = UnderWay::at_most(policy.max_per_owner);
        Self { ports: Arc::new(ports), policy: Arc::new(policy), histories, under_way, limits, audit }
    }

    /// The model of speech that names none.
    pub fn speech_model(&self) -> &ModelName {
        &self.policy.speech_model
    }

    /// Refuses guests where they may have nothing.
    fn admit(&self, caller: Option<&Caller>) -> Result<(), ServiceError> {
        if caller.is_none() && !self.policy.allows_guests { Err(ServiceError::InvalidToken) } else { Ok(()) }
    }

    fn new_id(&self, caller: Option<&Caller>) -> MediaId {
        let uuid = self.ports.randomness.uuid_v7();
        if caller.is_some() {
            return MediaId::owned(uuid);
        }
        let half = || u128::from(self.ports.randomness.bits());
        MediaId::anonymous(uuid, half() << 64 | half())
    }

    /// Ends work that takes too long. Every wait inside has a limit of its own, but for that of the storage and of the picture codec.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, ServiceError>>) -> Result<T, ServiceError> {
        let (work, end) = (pin!(work), self.ports.timer.sleep(self.policy.time_limit));
        match select(work, end).await {
            Either::Left((result, _)) => result,
            Either::Right(((), _)) => Err(GenerationError::DeadlineExceeded.into()),
        }
    }

    /// Sets a user's tokens aside. Guests have none to set aside; how often they may ask is limited by their address.
    async fn hold(&self, caller: Option<&Caller>, tokens: u32) -> Result<Option<TokenHold>, ServiceError> {
        match caller {
            Some(caller) => self.limits.hold_tokens(caller, tokens).await.map(Some),
            None => Ok(None),
        }
    }

    fn seed(&self, seed: Option<i64>) -> Result<Seed, Refusal> {
        seed.map_or_else(|| Ok(Seed::from_random_bits(self.ports.randomness.bits())), Seed::new)
    }
}

/// Who looks at records.
fn viewer(caller: Option<&Caller>) -> Viewer {
    match caller {
        None => Viewer::Guest,
        Some(caller) if caller.require_admin().is_ok() => Viewer::Admin,
        Some(caller) => Viewer::User(caller.user.id),
    }
}

/// A failure of the storage. Where it cannot be used now its admin is told by which settings.
fn storage_error(storage: &dyn ObjectStorage, error: StoreError) -> ServiceError {
    match error {
        StoreError::Unavailable(cause) => ServiceError::StorageUnavailable { settings: storage.settings(), cause },
        other => ServiceError::Store(other),
    }
}

/// That there is no such record, or another user's.
fn not_found(kind: MediaKind) -> ServiceError {
    match kind {
        MediaKind::Image => ServiceError::ImageNotFound,
        MediaKind::Speech => ServiceError::SpeechNotFound,
    }
}

/// What a text costs: English has about four characters a token, and a quota should rather hold too much than too little.
fn text_tokens(prompt: &Prompt) -> u32 {
    u32::try_from(prompt.as_str().len().div_ceil(3)).unwrap_or(u32::MAX)
}

/// One of several backends by the part of a model's name before `:`, with the part after it: the provider's own model.
fn choose<'a, T: ?Sized>(
    model: &ModelName,
    backends: &'a BTreeMap<&'static str, Arc<T>>,
) -> Result<(&'a Arc<T>, Option<String>), Refusal> {
    let (name, provider_model) = match model.as_str().split_once(':') {
        Some((name, own)) => (name, Some(own.to_owned())),
        None => (model.as_str(), None),
    };
    match backends.get(name) {
        Some(backend) if provider_model.as_deref() != Some("") => Ok((backend, provider_model)),
        _ => {
            let names: Vec<&str> = backends.keys().copied().collect();
            Err(Refusal::field("model", format!("must be one of {}", names.join(", "))))
        }
    }
}
