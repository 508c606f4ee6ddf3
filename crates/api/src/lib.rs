//! The web: routes, shapes and errors of the HTTP API over the use cases.
//!
//! A server is built from [`routes()`], once a worker:
//!
//! ```ignore
//! HttpServer::new(move || App::new().configure(api::routes(state.clone(), config, edge.clone())))
//!     .h1_allow_half_closed(false) // a client that closes its side has gone: what was made for it stops
//!     .client_request_timeout(Duration::from_secs(10)) // for the head of a request; bodies have `ApiConfig::body_timeout`
//!     .keep_alive(Duration::from_secs(75))
//! ```
//!
//! Requests pass the middleware from the outside in (a name, a line in the log and a place in the metrics; security headers; CORS; what is
//! left of a limit; the body of errors; the route table; who may pass, and how often), reach a handler whose extractors bound the body and
//! hand it the proven caller, and one use case. What fails on the way becomes an [`ApiError`] over the one [`ErrorCode`] table. This crate
//! knows no database, no model runtime and no environment variable.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod config;
mod cursor;
mod dto;
mod edge;
mod error;
mod error_code;
mod extractors;
#[doc(hidden)]
pub mod fuzzing;
mod http_metrics;
mod middleware;
mod openai_error;
pub mod openapi;
mod problem;
mod request_id;
mod revocable;
mod routes;
mod sse;
mod state;
mod unpaged;
mod zip_stream;

use actix_web::middleware::from_fn;
use actix_web::web;
use utoipa_actix_web::service_config::ServiceConfig;

pub use config::ApiConfig;
pub use edge::{Edge, MetricsAccess, NotANetwork, NotAnOrigin, Origin, PublicUrl, TrustedProxies};
pub use error::ApiError;
pub use error_code::{Dialect, ErrorCode};
pub use http_metrics::{
    HTTP_REQUEST_DURATION, HTTP_REQUEST_DURATION_BUCKETS, HTTP_REQUESTS, HTTP_REQUESTS_IN_FLIGHT, describe_metrics,
};
pub use problem::Problem;
pub use request_id::RequestId;
pub use routes::table;
pub use state::ApiState;

/// Everything that is served, as a configuration of an application that has nothing else.
pub fn routes(state: ApiState, config: ApiConfig, edge: Edge) -> impl FnOnce(&mut web::ServiceConfig) {
    let documents = routes::Documents::new(openapi::document());
    let cors = middleware::cors(&edge.cors_origins);
    move |app| {
        let everything = web::scope("")
            .app_data(web::Data::new(state.accounts))
            .app_data(web::Data::new(state.sessions))
            .app_data(web::Data::new(state.api_keys))
            .app_data(web::Data::new(state.limits))
            .app_data(web::Data::new(state.audit))
            .app_data(web::Data::new(state.models))
            .app_data(web::Data::new(state.model_pulls))
            .app_data(web::Data::new(state.texts))
            .app_data(web::Data::new(state.chats))
            .app_data(web::Data::new(state.media))
            .app_data(web::Data::new(state.completions))
            .app_data(web::Data::new(state.embeddings))
            .app_data(web::Data::new(state.health))
            .app_data(web::Data::new(config))
            .app_data(web::Data::new(edge.trusted_proxies))
            .app_data(web::Data::new(edge.metrics))
            .app_data(web::Data::new(edge.public_url))
            .app_data(web::Data::new(documents))
            .configure(|scope| routes::configure(&mut ServiceConfig::new(scope)))
            .configure(routes::configure_documents)
            .default_service(web::to(routes::no_such_route))
            // The last one wrapped is the first one passed.
            .wrap(from_fn(middleware::authorise))
            .wrap(from_fn(middleware::methods))
            .wrap(from_fn(middleware::problems))
            .wrap(from_fn(middleware::rate_headers))
            .wrap(cors)
            // What CORS itself refuses gets its body here; the other errors had to get theirs before CORS added its headers to them.
            .wrap(from_fn(middleware::problems))
            .wrap(from_fn(middleware::security_headers))
            .wrap(from_fn(middleware::request_context));
        app.service(everything);
    }
}
