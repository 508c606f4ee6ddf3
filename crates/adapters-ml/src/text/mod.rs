//! From a prompt to a stream of text.
//!
//! The parts, in the order in which a request meets them:
//! - `chat` writes a conversation in the form that the model was trained on;
//! - [`tokenizer`] turns text into tokens, `truncation` fits them into the model's context, [`stream_decoder`] turns tokens back into
//!   whole characters;
//! - [`scheduler`] decides, without a clock or a channel, what the model computes next and for whom; [`speculation`] guesses ahead;
//! - [`step_model`] is the seam behind which a model computes a step; [`model`] is the real one;
//! - [`sampler`] chooses a token from its logits, [`stop_strings`] finds where a text ends;
//! - `engine` is the thread that owns the model and carries all of this out;
//! - `embedder` makes vectors of texts with the same thread and model; [`generator`] and [`local_models`] are what the rest of the program sees of it; `residency` chooses which models stay loaded.
//!
//! The metrics are listed in `metrics.rs`; [`describe_metrics`] tells what they mean.

mod chat;
mod control_tokens;
mod embedder;
mod engine;
pub mod engine_config;
#[cfg(test)]
pub(crate) mod fake_model;
pub mod generator;
pub mod local_models;
mod metrics;
pub mod model;
mod model_files;
mod prompt_reader;
mod residency;
pub mod sampler;
pub mod scheduler;
pub mod speculation;
pub mod step_model;
pub mod stop_strings;
pub mod stream_decoder;
pub mod tokenizer;
mod truncation;

pub use metrics::describe_metrics;
