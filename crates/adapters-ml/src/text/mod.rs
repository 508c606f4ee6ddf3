//! From a prompt to a stream of text.
//!
//! The parts, in the order in which a request meets them:
//! - [`tokenizer`] turns text into tokens, [`stream_decoder`] tokens back into whole characters;
//! - [`scheduler`] decides, without a clock or a channel, what the model computes next and for whom; [`speculation`] guesses ahead;
//! - [`step_model`] is the seam behind which a model computes a step; [`model`] is the real one;
//! - [`sampler`] chooses a token from its logits, [`stop_strings`] finds where a text ends;
//! - `engine` is the thread that owns the model and carries all of this out;
//! - [`generator`] and [`local_models`] are what the rest of the program sees of it.
//!
//! The metrics are listed in `metrics.rs`.

mod engine;
pub mod engine_config;
#[cfg(test)]
pub(crate) mod fake_model;
pub mod generator;
pub mod local_models;
mod metrics;
pub mod model;
pub mod sampler;
pub mod scheduler;
pub mod speculation;
pub mod step_model;
pub mod stop_strings;
pub mod stream_decoder;
pub mod tokenizer;
