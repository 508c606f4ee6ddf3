//! Settings of how the server meets the network: TLS, proxies, foreign web pages, and who may read the metrics.

use std::path::PathBuf;

use api::{Origin, PublicUrl, TrustedProxies};
use secrecy::SecretString;

use super::{ConfigError, Reader};

/// Everything is closed unless a setting opens it.
#[derive(Debug, Clone)]
pub(crate) struct EdgeConfig {
    /// `None` to speak plain HTTP.
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) cors_origins: Vec<Origin>,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) metrics_token: Option<SecretString>,
    /// Where the server is reached from outside; what each request came to if it is not set.
    pub(crate) public_url: PublicUrl,
}

/// What makes HTTP into HTTPS, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The server's certificate, followed by those that vouch for it.
    pub(crate) certificate_chain: PathBuf,
    pub(crate) private_key: PathBuf,
}

/// Too long to be guessed over the network.
const MIN_METRICS_TOKEN_BYTES: usize = 16;

impl EdgeConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, ConfigError> {
        let proxies = reader.parsed_list("TRUSTED_PROXIES", |text| TrustedProxies::parse([text]).map(|_| text.to_owned()))?;
        Ok(Self {
            tls: tls_files(reader)?,
            cors_origins: reader.parsed_list("CORS_ORIGINS", str::parse)?,
            trusted_proxies: TrustedProxies::parse(proxies)
                .map_err(|problem| ConfigError::new("TRUSTED_PROXIES", problem.to_string()))?,
            metrics_token: reader.secret("METRICS_TOKEN", MIN_METRICS_TOKEN_BYTES)?,
            public_url: PublicUrl(
                reader.optional_parsed("PUBLIC_URL", str::parse::<Origin>)?.map(|origin| origin.as_str().to_owned()),
            ),
        })
    }
}

fn tls_files(reader: &mut Reader<'_>) -> Result<Option<TlsFiles>, ConfigError> {
    let missing = |name, given| Err(ConfigError::new(name, format!("must be set too where {given} is, or neither")));
    match (reader.path("TLS_CERT_FILE"), reader.path("TLS_KEY_FILE")) {
        (Some(certificate_chain), Some(private_key)) => Ok(Some(TlsFiles { certificate_chain, private_key })),
        (Some(_), None) => missing("TLS_KEY_FILE", "TLS_CERT_FILE"),
        (None, Some(_)) => missing("TLS_CERT_FILE", "TLS_KEY_FILE"),
        (None, None) => Ok(None),
    }
}
