//! Whether the server is there, lives, and can do its work.

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpResponse, get, web};
use services::{HealthService, PartHealth};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::dto::{Health, Readiness, Status};

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(root).service(healthz).service(readyz);
}

/// The server answers.
#[utoipa::path(tag = "operations", responses((status = 200, description = "The server answers", body = Status)))]
#[get("/")]
async fn root() -> web::Json<Status> {
    web::Json(Status { status: "OK" })
}

/// The process lives.
///
/// Asks nothing of the database or the model: a process that waits for them need not be restarted.
#[utoipa::path(tag = "operations", responses((status = 200, description = "The process lives", body = Status)))]
#[get("/healthz")]
async fn healthz() -> web::Json<Status> {
    web::Json(Status { status: "OK" })
}

/// Database, storage and model can do their work.
///
/// A part that is `degraded` is one without which the server does its work all the same, such as the Redis that replicas share.
#[utoipa::path(tag = "operations", responses(
    (status = 200, description = "Every part that is needed can do its work", body = Readiness),
    (status = 503, description = "A part cannot; send requests elsewhere", body = Readiness),
))]
#[get("/readyz")]
async fn readyz(health: web::Data<HealthService>) -> HttpResponse {
    let mut readiness = Readiness { status: Health::Ok, checks: std::collections::BTreeMap::new() };
    for (part, state) in health.readiness().await {
        // Anyone may ask, so the reasons are for the log alone.
        let state = match state {
            PartHealth::Healthy => Health::Ok,
            PartHealth::Degraded(_) => Health::Degraded,
            PartHealth::Failing(_) => Health::Failing,
        };
        readiness.status = readiness.status.max(state);
        readiness.checks.insert(part, state);
    }
    match readiness.status {
        Health::Ok | Health::Degraded => HttpResponse::Ok().json(readiness),
        Health::Failing => HttpResponse::build(StatusCode::SERVICE_UNAVAILABLE).insert_header((RETRY_AFTER, 5)).json(readiness),
    }
}
