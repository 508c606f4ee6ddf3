//! What is counted of requests, by route and status. Labels are few and known: the patterns of the route table, never a path that a client
//! chose, so no stream of odd requests can fill the memory with series.

use std::time::Instant;

use actix_web::http::{Method, StatusCode};
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::routes::table::Found;

/// Requests that have ended, by method, route and status (a counter). A request that its client broke off before it was answered has the
/// status `aborted`.
pub const HTTP_REQUESTS: &str = "http_requests_total";
/// How long requests took to their last byte, in seconds, by method and route (a histogram).
pub const HTTP_REQUEST_DURATION: &str = "http_request_duration_seconds";
/// Requests that have begun and not ended, open streams among them (a gauge).
pub const HTTP_REQUESTS_IN_FLIGHT: &str = "http_requests_in_flight";

/// The buckets that suit [`HTTP_REQUEST_DURATION`]: from a look at memory to a long generation.
pub const HTTP_REQUEST_DURATION_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

/// Tells the recorder what the metrics of this crate mean. To be called once, after the recorder is installed.
pub fn describe_metrics() {
    describe_counter!(HTTP_REQUESTS, "Requests that have ended, by method, route and status");
    describe_histogram!(HTTP_REQUEST_DURATION, Unit::Seconds, "From the first byte of a request to the last of its answer");
    describe_gauge!(HTTP_REQUESTS_IN_FLIGHT, "Requests that have begun and not ended, open streams among them");
}

/// A request that is being counted, from its beginning until it is dropped.
pub(crate) struct RequestMetrics {
    method: &'static str,
    route: &'static str,
    started: Instant,
    /// `None` until the request is answered.
    pub(crate) status: Option<StatusCode>,
}

impl RequestMetrics {
    /// Begins to count a request; `found` is what the table knows of it.
    pub(crate) fn begin(method: &Method, found: &Found) -> Self {
        gauge!(HTTP_REQUESTS_IN_FLIGHT).increment(1.0);
        let route = match found {
            Found::Route(route) => route.path,
            Found::OtherMethods(_) | Found::Nothing => "none",
        };
        Self { method: method_label(method), route, started: Instant::now(), status: None }
    }
}

impl Drop for RequestMetrics {
    fn drop(&mut self) {
        let (method, route) = (self.method, self.route);
        let status = self.status.map_or_else(|| "aborted".to_owned(), |status| status.as_u16().to_string());
        gauge!(HTTP_REQUESTS_IN_FLIGHT).decrement(1.0);
        counter!(HTTP_REQUESTS, "method" => method, "route" => route, "status" => status).increment(1);
        histogram!(HTTP_REQUEST_DURATION, "method" => method, "route" => route).record(self.started.elapsed());
    }
}

/// A client may invent methods.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
