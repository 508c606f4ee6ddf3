//! Ollama (<https://github.com/ollama/ollama/blob/main/docs/api.md>).

mod client;
mod context;
mod embeddings;
mod wire;

pub(crate) use client::{Ollama, OllamaModel};

/// The provider's name, as in `ollama:NAME`.
pub(crate) const PROVIDER: &str = "ollama";
/// What is asked for to see whether it is there, and for the models it has.
pub(crate) const TAGS_PATH: &str = "api/tags";
/// What tells which version it is.
pub(crate) const VERSION_PATH: &str = "api/version";
