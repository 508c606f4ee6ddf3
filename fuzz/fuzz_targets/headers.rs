//! The headers that say who calls, from where and under which name: one line each of `Authorization`, `X-Forwarded-For` and
//! `X-Request-Id`, as often as the input has lines.

#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use api::fuzzing::{AUTHORIZATION, HeaderMap, HeaderValue, X_FORWARDED_FOR, X_REQUEST_ID, bearer_token, client_behind};
use api::{RequestId, TrustedProxies};
use libfuzzer_sys::fuzz_target;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

fuzz_target!(|bytes: &[u8]| {
    let mut headers = HeaderMap::new();
    let names = [AUTHORIZATION, X_FORWARDED_FOR, X_REQUEST_ID];
    for (line, name) in bytes.split(|byte| *byte == b'\n').zip(names.iter().cycle()) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(name.clone(), value);
        }
    }
    if let Some(token) = bearer_token(&headers) {
        assert!((1..=4096).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic()), "{token:?}");
    }
    let name = RequestId::from_headers(&headers).to_string();
    assert!((1..=128).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)));

    let nobody = TrustedProxies::default();
    assert_eq!(client_behind(&nobody, PEER, &headers), PEER, "nobody is believed");
    let inside = TrustedProxies::parse(["10.0.0.0/8"]).expect("a network");
    let told = client_behind(&inside, PEER, &headers);
    // What a believed proxy saw is what counts, whatever the client wrote before it.
    let stranger = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
    headers.append(X_FORWARDED_FOR, HeaderValue::from_static("203.0.113.9"));
    assert_eq!(client_behind(&inside, PEER, &headers), stranger, "instead of {told}");
    let everybody = TrustedProxies::parse(["0.0.0.0/0", "::/0"]).expect("networks");
    let _ = client_behind(&everybody, PEER, &headers);
});
