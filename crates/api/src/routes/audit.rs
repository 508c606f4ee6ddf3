//! An admin's look at the audit log.

use actix_web::{get, web};
use services::AuditService;
use utoipa_actix_web::service_config::ServiceConfig;

use super::Answer;
use crate::dto::{AuditPageRequest, AuditPageResponse, AuditQuery};
use crate::extractors::{Admin, Query};

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(list);
}

/// Who did what, newest first.
///
/// The log is only ever added to, and each event carries the hash of the one before it.
#[utoipa::path(tag = "administration", params(AuditQuery), responses(
    (status = 200, description = "A page of events", body = AuditPageResponse),
    (status = 400, description = "The limit is out of range, or there is no such action (E012)"),
))]
#[get("/admin/audit")]
async fn list(
    Admin(caller): Admin,
    audit: web::Data<AuditService>,
    query: Query<AuditQuery>,
) -> Answer<web::Json<AuditPageResponse>> {
    let AuditPageRequest { filter, before, limit } = query.0.try_into()?;
    let events = audit.list(&caller, filter, before, limit).await?;
    Ok(web::Json(AuditPageResponse::new(events, limit)))
}
