//! Who calls, and whether they may.
//!
//! Extractors of one handler run side by side, and the first to fail gives the answer. The others therefore wait behind the
//! [`Gate`] that the first puts up: a stranger gets their 401 whatever they send, and not a byte of their body is read.

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use services::{Caller, ServiceError, SessionService};

use super::Extraction;
use crate::{ApiError, ErrorCode};

/// A signed-in user.
pub(crate) struct Authenticated(pub(crate) Caller);

/// A signed-in admin.
pub(crate) struct Admin(pub(crate) Caller);

/// Longer than any token of ours; nothing longer is looked at.
const MAX_TOKEN_BYTES: usize = 4096;

/// The proof that this request's handler asks for, once and for all its extractors.
#[derive(Clone)]
struct Gate(Proof);

type Proof = Shared<LocalBoxFuture<'static, Result<Caller, ApiError>>>;

/// What an extractor found, told only once the caller is let in; at once where the handler asks for nobody.
pub(super) fn behind_gate<T: 'static>(
    request: &HttpRequest,
    extraction: impl Future<Output = Result<T, ApiError>> + 'static,
) -> Extraction<T> {
    let gate = request.extensions().get::<Gate>().cloned();
    Box::pin(async move {
        if let Some(Gate(proof)) = gate {
            proof.await?;
        }
        extraction.await
    })
}

impl FromRequest for Authenticated {
    type Error = ApiError;
    type Future = Extraction<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let gate = put_up_gate(request, |_| Ok(()));
        Box::pin(async { gate.await.map(Self) })
    }
}

impl FromRequest for Admin {
    type Error = ApiError;
    type Future = Extraction<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let gate = put_up_gate(request, Caller::require_admin);
        Box::pin(async { gate.await.map(Self) })
    }
}

fn put_up_gate(request: &HttpRequest, allow: fn(&Caller) -> Result<(), ServiceError>) -> Proof {
    let sessions = request.app_data::<web::Data<SessionService>>().cloned();
    let token = bearer_token(request).map(str::to_owned);
    let proof = async move {
        let sessions = sessions.ok_or_else(|| ApiError::internal("no SessionService is registered"))?;
        let caller = sessions.authenticate(&token?).await?;
        tracing::Span::current().record("user_id", tracing::field::display(caller.user.id));
        allow(&caller)?;
        Ok(caller)
    };
    let gate = proof.boxed_local().shared();
    request.extensions_mut().insert(Gate(gate.clone()));
    gate
}

/// The token of `Authorization: Bearer …` (RFC 6750, section 2.1). Two such headers are refused: a proxy may have judged the other one.
fn bearer_token(request: &HttpRequest) -> Result<&str, ApiError> {
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let (Some(header), None) = (headers.next(), headers.next()) else {
        return Err(ApiError::titled(ErrorCode::InvalidToken));
    };
    header
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .filter(|token| (1..=MAX_TOKEN_BYTES).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic()))
        .ok_or_else(|| ApiError::titled(ErrorCode::InvalidToken))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_one_well_formed_bearer_header_holds_a_token() {
        let token = |values: &[&str]| {
            let request = values.iter().fold(TestRequest::get(), |request, value| request.append_header((AUTHORIZATION, *value)));
            bearer_token(&request.to_http_request()).map(str::to_owned).ok()
        };
        assert_eq!(token(&["Bearer a.b.c"]).as_deref(), Some("a.b.c"));
        assert_eq!(token(&["bearer  a.b.c "]).as_deref(), Some("a.b.c"));
        for refused in [&[][..], &[""], &["Bearer"], &["Bearer "], &["Basic a.b.c"], &["Bearer a b"], &["Bearer a", "Bearer b"]] {
            assert_eq!(token(refused), None, "{refused:?}");
        }
        assert_eq!(token(&[&format!("Bearer {}", "x".repeat(MAX_TOKEN_BYTES + 1))]), None);
    }
}
