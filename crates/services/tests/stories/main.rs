//! The use cases as stories, over fakes that keep the ports' contracts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod accounts;
mod models;
mod sessions;
mod support;
mod texts;
