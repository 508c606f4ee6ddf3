//! Sign-ins of the native clients: a short access token, a long refresh token.

use actix_web::{HttpResponse, delete, get, post, web};
use domain::SessionId;
use services::{AccountService, SessionService};
use utoipa_actix_web::service_config::ServiceConfig;

use super::Answer;
use crate::dto::{
    EmailRegistrationRequest, LoginRequest, LoginResponse, PageQuery, RefreshTokenRequest, SessionPage, SessionResponse,
    UserResponse,
};
use crate::extractors::{Authenticated, Client, JsonBody, PathId, Query};

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(register).service(log_in).service(refresh).service(log_out).service(list).service(end);
}

/// Register an account by its email.
#[utoipa::path(tag = "sessions", request_body = EmailRegistrationRequest, responses(
    (status = 201, description = "The account", body = UserResponse),
    (status = 400, description = "The name is taken (E008), a value is refused (E012), or the invitation is not valid (E038)"),
    (status = 403, description = "Registration is not open (E039)"),
    (status = 409, description = "The email is taken (E015)"),
))]
#[post("/auth/register")]
async fn register(
    accounts: web::Data<AccountService>,
    Client(client): Client,
    body: JsonBody<EmailRegistrationRequest>,
) -> Answer<HttpResponse> {
    let user = accounts.register(body.0.sent_from(client.address)).await?;
    Ok(HttpResponse::Created().json(UserResponse::from(user)))
}

/// Sign in by email or username.
#[utoipa::path(tag = "sessions", request_body = LoginRequest, responses(
    (status = 200, description = "A pair of tokens", body = LoginResponse),
    (status = 401, description = "Wrong name or password (E003), or inactive account (E009)"),
))]
#[post("/auth/login")]
async fn log_in(
    sessions: web::Data<SessionService>,
    Client(client): Client,
    body: JsonBody<LoginRequest>,
) -> Answer<web::Json<LoginResponse>> {
    let signed_in = sessions.log_in(body.0.try_into()?, client).await?;
    Ok(web::Json(signed_in.into()))
}

/// Exchange a refresh token for a new pair.
///
/// A refresh token works once; using a spent one ends its session.
#[utoipa::path(tag = "sessions", request_body = RefreshTokenRequest, responses(
    (status = 200, description = "A new pair of tokens", body = LoginResponse),
    (status = 401, description = "The token is not, or no longer, valid (E010)"),
))]
#[post("/auth/refresh")]
async fn refresh(
    sessions: web::Data<SessionService>,
    Client(client): Client,
    body: JsonBody<RefreshTokenRequest>,
) -> Answer<web::Json<LoginResponse>> {
    let signed_in = sessions.refresh(&body.0.refresh_token, client.address.as_deref()).await?;
    Ok(web::Json(signed_in.into()))
}

/// Sign out.
///
/// Ends the session that the refresh token belongs to, and its access tokens. An unknown token is no error: the client is signed out.
#[utoipa::path(tag = "sessions", request_body = RefreshTokenRequest, responses((status = 204, description = "Signed out")))]
#[post("/auth/logout")]
async fn log_out(
    sessions: web::Data<SessionService>,
    Client(client): Client,
    body: JsonBody<RefreshTokenRequest>,
) -> Answer<HttpResponse> {
    sessions.log_out(&body.0.refresh_token, client.address.as_deref()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Where the caller is signed in.
#[utoipa::path(tag = "sessions", params(PageQuery), responses(
    (status = 200, description = "A page of the sessions that are alive, the last used first", body = SessionPage),
    (status = 400, description = "The limit is out of range (E012)"),
))]
#[get("/auth/sessions")]
async fn list(
    Authenticated(caller): Authenticated,
    sessions: web::Data<SessionService>,
    query: Query<PageQuery>,
) -> Answer<web::Json<SessionPage>> {
    let current = caller.require_session()?;
    let alive = sessions.list(&caller, query.0.try_into()?).await?.map(|session| SessionResponse::new(session, current));
    Ok(web::Json(alive.into()))
}

/// End one of the caller's sessions.
#[utoipa::path(tag = "sessions", params(("id" = Uuid, Path, description = "The session")), responses(
    (status = 204, description = "It has ended"),
    (status = 404, description = "No such session (E017)"),
))]
#[delete("/auth/sessions/{id}")]
async fn end(
    Authenticated(caller): Authenticated,
    sessions: web::Data<SessionService>,
    id: PathId<SessionId>,
) -> Answer<HttpResponse> {
    sessions.end(&caller, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
