//! Other people's HTTP services as models: OpenAI and whatever speaks its API (vLLM, llama.cpp, …), and Ollama.
//!
//! - [`http`] speaks to a server that may be slow, broken or hostile, and knows nothing of texts;
//! - `generation` turns an answer's body into a [`ports::TokenStream`], whichever provider it came from;
//! - `embeddings` checks an answer's vectors;
//! - `openai` and `ollama` know one provider each: `client` what is asked for and what its refusals mean, `wire` its JSON;
//! - [`Providers`] opens their models by identifier, as [`ports::LanguageModels`].
//!
//! Nothing is promised here that the provider does not keep: a parameter that its API lacks is refused by name, never dropped, and no
//! provider's text counts as reproducible.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod config;
mod embeddings;
mod failures;
mod generation;
mod health;
pub mod http;
pub mod media;
mod ollama;
mod openai;
mod providers;
mod running;
mod wire_logprobs;

pub use config::{InvalidKeepAlive, KeepAlive, OllamaConfig, OpenAiConfig, OpenAiTextApi, ProvidersConfig};
pub use health::ProviderHealth;
pub use providers::Providers;
pub use running::RunningLimits;
