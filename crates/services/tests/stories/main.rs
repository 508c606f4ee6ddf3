//! The use cases as stories, over fakes that keep the ports' contracts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod accounts;
mod api_keys;
mod chat;
mod codes;
mod completions;
mod embeddings;
mod endings;
mod gated;
mod health;
mod limits;
mod media;
mod media_endings;
mod model_pull;
mod models;
mod replays;
mod sessions;
mod support;
mod texts;
