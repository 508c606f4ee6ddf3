//! The server's metrics, for Prometheus and what reads its format.

use actix_web::{HttpResponse, get, web};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::MetricsAccess;

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(metrics);
}

/// Prometheus' text format (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Metrics in Prometheus' text format.
#[utoipa::path(tag = "operations", responses(
    (status = 200, description = "The metrics as they are now", body = String, content_type = "text/plain; version=0.0.4"),
))]
#[get("/metrics")]
async fn metrics(metrics: web::Data<MetricsAccess>) -> HttpResponse {
    HttpResponse::Ok().content_type(PROMETHEUS_TEXT).body((metrics.render)())
}
