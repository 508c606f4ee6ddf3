//! OpenAI, and whatever speaks its API: vLLM, llama.cpp, LiteLLM, another Tertulia.

mod client;
mod embeddings;
mod refusals;
mod wire;

pub(crate) use client::{OpenAi, OpenAiModel};

/// The provider's name, as in `openai:NAME`.
pub(crate) const PROVIDER: &str = "openai";
/// What is asked for to see whether it is there.
pub(crate) const PROBE_PATH: &str = "models";
