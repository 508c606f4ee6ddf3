//! A request's name, its span, its one line in the log and its share of the metrics.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage};
use bytes::Bytes;
use domain::MediaId;
use tracing::{Instrument, Span, field};

use crate::RequestId;
use crate::http_metrics::RequestMetrics;
use crate::request_id::X_REQUEST_ID;
use crate::routes::table::find;

/// A path longer than this is no route's; the log keeps its beginning.
const MAX_LOGGED_PATH_BYTES: usize = 256;

/// Names the request, serves it inside its span, and logs one line when the last byte of its answer is handed over, or when the client
/// has gone before that. The query, the headers and the bodies are never logged: they hold tokens and people's texts.
pub(crate) async fn request_context<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<LoggedBody>, Error> {
    let id = RequestId::from_headers(request.headers());
    let path = logged_path(request.path());
    // The level is that of the gravest line inside: a filter that lets only errors through must not take their request's name away.
    let span = tracing::error_span!("request", request_id = %id, method = %request.method(), path, user_id = field::Empty);
    let route = find(request.method(), request.match_info().as_str());
    let metrics = RequestMetrics::begin(request.method(), &route);
    let mut line = RequestLine { started: Instant::now(), status: None, is_whole: false, span: span.clone(), metrics };
    request.extensions_mut().insert(id.clone());
    let mut response = next.call(request).instrument(span).await?;
    response.headers_mut().insert(X_REQUEST_ID, id.header_value());
    line.status = Some(response.status());
    line.metrics.status = line.status;
    Ok(response.map_body(|_, body| {
        let body = body.boxed();
        // A body of known length is handed over at once; only a stream can break off.
        line.is_whole = !matches!(body.size(), BodySize::Stream);
        LoggedBody { body, line }
    }))
}

/// The path as it is logged: its beginning, and of the identifiers in it what anybody may know. Whoever holds the whole identifier of a
/// guest's picture may read and remove it.
fn logged_path(path: &str) -> String {
    let path = path.get(..MAX_LOGGED_PATH_BYTES).unwrap_or(path);
    let segments = path.split('/').map(|segment| match segment.parse::<MediaId>() {
        Ok(id) => id.uuid().to_string(),
        Err(_) => segment.to_owned(),
    });
    segments.collect::<Vec<_>>().join("/")
}

/// Writes the request's line when it is dropped: with the body, or with the handler that the client did not wait for.
struct RequestLine {
    started: Instant,
    status: Option<StatusCode>,
    is_whole: bool,
    span: Span,
    metrics: RequestMetrics,
}

impl Drop for RequestLine {
    fn drop(&mut self) {
        let _entered = self.span.enter();
        let duration_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        match (self.status, self.is_whole) {
            (Some(status), true) => tracing::info!(status = status.as_u16(), duration_ms, "request finished"),
            (Some(status), false) => tracing::info!(status = status.as_u16(), duration_ms, "request broken off by its client"),
            (None, _) => tracing::info!(duration_ms, "request broken off by its client before it was answered"),
        }
    }
}

/// A body that is sent inside its request's span, and knows when it has ended.
pub(crate) struct LoggedBody {
    body: BoxBody,
    line: RequestLine,
}

impl MessageBody for LoggedBody {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let span = self.line.span.clone();
        let _entered = span.enter();
        let polled = Pin::new(&mut self.body).poll_next(context);
        if matches!(polled, Poll::Ready(None)) {
            self.line.is_whole = true;
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logged_path_does_not_hold_what_a_guests_picture_is_read_by() {
        let uuid = "0197a1b2-0000-7000-8000-0000000000ff";
        let secret = "5".repeat(32);
        assert_eq!(logged_path(&format!("/image/{uuid}-{secret}/download")), format!("/image/{uuid}/download"));
        for path in ["/", "/tts", "/image/0197a1b2-0000-7000-8000-0000000000ff", "/a//b/", "/é"] {
            assert_eq!(logged_path(path), path);
        }
        assert_eq!(logged_path(&"/a".repeat(1000)).len(), MAX_LOGGED_PATH_BYTES);
    }
}
