//! The repository against a hub on loopback that does what each test tells it. One file a story:
//!
//! - [`contract`]: what the port promises;
//! - [`fetching`]: what is asked for, breaks that are taken up, and bytes that are not what was announced;
//! - [`refusals`]: models that are not there, not for everybody, or cannot run here, and names that lead elsewhere;
//! - [`sharing`]: two fetches at once, other tools' caches, and removing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "these are tests")]

mod contract;
mod fetching;
mod refusals;
mod sharing;
mod support;
