//! `tertulia healthcheck`: asks the server that these settings describe whether it lives, for what watches over it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use clap::Args;

use crate::config::Config;
use crate::start_error::StartError;

/// Ask the server of these settings whether it lives
///
/// For a container's health check: the image needs no other program, and HOST, PORT and TLS_CERT_FILE are taken from where the server
/// takes them. Exits with 0 if the server answers, and with 1 and the reason if not.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Healthcheck {
    /// Ask whether it can work as well: whether its database, storage and model answer
    #[arg(long)]
    ready: bool,
    /// How many seconds it may take to answer
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
}

const EXAMPLES: &str = "\
Examples:
  tertulia healthcheck
  PORT=9000 tertulia healthcheck --ready --timeout 10";

impl Healthcheck {
    pub(super) async fn run(self, config: Config) -> Result<(), StartError> {
        let url = url(&config, if self.ready { "/readyz" } else { "/healthz" })?;
        let no_answer = |error: &dyn std::fmt::Display| StartError::System(format!("{url} does not answer: {error}"));
        // The certificate names the host as others know it, and this is the machine itself: who answers here is not in doubt.
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_danger_accept_invalid_certs(true)
            .timeout(Duration::from_secs(self.timeout))
            .build()
            .map_err(|error| StartError::System(error.to_string()))?;
        let answer = client.get(&url).send().await.map_err(|error| no_answer(&error.without_url()))?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(StartError::System(format!("{url} answers {}", answer.status())))
    }
}

/// Where the server is reached from this machine: one that listens at every address has none to be asked for by.
fn url(config: &Config, path: &str) -> Result<String, StartError> {
    let (host, port) = (config.http.host.as_str(), config.http.port);
    if port == 0 {
        return Err(StartError::System("PORT=0 lets the server take any free port: there is none to ask at".to_owned()));
    }
    let host = match host.parse() {
        Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => Ipv4Addr::LOCALHOST.to_string(),
        Ok(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => format!("[{}]", Ipv6Addr::LOCALHOST),
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        Ok(IpAddr::V4(_)) | Err(_) => host.to_owned(),
    };
    let scheme = if config.edge.tls.is_some() { "https" } else { "http" };
    Ok(format!("{scheme}://{host}:{port}{path}"))
}
