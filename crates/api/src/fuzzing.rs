//! The parsers of what strangers write into headers and queries, for the targets in `fuzz/` alone. No part of this crate's interface.

use std::net::IpAddr;

use actix_web::http::header::HeaderName;
pub use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use crate::TrustedProxies;
pub use crate::cursor::{decode as decode_cursor, encode as encode_cursor};

pub use crate::request_id::X_REQUEST_ID;

/// The header that proxies write.
pub const X_FORWARDED_FOR: HeaderName = crate::edge::X_FORWARDED_FOR;

/// The token of `Authorization: Bearer …`, if these headers hold one.
pub fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    crate::middleware::bearer_token(headers).ok()
}

/// Whose request it is that came over a connection from `peer` with these headers.
pub fn client_behind(proxies: &TrustedProxies, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    proxies.client_behind(peer, headers)
}
