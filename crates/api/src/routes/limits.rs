//! Limits: an admin's exceptions, and what a caller has used.

use actix_web::{get, put, web};
use domain::{ApiKeyId, RateDecision, UserId};
use ports::LimitSubject;
use services::{Caller, LimitService};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::Answer;
use crate::ApiError;
use crate::dto::{LimitRequest, LimitResponse, Role, UsageReport};
use crate::extractors::{Admin, Authenticated, JsonBody, PathId};

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(usage).service(limit_role).service(limit_user).service(limit_api_key);
}

/// What one has used of one's limits, and has left.
#[utoipa::path(tag = "users", responses((status = 200, description = "Requests a minute and tokens a day", body = UsageReport)))]
#[get("/users/me/usage")]
async fn usage(
    Authenticated(caller): Authenticated,
    limits: web::Data<LimitService>,
    decision: Option<web::ReqData<RateDecision>>,
) -> Answer<web::Json<UsageReport>> {
    let decision = decision.ok_or_else(|| ApiError::internal("a request came through uncounted"))?;
    let usage = limits.usage(&caller).await?;
    Ok(web::Json(UsageReport::new(*decision, usage)))
}

/// Set the limits of everybody with a role.
#[utoipa::path(tag = "administration", params(("id" = Role, Path, description = "The role")), request_body = LimitRequest, responses(
    (status = 200, description = "The limits as they are now", body = LimitResponse),
    (status = 400, description = "A value is out of range (E012)"),
))]
#[put("/admin/limits/roles/{id}")]
async fn limit_role(
    Admin(caller): Admin,
    limits: web::Data<LimitService>,
    id: PathId<Role>,
    body: JsonBody<LimitRequest>,
) -> Answer<web::Json<LimitResponse>> {
    set(&limits, &caller, LimitSubject::Role(id.0.into()), body.0).await
}

/// Set the limits of one user.
///
/// They go before their role's.
#[utoipa::path(tag = "administration", params(("id" = Uuid, Path, description = "The account")), request_body = LimitRequest, responses(
    (status = 200, description = "The limits as they are now", body = LimitResponse),
    (status = 400, description = "A value is out of range (E012)"),
    (status = 404, description = "No such account (E011)"),
))]
#[put("/admin/limits/users/{id}")]
async fn limit_user(
    Admin(caller): Admin,
    limits: web::Data<LimitService>,
    id: PathId<UserId>,
    body: JsonBody<LimitRequest>,
) -> Answer<web::Json<LimitResponse>> {
    set(&limits, &caller, LimitSubject::User(id.0), body.0).await
}

/// Set the limits of one API key.
///
/// They apply besides its user's.
#[utoipa::path(tag = "administration", params(("id" = Uuid, Path, description = "The key's identifier")), request_body = LimitRequest, responses(
    (status = 200, description = "The limits as they are now", body = LimitResponse),
    (status = 400, description = "A value is out of range (E012)"),
    (status = 404, description = "No such key (E037)"),
))]
#[put("/admin/limits/api-keys/{id}")]
async fn limit_api_key(
    Admin(caller): Admin,
    limits: web::Data<LimitService>,
    id: PathId<Uuid>,
    body: JsonBody<LimitRequest>,
) -> Answer<web::Json<LimitResponse>> {
    set(&limits, &caller, LimitSubject::ApiKey(ApiKeyId::new(id.0)), body.0).await
}

async fn set(
    limits: &LimitService,
    caller: &Caller,
    subject: LimitSubject,
    request: LimitRequest,
) -> Answer<web::Json<LimitResponse>> {
    let limit = request.try_into()?;
    limits.set_override(caller, subject, limit).await?;
    Ok(web::Json(limit.into()))
}
