//! Accounts: registering, one's own profile, and an admin's view of all.

use actix_web::{HttpResponse, delete, get, patch, post, web};
use domain::UserId;
use services::AccountService;
use utoipa_actix_web::service_config::ServiceConfig;

use super::Answer;
use crate::dto::{AccountChangeRequest, PageQuery, ProfileRequest, RegistrationRequest, RemovalResponse, UserPage, UserResponse};
use crate::extractors::{Admin, Authenticated, Client, JsonBody, PathId, Query};

/// Literal paths come before patterns they fit: `/users/me` is nobody's identifier.
pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(register).service(list).service(me).service(update_me).service(delete_me).service(change).service(remove);
}

/// Register an account.
///
/// The first one to register becomes the admin.
#[utoipa::path(tag = "users", request_body = RegistrationRequest, responses(
    (status = 201, description = "The account", body = UserResponse),
    (status = 400, description = "The name is taken (E008), a value is refused (E012), or the invitation is not valid (E038)"),
    (status = 403, description = "Registration is not open (E039)"),
    (status = 409, description = "The email is taken (E015)"),
))]
#[post("/users")]
async fn register(
    accounts: web::Data<AccountService>,
    Client(client): Client,
    body: JsonBody<RegistrationRequest>,
) -> Answer<HttpResponse> {
    let user = accounts.register(body.0.sent_from(client.address)).await?;
    Ok(HttpResponse::Created().json(UserResponse::from(user)))
}

/// List all accounts, newest first.
#[utoipa::path(tag = "users", params(PageQuery), responses(
    (status = 200, description = "A page of accounts", body = UserPage),
    (status = 400, description = "The limit is out of range (E012)"),
))]
#[get("/users")]
async fn list(Admin(caller): Admin, accounts: web::Data<AccountService>, query: Query<PageQuery>) -> Answer<web::Json<UserPage>> {
    let page = accounts.list(&caller, query.0.try_into()?).await?;
    Ok(web::Json(page.into()))
}

/// One's own account.
#[utoipa::path(tag = "users", responses((status = 200, description = "The account", body = UserResponse)))]
#[get("/users/me")]
async fn me(Authenticated(caller): Authenticated) -> web::Json<UserResponse> {
    web::Json(caller.user.into())
}

/// Change one's own email or password.
///
/// A new password ends the other sessions.
#[utoipa::path(tag = "users", request_body = ProfileRequest, responses(
    (status = 200, description = "The account as it is now", body = UserResponse),
    (status = 400, description = "A value is refused, or the present password is wrong (E012)"),
    (status = 409, description = "The email is taken (E015)"),
))]
#[patch("/users/me")]
async fn update_me(
    Authenticated(caller): Authenticated,
    accounts: web::Data<AccountService>,
    body: JsonBody<ProfileRequest>,
) -> Answer<web::Json<UserResponse>> {
    let user = accounts.update_profile(&caller, body.0.into()).await?;
    Ok(web::Json(user.into()))
}

/// Delete one's own account and everything it owns.
///
/// The answer says what was removed.
#[utoipa::path(tag = "users", responses(
    (status = 200, description = "It is gone", body = RemovalResponse),
    (status = 400, description = "The last admin, while there are other accounts (E024)"),
))]
#[delete("/users/me")]
async fn delete_me(
    Authenticated(caller): Authenticated,
    accounts: web::Data<AccountService>,
) -> Answer<web::Json<RemovalResponse>> {
    let removed = accounts.delete_own(&caller).await?;
    Ok(web::Json(removed.into()))
}

/// Change an account's role, or disable it.
///
/// Its sessions end. An admin cannot demote or disable themselves.
#[utoipa::path(tag = "users", params(("id" = Uuid, Path, description = "The account")), request_body = AccountChangeRequest, responses(
    (status = 200, description = "The account as it is now", body = UserResponse),
    (status = 400, description = "The admin's own account, or the last admin's (E024)"),
    (status = 404, description = "No such account (E011)"),
))]
#[patch("/users/{id}")]
async fn change(
    Admin(caller): Admin,
    accounts: web::Data<AccountService>,
    id: PathId<UserId>,
    body: JsonBody<AccountChangeRequest>,
) -> Answer<web::Json<UserResponse>> {
    let user = accounts.change(&caller, id.0, body.0.into()).await?;
    Ok(web::Json(user.into()))
}

/// Remove an account and everything it owns.
#[utoipa::path(tag = "users", params(("id" = Uuid, Path, description = "The account")), responses(
    (status = 204, description = "It is gone"),
    (status = 400, description = "The admin's own account, or the last admin's (E024)"),
    (status = 404, description = "No such account (E011)"),
))]
#[delete("/users/{id}")]
async fn remove(Admin(caller): Admin, accounts: web::Data<AccountService>, id: PathId<UserId>) -> Answer<HttpResponse> {
    accounts.remove(&caller, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
