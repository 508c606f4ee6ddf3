//! What the tests of every other crate stand on: fakes of all ports, builders of valid values, and the contracts.
//!
//! A fake keeps every obligation of its port, and a test proves it: the same stories (`contracts`) run against the fakes, SQLite and
//! PostgreSQL. So a use case tested with a fake is tested with something that cannot lie. Where a test needs a failure, or a "must not
//! be called", `ports` with its feature `mock` has a `Mock…` for each port.
//!
//! This crate is a development dependency only; `tests/architecture.rs` holds it to that.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test that meets the unexpected should stop right there, with the line that met it"
)]

pub mod builders;
#[allow(clippy::unused_async, reason = "every story is async, so that one macro can call them all")]
pub mod contracts;
mod fakes;
mod scripted_hub;

pub use fakes::{
    FakeAccessTokens, FakeApiKeyCodec, FakeClock, FakeDatabase, FakeDocuments, FakeHealth, FakeImageGenerator,
    FakeLanguageModels, FakeLinks, FakeModelRepository, FakeOneTimeCodes, FakePasswordHasher, FakePictureCodec, FakeRateLimiter,
    FakeRefreshTokens, FakeSignInThrottle, FakeStorage, FakeSynthesizer, FakeTextEmbedder, FakeTextGenerator, Gate,
    InlineBackground, Piece, SequentialRandomness, Step, TokioBackground, TokioTimer,
};
pub use scripted_hub::{HubFault, HubRequest, ScriptedHub};
