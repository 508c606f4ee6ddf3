//! Where a provider is: the URL that all its paths begin with.

use std::fmt;

use reqwest::Url;

/// An `http` or `https` URL without credentials, query or fragment.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl(Url);

/// The text is no base URL. The message does not repeat it, since it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBaseUrl {
    /// No URL, or one of something else.
    #[error("must be a URL such as https://host/v1 or http://127.0.0.1:8080/v1")]
    Malformed,
    /// A URL with a user's name or password.
    #[error("must not hold a user name or a password")]
    Credentials,
    /// A URL with `?` or `#`.
    #[error("must have neither a query nor a fragment")]
    Query,
}

/// Where Ollama listens unless it is told otherwise.
const OLLAMA_PORT: u16 = 11434;

impl BaseUrl {
    /// Reads a URL.
    pub fn parse(text: &str) -> Result<Self, InvalidBaseUrl> {
        let url = Url::parse(text.trim()).map_err(|_| InvalidBaseUrl::Malformed)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(InvalidBaseUrl::Malformed);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidBaseUrl::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidBaseUrl::Query);
        }
        Ok(Self(url))
    }

    /// Reads `OLLAMA_HOST` as Ollama's own programs do (`envconfig/config.go`): a URL, or `HOST`, `HOST:PORT` or `:PORT` without a
    /// scheme, whose port is 11434 unless it is given.
    pub fn parse_ollama_host(text: &str) -> Result<Self, InvalidBaseUrl> {
        let text = text.trim();
        if text.contains("://") {
            return Self::parse(text);
        }
        let with_host = if text.starts_with(':') { format!("127.0.0.1{text}") } else { text.to_owned() };
        let Self(mut url) = Self::parse(&format!("http://{with_host}"))?;
        // A URL forgets port 80, which is the scheme's own; the text does not.
        let authority = with_host.split('/').next().unwrap_or_default();
        let port_given = authority.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && !port.contains(']'));
        if !port_given {
            url.set_port(Some(OLLAMA_PORT)).map_err(|()| InvalidBaseUrl::Malformed)?;
        }
        Ok(Self(url))
    }

    /// The URL of a path below this one.
    pub fn join(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        // Only URLs that hold no path at all, such as `mailto:`, have no segments.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/'));
        }
        url
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "BaseUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_appended_whether_or_not_the_url_ends_with_a_slash() {
        for text in ["https://host/v1", "https://host/v1/"] {
            assert_eq!(BaseUrl::parse(text).unwrap().join("chat/completions").as_str(), "https://host/v1/chat/completions");
        }
        assert_eq!(BaseUrl::parse("http://127.0.0.1:8080").unwrap().join("api/tags").as_str(), "http://127.0.0.1:8080/api/tags");
    }

    #[test]
    fn what_is_no_plain_url_is_refused_without_being_repeated() {
        for (text, refused) in [
            ("host/v1", InvalidBaseUrl::Malformed),
            ("ftp://host", InvalidBaseUrl::Malformed),
            ("", InvalidBaseUrl::Malformed),
            ("https://user:hunter2@host/v1", InvalidBaseUrl::Credentials),
            ("https://host/v1?key=hunter2", InvalidBaseUrl::Query),
        ] {
            let problem = BaseUrl::parse(text).unwrap_err();
            assert_eq!(problem, refused, "{text}");
            assert!(!problem.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn an_ollama_host_is_read_as_ollama_reads_it() {
        for (text, url) in [
            ("127.0.0.1:11434", "http://127.0.0.1:11434"),
            ("gpu-box", "http://gpu-box:11434"),
            ("gpu-box:80", "http://gpu-box"),
            (":8000", "http://127.0.0.1:8000"),
            ("[::1]", "http://[::1]:11434"),
            ("[::1]:9000", "http://[::1]:9000"),
            ("gpu-box/ollama", "http://gpu-box:11434/ollama"),
            ("http://gpu-box", "http://gpu-box"),
            ("https://gpu-box/ollama/", "https://gpu-box/ollama"),
        ] {
            assert_eq!(BaseUrl::parse_ollama_host(text).unwrap().to_string(), url, "{text}");
        }
        assert!(BaseUrl::parse_ollama_host("a b").is_err());
    }
}
