//! Models of the Hugging Face hub: fetched over HTTP, and kept on this machine in the hub's own cache layout.
//!
//! [`HubRepository`] is the port [`ModelRepository`](ports::ModelRepository). Its parts, in the order in which a fetch meets them:
//! - `names` checks what could lead out of a folder, whether a user or a server wrote it;
//! - `lock` makes two fetches of one model wait for each other, in one process or in several;
//! - `client` asks the hub: which commit a revision means, which files it has, and for their bytes; it follows redirects by hand, so that
//!   the token never reaches another host, and says what may be tried again;
//! - `selection` chooses the few files that are needed, and never a pickle: those can run code when they are read;
//! - `blob` fetches one file: resumed after a break, checked by size and digest, put in its place by a rename;
//! - `cache` is the layout on the disk, which other tools share;
//! - `pull` is the course of all of that.
//!
//! A model is here whole or not at all: what says that it is here is written last.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod blob;
mod cache;
mod client;
mod config;
mod digest;
mod lock;
mod names;
mod progress;
mod pull;
mod removal;
mod repository;
mod retries;
mod selection;
mod wire;

pub use config::{ConfigCheck, HubConfig, HubEndpoint, InvalidEndpoint};
pub use repository::HubRepository;
pub use retries::Retries;
