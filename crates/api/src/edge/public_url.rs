//! Where this server is reached from outside: for links that must work anywhere.

use std::convert::Infallible;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::HOST;
use actix_web::{FromRequest, HttpRequest, web};
use services::SignedLink;

/// The server's own address as others know it, as in `https://tales.example.org`. The default is what each request came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublicUrl(pub Option<String>);

/// What stands before a path to make it a whole URL, for this request.
pub(crate) struct OwnUrl(String);

impl OwnUrl {
    /// A link as whoever is elsewhere can use it.
    pub(crate) fn complete(&self, link: SignedLink) -> SignedLink {
        if link.url.starts_with('/') { SignedLink { url: format!("{}{}", self.0, link.url), ..link } } else { link }
    }
}

impl FromRequest for OwnUrl {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let configured = request.app_data::<web::Data<PublicUrl>>().and_then(|public| public.0.clone());
        ready(Ok(Self(configured.or_else(|| asked_for(request)).unwrap_or_default())))
    }
}

/// The address that the request was sent to. What proxies say of it is not read: behind one that changes it, a setting tells.
fn asked_for(request: &HttpRequest) -> Option<String> {
    let scheme = if request.app_config().secure() { "https" } else { "http" };
    let host = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => request.headers().get(HOST)?.to_str().ok()?,
    };
    let is_host = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    (!host.is_empty() && host.len() <= 255 && host.chars().all(is_host)).then(|| format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use domain::Timestamp;

    use super::*;

    async fn completed(request: TestRequest, url: &str) -> String {
        let own = OwnUrl::extract(&request.to_http_request()).await.unwrap();
        own.complete(SignedLink { url: url.into(), expires_at: Timestamp::UNIX_EPOCH }).url
    }

    #[actix_web::test]
    async fn a_path_becomes_a_url_by_the_setting_or_by_what_the_request_asked_for() {
        let asked = || TestRequest::get().insert_header((HOST, "tales.example.org:8000"));
        assert_eq!(completed(asked(), "/objects/a").await, "http://tales.example.org:8000/objects/a");
        let public = PublicUrl(Some("https://tales.example.org".into()));
        assert_eq!(
            completed(asked().app_data(web::Data::new(public)), "/objects/a").await,
            "https://tales.example.org/objects/a"
        );
        assert_eq!(completed(asked(), "https://s3.example.org/a").await, "https://s3.example.org/a");
    }

    #[actix_web::test]
    async fn a_host_that_is_none_is_not_repeated() {
        for host in ["", "a/b", "a\"onclick=", "user@host"] {
            assert_eq!(completed(TestRequest::get().insert_header((HOST, host)), "/objects/a").await, "/objects/a", "{host}");
        }
    }
}
