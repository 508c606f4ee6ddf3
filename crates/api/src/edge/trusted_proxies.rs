//! Who really calls, where a proxy stands before the server.
//!
//! `X-Forwarded-For` is a list to which every proxy adds, at its end, the address that called it. Only what a believed proxy added can be
//! believed, so the list is read from its end, hop by hop, for as long as the hop that wrote it is one of ours. The first that is not is
//! the client, whatever else the client wrote before it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::{HttpRequest, web};
use ipnet::IpNet;

/// The header that is read. `Forwarded` (RFC 7239) is what fewer proxies write; believing both would let a client use the other one.
pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// No chain of proxies is longer; what lies before is not read.
const MAX_HOPS: usize = 32;

/// The proxies whose word is taken for where a request comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Arc<[IpNet]>);

/// Why a text names no proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotANetwork(String);

impl std::fmt::Display for NotANetwork {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "'{}' is neither an address nor a network such as 10.0.0.0/8", self.0)
    }
}

impl std::error::Error for NotANetwork {}

impl TrustedProxies {
    /// Reads addresses (`10.0.0.7`, `::1`) and networks (`10.0.0.0/8`, `fd00::/8`).
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, NotANetwork> {
        let network = |text: T| {
            let text = text.as_ref().trim();
            let address = text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
            address.or_else(|_| text.parse::<IpNet>().map(|network| network.trunc())).map_err(|_| NotANetwork(text.to_owned()))
        };
        texts.into_iter().map(network).collect::<Result<Arc<[IpNet]>, _>>().map(Self)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whose request it is that came over a connection from `peer` with these headers.
    pub(crate) fn client_behind(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let lines = headers.get_all(X_FORWARDED_FOR).collect::<Vec<_>>();
        let hops = lines.into_iter().rev().flat_map(|line| line.to_str().unwrap_or("?").rsplit(',')).take(MAX_HOPS);
        let mut client = peer.to_canonical();
        for hop in hops {
            if !self.trusts(client) {
                break;
            }
            // What the last believed proxy wrote is not an address: nobody better than that proxy is known.
            let Some(address) = hop_address(hop) else { break };
            client = address;
        }
        client
    }
}

/// A hop as proxies write it: an address, or with some of them an address and a port.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse::<IpAddr>().or_else(|_| hop.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

/// Whose request this is; `None` where it did not come over the network.
pub(crate) fn client_address(request: &HttpRequest) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip();
    Some(match request.app_data::<web::Data<TrustedProxies>>() {
        Some(proxies) => proxies.client_behind(peer, request.headers()),
        None => peer.to_canonical(),
    })
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn client(trusted: &[&str], peer: &str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        }
        TrustedProxies::parse(trusted).unwrap().client_behind(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn nobody_is_believed_unless_a_setting_says_so() {
        assert_eq!(client(&[], "203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(client(&["10.0.0.0/8"], "203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(client(&[], "127.0.0.1", &["198.51.100.1"]), "127.0.0.1");
    }

    #[test]
    fn a_list_is_read_from_its_end_through_the_believed_hops_alone() {
        let trusted = ["10.0.0.0/8", "2001:db8::7"];
        assert_eq!(client(&trusted, "10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client(&trusted, "10.0.0.1", &["192.0.2.66, 198.51.100.1, 10.9.9.9"]), "198.51.100.1");
        assert_eq!(client(&trusted, "10.0.0.1", &["192.0.2.66", "198.51.100.1, 2001:db8::7"]), "198.51.100.1");
        assert_eq!(client(&trusted, "10.0.0.1", &["10.0.0.2, 10.0.0.3"]), "10.0.0.2", "all of it is the inside");
        assert_eq!(client(&trusted, "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn addresses_are_read_as_proxies_write_them() {
        let trusted = ["10.0.0.1"];
        assert_eq!(client(&trusted, "::ffff:10.0.0.1", &["198.51.100.1:4711"]), "198.51.100.1");
        assert_eq!(client(&trusted, "10.0.0.1", &["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(client(&trusted, "10.0.0.1", &["[2001:db8::1]"]), "2001:db8::1");
        assert_eq!(client(&trusted, "10.0.0.1", &["::ffff:198.51.100.1"]), "198.51.100.1");
        assert_eq!(client(&trusted, "10.0.0.1", &["198.51.100.1, unknown"]), "10.0.0.1");
    }

    #[test]
    fn a_setting_that_names_no_network_is_refused_with_its_text() {
        for text in ["", "proxy", "10.0.0.0/33", "10.0.0", "*"] {
            let error = TrustedProxies::parse([text]).unwrap_err();
            assert!(error.to_string().contains(&format!("'{text}'")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_client_writes_it_stays_who_the_last_proxy_saw(forged in "[ -~]{0,80}", seen: u32) {
            let seen = IpAddr::from(seen.to_be_bytes());
            prop_assume!(!TrustedProxies::parse(["10.0.0.0/8"]).unwrap().trusts(seen));
            let line = format!("{forged},{seen}");
            prop_assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &[&line]), seen.to_string());
            let lines = [forged.as_str(), &seen.to_string()];
            prop_assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &lines), seen.to_string());
        }

        #[test]
        fn any_bytes_at_all_give_an_address(bytes in prop::collection::vec(any::<u8>(), 0..200), peer: u32) {
            let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Ok(()) };
            let mut headers = HeaderMap::new();
            headers.append(X_FORWARDED_FOR, value);
            let peer = IpAddr::from(peer.to_be_bytes());
            let untrusted = TrustedProxies::default().client_behind(peer, &headers);
            prop_assert_eq!(untrusted, peer, "an unbelieved peer is itself, whatever it sends");
            let _ = TrustedProxies::parse(["0.0.0.0/0", "::/0"]).unwrap().client_behind(peer, &headers);
        }
    }
}
