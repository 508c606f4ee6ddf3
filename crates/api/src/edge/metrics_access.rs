//! Who may read the metrics: whoever is on this machine, whoever has the token, and an admin.

use std::fmt;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::{FORWARDED, HeaderName, VIA};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::client_address;

/// What `GET /metrics` shows, and the token that opens it to a scraper on another machine.
#[derive(Clone)]
pub struct MetricsAccess {
    /// Writes the metrics in Prometheus' text format (version 0.0.4).
    pub render: Arc<dyn Fn() -> String + Send + Sync>,
    /// What a scraper sends as its bearer token; without one, an admin's token is needed.
    pub token: Option<SecretString>,
}

impl Default for MetricsAccess {
    /// No metrics, and no token.
    fn default() -> Self {
        Self { render: Arc::new(String::new), token: None }
    }
}

impl fmt::Debug for MetricsAccess {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MetricsAccess").field("token", &self.token).finish_non_exhaustive()
    }
}

impl MetricsAccess {
    /// Whether this bearer token opens the metrics. The time it takes tells nothing but the token's length.
    pub(crate) fn is_opened_by(&self, bearer: &str) -> bool {
        self.token.as_ref().is_some_and(|token| bool::from(token.expose_secret().as_bytes().ct_eq(bearer.as_bytes())))
    }
}

/// What proxies add to a request, one or the other.
const TRACES_OF_A_PROXY: [HeaderName; 4] =
    [FORWARDED, VIA, HeaderName::from_static("x-forwarded-for"), HeaderName::from_static("x-real-ip")];

/// Whether a request was made on this machine. A proxy on this machine calls from here too, for somebody elsewhere: what bears its traces
/// is of this machine only where the proxy is believed and says so.
pub(crate) fn is_of_this_machine(request: &HttpRequest) -> bool {
    let is_loopback = |address: std::net::IpAddr| address.to_canonical().is_loopback();
    let (Some(peer), Some(client)) = (request.peer_addr(), client_address(request)) else { return false };
    let was_forwarded = TRACES_OF_A_PROXY.iter().any(|name| request.headers().contains_key(name));
    is_loopback(client) && (!was_forwarded || client != peer.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use actix_web::web;

    use super::super::TrustedProxies;
    use super::*;

    fn is_local(peer: &str, trusted: &[&str], header: Option<(&str, &str)>) -> bool {
        let request = TestRequest::get().peer_addr(peer.parse().unwrap());
        let request = request.app_data(web::Data::new(TrustedProxies::parse(trusted).unwrap()));
        let request = match header {
            Some(header) => request.insert_header(header),
            None => request,
        };
        is_of_this_machine(&request.to_http_request())
    }

    #[test]
    fn a_neighbour_on_this_machine_is_told_from_a_stranger_behind_its_proxy() {
        assert!(is_local("127.0.0.1:4711", &[], None));
        assert!(is_local("[::1]:4711", &[], None));
        assert!(is_local("[::ffff:127.0.0.1]:4711", &[], None));
        assert!(!is_local("192.0.2.1:4711", &[], None));
        assert!(!is_local("127.0.0.1:4711", &[], Some(("x-forwarded-for", "203.0.113.9"))));
        assert!(!is_local("127.0.0.1:4711", &[], Some(("x-forwarded-for", "127.0.0.1"))));
        assert!(!is_local("127.0.0.1:4711", &[], Some(("via", "1.1 proxy"))));
        assert!(!is_local("127.0.0.1:4711", &["127.0.0.1"], Some(("x-forwarded-for", "203.0.113.9"))));
        assert!(!is_local("192.0.2.1:4711", &[], Some(("x-forwarded-for", "127.0.0.1"))));
        assert!(is_local("10.0.0.1:4711", &["10.0.0.1"], Some(("x-forwarded-for", "127.0.0.1"))));
    }

    #[test]
    fn without_a_token_no_text_opens() {
        let closed = MetricsAccess::default();
        assert!(!closed.is_opened_by(""));
        let open = MetricsAccess { token: Some("scraper".to_owned().into()), ..MetricsAccess::default() };
        assert!(open.is_opened_by("scraper") && !open.is_opened_by("scrape") && !open.is_opened_by(""));
        assert!(!format!("{open:?}").contains("scraper"));
    }
}
