//! What a repository is made with.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use secrecy::SecretString;

use crate::Retries;

/// Says whether what a `config.json` describes can run here, or in one line why not. Asked before any weight is fetched.
pub type ConfigCheck = Arc<dyn Fn(&[u8]) -> Result<(), String> + Send + Sync>;

/// Where models come from, where they are kept, and how much is asked of either.
#[derive(Clone)]
pub struct HubConfig {
    /// The hub, or a mirror that speaks its protocol.
    pub endpoint: HubEndpoint,
    /// `HF_HOME`: models are kept in its folder `hub`, as every tool of the hub does. A cache that lies in `home` itself is read too.
    pub home: PathBuf,
    /// Opens private models. It is sent to the endpoint's own origin and nowhere else.
    pub token: Option<SecretString>,
    /// The most bytes that the files of one model may have.
    pub max_model_bytes: u64,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long the other side may be silent within a response.
    pub idle_timeout: Duration,
    /// How often, and after which waits, what broke off is tried again.
    pub retries: Retries,
    /// Whether a model can run here.
    pub check_config: ConfigCheck,
}

/// The address of a hub: `http://` or `https://`, a host, perhaps a path.
#[derive(Clone, PartialEq, Eq)]
pub struct HubEndpoint(Url);

/// Why a text is no address of a hub. Says what is allowed, and never repeats the text, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidEndpoint;

impl fmt::Display for InvalidEndpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("must be http:// or https://, a host and perhaps a path; without a user, a query or a fragment")
    }
}

impl std::error::Error for InvalidEndpoint {}

impl FromStr for HubEndpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let url = Url::parse(text).map_err(|_| InvalidEndpoint)?;
        let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
        let known = matches!(url.scheme(), "http" | "https") && url.has_host();
        if plain && known { Ok(Self(url)) } else { Err(InvalidEndpoint) }
    }
}

impl HubEndpoint {
    /// The address of something below it. Each segment is one, whatever it holds.
    pub(crate) fn below<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.0.clone();
        // Only an address without a host cannot have a path; such a one is refused above.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    pub(crate) fn has_origin_of(&self, url: &Url) -> bool {
        self.0.origin() == url.origin()
    }

    /// Whether it is this very machine, which no proxy reaches.
    pub(crate) fn is_loopback(&self) -> bool {
        let Some(host) = self.0.host_str() else { return false };
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for HubEndpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for HubEndpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_may_have_a_path_and_a_segment_cannot_leave_its_place() {
        let endpoint: HubEndpoint = "http://mirror.example.org/hf/".parse().unwrap();
        assert_eq!(endpoint.to_string(), "http://mirror.example.org/hf");
        let url = endpoint.below(["api", "models", "org", "name", "revision", "refs/pr/1?x#y"]);
        assert_eq!(url.as_str(), "http://mirror.example.org/hf/api/models/org/name/revision/refs%2Fpr%2F1%3Fx%23y");
    }

    #[test]
    fn what_is_no_address_of_a_hub_is_refused() {
        for text in ["", "hub", "ftp://hub", "http://", "https://u:secret@hub", "https://hub?x=1", "https://hub#x", "file:///x"] {
            assert!(text.parse::<HubEndpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn this_machine_is_known_by_its_names() {
        for (text, loopback) in [
            ("http://127.0.0.1:8", true),
            ("http://[::1]:8", true),
            ("http://localhost", true),
            ("https://hub.example.org", false),
        ] {
            assert_eq!(text.parse::<HubEndpoint>().unwrap().is_loopback(), loopback, "{text}");
        }
    }
}
