//! Texts: making them, and the history of those that were made.

mod generate;
mod history;
mod recording;
mod replay;

use std::sync::Arc;

use domain::ModelName;
use futures_util::stream::BoxStream;
use ports::{Background, Clock, LanguageModels, ModelStore, Priority, Randomness, TextGenerationStore, Timer, Truncation};

use crate::generation::Generators;
use crate::{AuditTrail, LimitService, ServiceError};

pub use history::{AllTexts, TextChange};
pub use replay::Replay;

/// A text to be made.
#[derive(Clone)]
pub struct TextRequest {
    /// What it begins with.
    pub prompt: String,
    /// Which model; the default one if absent.
    pub model: Option<String>,
    /// How its tokens are chosen.
    pub sampling: domain::SamplingRequest,
    /// What to do where the prompt does not fit.
    pub truncation: Truncation,
    /// How soon it should run.
    pub priority: Priority,
}

/// A text while it is being made.
#[derive(Debug, Clone, PartialEq)]
pub enum TextPiece {
    /// It waits; this many wait before it.
    Queued {
        /// 0 for the next to begin.
        position: u32,
    },
    /// More of the continuation: whole characters.
    Text(String),
    /// It is made, and stored as this record. The last piece.
    Done(Box<domain::TextGeneration>),
}

/// The pieces of a text. Dropping it cancels the generation; what was made until then is stored, as interrupted.
pub type TextStream = BoxStream<'static, Result<TextPiece, ServiceError>>;

/// What is accepted at the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextLimits {
    /// The longest prompt, in Unicode scalar values.
    pub prompt_characters: usize,
    /// The most records that a list without pages answers.
    pub unpaged_records: usize,
}

/// What a [`TextService`] stands on.
#[derive(Clone)]
pub struct TextPorts {
    /// Named models and users' defaults.
    pub models: Arc<dyn ModelStore>,
    /// What generates.
    pub language_models: Arc<dyn LanguageModels>,
    /// The history.
    pub texts: Arc<dyn TextGenerationStore>,
    /// Stores what was made, also where its caller goes away meanwhile.
    pub background: Arc<dyn Background>,
    /// Lets time pass until a store that is away is tried again.
    pub timer: Arc<dyn Timer>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Draws identifiers and seeds.
    pub randomness: Arc<dyn Randomness>,
}

/// The use cases around texts.
#[derive(Clone)]
pub struct TextService {
    ports: TextPorts,
    generators: Generators,
    limits: TextLimits,
    audit: AuditTrail,
}

impl TextService {
    /// Takes what it needs; `default_model` applies where a request names none.
    pub fn new(
        ports: TextPorts,
        default_model: ModelName,
        limits: TextLimits,
        token_limits: LimitService,
        audit: AuditTrail,
    ) -> Self {
        let generators = Generators {
            models: Arc::clone(&ports.models),
            language_models: Arc::clone(&ports.language_models),
            randomness: Arc::clone(&ports.randomness),
            default_model,
            token_limits,
        };
        Self { ports, generators, limits, audit }
    }
}
