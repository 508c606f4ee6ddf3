//! What a caller is told of their rate limit, with every answer: `RateLimit-Limit`, `-Remaining`, `-Reset` and `-Policy`
//! (<https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-07>). The draft's later versions join them into one header
//! that fewer clients read.

use actix_web::Error;
use actix_web::HttpMessage;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use domain::RateDecision;

pub(crate) const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
pub(crate) const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
pub(crate) const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
pub(crate) const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The limits of this server are requests a minute.
const WINDOW_SECONDS: u32 = 60;

/// Adds the headers where a limiter was asked. It stands outside the middleware that rewrites errors, because an error is an answer too.
pub(crate) async fn rate_headers<B: MessageBody>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<B>, Error> {
    let mut response = next.call(request).await?;
    let decision = response.request().extensions().get::<RateDecision>().copied();
    if let Some(decision) = decision {
        add(response.headers_mut(), decision);
    }
    Ok(response)
}

fn add(headers: &mut HeaderMap, decision: RateDecision) {
    let reset_seconds = decision.reset_after.as_millis().div_ceil(1000);
    headers.insert(LIMIT, HeaderValue::from(decision.limit));
    headers.insert(REMAINING, HeaderValue::from(decision.remaining));
    headers.insert(RESET, HeaderValue::from(u64::try_from(reset_seconds).unwrap_or(u64::MAX)));
    if let Ok(policy) = HeaderValue::from_str(&format!("{};w={WINDOW_SECONDS}", decision.limit)) {
        headers.insert(POLICY, policy);
    }
}
