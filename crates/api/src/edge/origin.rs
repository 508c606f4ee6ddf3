//! Origins of web pages, as browsers write them (RFC 6454, section 6.2).

use std::str::FromStr;

use actix_web::http::Uri;

/// Where a web page is from: scheme, host and, unless it is the scheme's own, port. `https://app.example.org`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin(String);

/// Why a text is no origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAnOrigin(String);

impl std::fmt::Display for NotAnOrigin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "'{}' is not an origin such as https://app.example.org or http://localhost:5173", self.0)
    }
}

impl std::error::Error for NotAnOrigin {}

impl FromStr for Origin {
    type Err = NotAnOrigin;

    /// Reads an origin. A path, a user or `*` is refused: an allow-list names whom it allows.
    fn from_str(text: &str) -> Result<Self, NotAnOrigin> {
        let refused = || NotAnOrigin(text.to_owned());
        let text = text.trim().to_ascii_lowercase();
        let uri: Uri = text.parse().map_err(|_| refused())?;
        let (scheme, host) = uri.scheme_str().zip(uri.host()).filter(|(_, host)| !host.is_empty()).ok_or_else(refused)?;
        let is_default = matches!((scheme, uri.port_u16()), ("http", Some(80)) | ("https", Some(443)));
        let port = uri.port_u16().filter(|_| !is_default).map(|port| format!(":{port}")).unwrap_or_default();
        // What is left out of this is what an origin does not have: nothing may be lost between the two.
        let is_whole = text == format!("{scheme}://{host}{}", uri.port().map(|port| format!(":{port}")).unwrap_or_default());
        if is_whole && !host.contains('*') { Ok(Self(format!("{scheme}://{host}{port}"))) } else { Err(refused()) }
    }
}

impl Origin {
    /// The origin as a browser sends it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_origin_is_kept_as_a_browser_writes_it() {
        let kept = |text: &str| text.parse::<Origin>().unwrap().0;
        assert_eq!(kept("https://App.example.org"), "https://app.example.org");
        assert_eq!(kept(" http://localhost:5173 "), "http://localhost:5173");
        assert_eq!(kept("https://app.example.org:443"), "https://app.example.org");
        assert_eq!(kept("http://[::1]:8080"), "http://[::1]:8080");
        assert_eq!(kept("tauri://localhost"), "tauri://localhost");
    }

    #[test]
    fn what_is_more_or_less_than_an_origin_is_refused() {
        for text in [
            "",
            "*",
            "null",
            "example.org",
            "https://",
            "https://*.example.org",
            "https://a.org/",
            "https://a.org/b",
            "https://u@a.org",
            "https://a.org?x",
        ] {
            let error = text.parse::<Origin>().unwrap_err();
            assert!(error.to_string().starts_with(&format!("'{text}' is not an origin")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_read_the_same_way_again(text in "\\PC{0,40}|https?://[a-z.:0-9/@*]{0,20}") {
            if let Ok(origin) = text.parse::<Origin>() {
                prop_assert_eq!(origin.as_str().parse::<Origin>().unwrap(), origin);
            }
        }
    }
}
