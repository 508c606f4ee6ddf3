//! `tertulia`: the program in which everything comes together. Business rules live elsewhere; here is only what starts, wires and stops.
//!
//! - [`cli`] the commands;
//! - [`config`] every setting, read from the environment here alone;
//! - [`locate`] where ONNX Runtime and the bundled models lie;
//! - [`machine`] how much memory there is;
//! - [`pull_progress`] how far the fetch of a model has come, on standard error;
//! - [`secret_key`] the key that signs tokens, made at the first start;
//! - [`banner`] what `serve` says first;
//! - [`wiring`] which adapter stands behind which port;
//! - [`system`] the clock, chance and background tasks;
//! - [`telemetry`] logs;
//! - [`metrics`] what `GET /metrics` shows;
//! - [`tls`] the certificate, and its replacement while the server runs;
//! - [`server`] the workers, and the signals that stop them; [`sockets`] what is set below HTTP;
//! - [`maintenance`] and [`periodic`] what is tidied up while the server runs;
//! - [`start_error`] why a start was refused, in one line.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod banner;
mod cli;
mod config;
mod locate;
mod machine;
mod maintenance;
mod metrics;
mod periodic;
mod pull_progress;
mod secret_key;
mod server;
mod sockets;
mod start_error;
mod system;
mod telemetry;
mod tls;
mod wiring;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "tertulia: {}", error.line());
            ExitCode::FAILURE
        }
    }
}
