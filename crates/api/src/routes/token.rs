//! OAuth2's token endpoint.

use actix_web::{HttpResponse, post, web};
use services::SessionService;
use utoipa_actix_web::service_config::ServiceConfig;

use super::Answer;
use crate::dto::{TokenForm, TokenGrant, TokenResponse};
use crate::extractors::{Client, FormBody};
use crate::{ApiError, Dialect};

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(token);
}

/// Sign in, or refresh a sign-in (OAuth2).
///
/// Give `username` and `password`, or `grant_type=refresh_token` and `refresh_token`. A refresh token works once; using a spent one ends
/// its session.
#[utoipa::path(
    tag = "tokens",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "A pair of tokens", body = TokenResponse),
        (status = 400, description = "Wrong name or password (E003), inactive account (E009), or invalid refresh token (E010)"),
    )
)]
#[post("/token")]
async fn token(sessions: web::Data<SessionService>, Client(client): Client, form: FormBody<TokenForm>) -> Answer<HttpResponse> {
    let signed_in = match TokenGrant::try_from(form.0)? {
        TokenGrant::Password(credentials) => sessions.log_in(credentials, client).await,
        TokenGrant::RefreshToken(token) => sessions.refresh(&token, client.address.as_deref()).await,
    };
    let signed_in = signed_in.map_err(|error| ApiError::from(error).told_in(Dialect::OAuth2))?;
    let tokens = TokenResponse::from(signed_in);
    // RFC 6749, section 5.1, asks for both headers; `Cache-Control` is set for every answer.
    Ok(HttpResponse::Ok().insert_header(("Pragma", "no-cache")).json(tokens))
}
