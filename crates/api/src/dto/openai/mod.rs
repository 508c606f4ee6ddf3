//! OpenAI's shapes (<https://platform.openai.com/docs/api-reference>), as its official clients write and read them.
//!
//! Fields that nobody here knows are ignored, as OpenAI's own servers of older versions do. A field that is known and would change the
//! answer, and that this server cannot honour, is refused by its name (`Unserved`): never ignored.

mod chat;
mod completions;
mod embeddings;
mod logprobs;
mod media;
mod models;
mod sampling;
mod unserved;
mod usage;

pub(crate) use chat::{ChatCompletion, ChatCompletionChunk, ChatCompletionRequest, ChatWire};
pub(crate) use completions::{TextCompletion, TextCompletionRequest, TextCompletionWire};
pub(crate) use embeddings::{EmbeddingsRequest, EmbeddingsResponse};
pub(crate) use media::{Handover, ImageDatum, ImagesRequest, ImagesResponse, SpeechCreationRequest};
pub(crate) use models::{OpenAiModel, OpenAiModelList};
pub(crate) use sampling::Delivery;
