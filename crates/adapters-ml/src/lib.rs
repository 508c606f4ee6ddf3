//! Inference in the process: models of text computed by ONNX Runtime, and the engine that shares one of them between many people.
//!
//! [`text`] holds the whole path from a prompt to a stream of text. Nothing here knows of the web or of a database.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

#[macro_use]
mod vectorised;
pub mod text;
