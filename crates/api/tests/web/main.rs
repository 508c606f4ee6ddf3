//! The HTTP API, from the request to the answer, over real services on the fakes of `test-support`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "these are tests")]

mod accounts;
mod aliases;
mod api_keys;
mod audit;
mod chat;
mod codes;
mod cors;
mod documents;
mod embeddings;
mod errors;
mod export;
mod limits;
mod logs;
mod matrix;
mod media;
mod metrics;
mod model_pull;
mod models;
mod openai;
mod openai_streams;
mod proxies;
mod replays;
mod requests;
mod route_table;
mod sessions;
mod sockets;
mod streams;
mod support;
mod texts;
