//! Who may pass, by the route table alone, and how often.
//!
//! The caller is proven here, before a byte of the body is read and before any extractor runs: a stranger gets their 401 whatever else is
//! wrong with the request. Handlers take the proven caller with [`Authenticated`](crate::extractors::Authenticated) or
//! [`Admin`](crate::extractors::Admin), which fail where this middleware did not run.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, web};
use domain::RateDecision;
use services::{Caller, LimitService, ServiceError, SessionService};

use crate::edge::{client_address, is_of_this_machine};
use crate::routes::table::{Access, KeyUse, Route};
use crate::{ApiError, ErrorCode, MetricsAccess};

/// Passes on whom the table lets in, with the [`Caller`] where there is one.
pub(crate) async fn authorise<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    match let_in(request.request()).await {
        Ok(()) => Ok(next.call(request).await?.map_into_left_body()),
        Err(error) => Ok(request.error_response(error).map_into_right_body()),
    }
}

async fn let_in(request: &HttpRequest) -> Result<(), ApiError> {
    let route = request.extensions().get::<&'static Route>().copied();
    let route = route.ok_or_else(|| ApiError::internal("a request came through without its route"))?;
    match route.access {
        Access::Anyone if route.counted => return admit_guest(request).await,
        Access::Anyone => return Ok(()),
        // Who shows no token is a guest; who shows one is taken at it, and turned away where it is worth nothing.
        Access::UserOrGuest if !request.headers().contains_key(AUTHORIZATION) => return admit_guest(request).await,
        Access::Operator if is_of_this_machine(request) || has_metrics_token(request) => return Ok(()),
        Access::UserOrGuest | Access::SignedIn | Access::Admin | Access::Operator => {}
    }
    let caller = match prove(request).await {
        Ok(caller) => caller,
        Err(error) => {
            // Who presents nothing, or something worthless, is a guest, and may not go on trying without end.
            admit_guest(request).await?;
            return Err(error);
        }
    };
    tracing::Span::current().record("user_id", tracing::field::display(caller.user.id));
    if route.counted {
        admit(request, data::<LimitService>(request)?.admit(&caller).await)?;
    }
    check(route, &caller)?;
    request.extensions_mut().insert(caller);
    Ok(())
}

/// Whether the table lets this caller in.
fn check(route: &Route, caller: &Caller) -> Result<(), ServiceError> {
    if matches!(route.access, Access::Admin | Access::Operator) {
        caller.require_admin()?;
    }
    match route.keys {
        KeyUse::Never => caller.require_session().map(drop),
        KeyUse::Any => Ok(()),
        KeyUse::With(scope) => caller.require_scope(scope),
    }
}

async fn prove(request: &HttpRequest) -> Result<Caller, ApiError> {
    let address = client_address(request).map(|address| address.to_string());
    Ok(data::<SessionService>(request)?.authenticate(bearer_token(request.headers())?, address).await?)
}

async fn admit_guest(request: &HttpRequest) -> Result<(), ApiError> {
    let address = client_address(request).map_or_else(|| "unknown".to_owned(), |address| address.to_string());
    admit(request, data::<LimitService>(request)?.admit_guest(&address).await)
}

/// Leaves the limiter's decision for the response's headers, whichever it is.
fn admit(request: &HttpRequest, decision: Result<RateDecision, ServiceError>) -> Result<(), ApiError> {
    let decided = match &decision {
        Ok(decision) | Err(ServiceError::RateLimited(decision)) => Some(*decision),
        Err(_) => None,
    };
    if let Some(decided) = decided {
        request.extensions_mut().insert(decided);
    }
    decision.map(drop).map_err(Into::into)
}

fn data<T: 'static>(request: &HttpRequest) -> Result<&web::Data<T>, ApiError> {
    let missing = || ApiError::internal(format!("no {} is registered", std::any::type_name::<T>()));
    request.app_data::<web::Data<T>>().ok_or_else(missing)
}

fn has_metrics_token(request: &HttpRequest) -> bool {
    let metrics = request.app_data::<web::Data<MetricsAccess>>();
    bearer_token(request.headers()).is_ok_and(|token| metrics.is_some_and(|metrics| metrics.is_opened_by(token)))
}

/// Longer than any token of ours; nothing longer is looked at.
const MAX_TOKEN_BYTES: usize = 4096;

/// The token of `Authorization: Bearer …` (RFC 6750, section 2.1). Two such headers are refused: a proxy may have judged the other one.
pub(crate) fn bearer_token(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut headers = headers.get_all(AUTHORIZATION);
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
    use actix_web::http::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_one_well_formed_bearer_header_holds_a_token() {
        let token = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            bearer_token(&headers).map(str::to_owned).ok()
        };
        assert_eq!(token(&["Bearer a.b.c"]).as_deref(), Some("a.b.c"));
        assert_eq!(token(&["bearer  a.b.c "]).as_deref(), Some("a.b.c"));
        for refused in [&[][..], &[""], &["Bearer"], &["Bearer "], &["Basic a.b.c"], &["Bearer a b"], &["Bearer a", "Bearer b"]] {
            assert_eq!(token(refused), None, "{refused:?}");
        }
        assert_eq!(token(&[&format!("Bearer {}", "x".repeat(MAX_TOKEN_BYTES + 1))]), None);
    }

    proptest! {
        #[test]
        fn any_header_holds_a_plain_token_or_none(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let line = [b"Bearer ".as_slice(), &bytes].concat();
            let Ok(value) = HeaderValue::from_bytes(&line) else { return Ok(()) };
            let mut headers = HeaderMap::new();
            headers.append(AUTHORIZATION, value);
            if let Ok(token) = bearer_token(&headers) {
                prop_assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
