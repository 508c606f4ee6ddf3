//! `tertulia openapi`: the document of the HTTP API, for generators of clients.

use std::io::Write as _;

use clap::Args;

use crate::start_error::StartError;

/// Print the OpenAPI document of the HTTP API as JSON
///
/// It is the one that the server answers at /openapi.json. Nothing is read or started for it.
#[derive(Debug, Args)]
pub(super) struct OpenApi {}

impl OpenApi {
    #[expect(clippy::unused_self, reason = "every command is run as a value")]
    pub(super) fn run(self) -> Result<(), StartError> {
        let document = api::openapi::document();
        let text = document.to_pretty_json().map_err(|error| StartError::System(error.to_string()))?;
        // A reader that has seen enough (`| head`) is no failure.
        let _ = writeln!(std::io::stdout(), "{text}");
        Ok(())
    }
}
