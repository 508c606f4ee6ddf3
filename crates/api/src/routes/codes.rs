//! One-time codes: an admin invites somebody, or lets somebody set a new password.

use actix_web::{HttpResponse, get, post, web};
use domain::UserId;
use services::AccountService;
use utoipa_actix_web::service_config::ServiceConfig;

use super::Answer;
use crate::dto::{InvitationPage, IssuedCodeResponse, IssuedInvitationResponse, PageQuery, PasswordResetRequest};
use crate::extractors::{Admin, Client, JsonBody, PathId, Query};

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(issue_password_reset).service(reset_password).service(invite).service(invitations);
}

/// Make a code by which a user sets a new password.
///
/// The old password works until then. A second code replaces the first. Only an admin who signed in can: no key may.
#[utoipa::path(tag = "users", params(("id" = Uuid, Path, description = "The account")), responses(
    (status = 201, description = "The code, to be given to the user", body = IssuedCodeResponse),
    (status = 404, description = "No such account (E011)"),
))]
#[post("/users/{id}/password-reset")]
async fn issue_password_reset(
    Admin(caller): Admin,
    accounts: web::Data<AccountService>,
    id: PathId<UserId>,
) -> Answer<HttpResponse> {
    let issued = accounts.issue_password_reset(&caller, id.0).await?;
    Ok(HttpResponse::Created().json(IssuedCodeResponse::from(issued)))
}

/// Set a new password by a one-time code.
///
/// Every session of the account ends.
#[utoipa::path(tag = "sessions", request_body = PasswordResetRequest, responses(
    (status = 204, description = "The password is set"),
    (status = 400, description = "The password is refused (E012), or the code is not valid (E038)"),
))]
#[post("/auth/password-reset")]
async fn reset_password(
    accounts: web::Data<AccountService>,
    Client(client): Client,
    body: JsonBody<PasswordResetRequest>,
) -> Answer<HttpResponse> {
    accounts.reset_password(&body.0.code, body.0.new_password, client.address.as_deref()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Make an invitation.
///
/// Who has its code may register where registration is by invitation; it works once.
#[utoipa::path(tag = "administration", responses((status = 201, description = "The invitation", body = IssuedInvitationResponse)))]
#[post("/admin/invitations")]
async fn invite(Admin(caller): Admin, accounts: web::Data<AccountService>) -> Answer<HttpResponse> {
    let issued = accounts.invite(&caller).await?;
    Ok(HttpResponse::Created().json(IssuedInvitationResponse::from(issued)))
}

/// The invitations that nobody has used yet, newest first.
#[utoipa::path(tag = "administration", params(PageQuery), responses(
    (status = 200, description = "A page of invitations", body = InvitationPage),
    (status = 400, description = "The limit is out of range (E012)"),
))]
#[get("/admin/invitations")]
async fn invitations(
    Admin(caller): Admin,
    accounts: web::Data<AccountService>,
    query: Query<PageQuery>,
) -> Answer<web::Json<InvitationPage>> {
    let waiting = accounts.invitations(&caller, query.0.try_into()?).await?;
    Ok(web::Json(waiting.into()))
}
