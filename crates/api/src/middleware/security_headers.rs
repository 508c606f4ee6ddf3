//! What browsers are told not to do with our answers.

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use actix_web::middleware::Next;

/// An answer of the API is data: nothing in it may run, load or be framed.
const API_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// The two documentation pages run their own scripts, style themselves inline, draw pictures from data URLs; `ReDoc` searches in a worker
/// made from a blob. Nothing comes from another host.
const PAGES_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; child-src blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Adds what the response does not say itself.
pub(crate) async fn security_headers<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let is_page =
        ["/docs", "/redoc"].iter().any(|page| request.path() == *page || request.path().starts_with(&format!("{page}/")));
    let mut response = next.call(request).await?;
    let headers = response.headers_mut();
    add(headers, X_CONTENT_TYPE_OPTIONS, "nosniff");
    add(headers, X_FRAME_OPTIONS, "DENY");
    add(headers, REFERRER_POLICY, "no-referrer");
    add(headers, CONTENT_SECURITY_POLICY, if is_page { PAGES_POLICY } else { API_POLICY });
    // Answers belong to one user; no cache between us and them may keep one.
    add(headers, CACHE_CONTROL, if is_page { "public, max-age=3600" } else { "no-store" });
    Ok(response)
}

fn add(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    if !headers.contains_key(&name) {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
