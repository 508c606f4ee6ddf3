//! Speech that is made on this machine, by a program of its own: `espeak-ng`.
//!
//! [`EspeakSynthesizer`] runs it as a bounded number of processes; `voices.rs` reads what it can speak, `encoding/` turns its samples
//! into MP3, Opus, FLAC or WAV while they come. It is GPL and stays outside of this program; where it is not installed, everything else works
//! and a request for speech is told how to install it.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod encoding;
mod espeak;
mod speaking;
mod voices;

pub use espeak::{EspeakConfig, EspeakSynthesizer};
