//! What the route table says of a request, before it is routed: a path that is nobody's is a 404, a method that the path does not know a
//! 405, and `HEAD` is served as the `GET` it stands for.
//!
//! The table decides, not the router. There `PUT /text_generations/all` would reach `PUT /text_generations/{id}` and fail as a bad
//! identifier; and a handler that somebody registers and forgets in the table must not be reached at all.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage};

use crate::routes::table::{Found, find};
use crate::{ApiError, ErrorCode};

/// Passes a request on with its route, or answers 404, or 405 with `Allow` (RFC 9110, section 15.5.6).
pub(crate) async fn methods<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let error = match find(request.method(), request.match_info().as_str()) {
        Found::Route(route) => {
            request.head_mut().method = route.method.clone();
            request.extensions_mut().insert(route);
            return Ok(next.call(request).await?.map_into_left_body());
        }
        // The path is not repeated in the answer: it is the client's text, and the client has it.
        Found::Nothing => ApiError::titled(ErrorCode::RouteNotFound),
        Found::OtherMethods(methods) => not_allowed(&methods),
    };
    Ok(request.error_response(error).map_into_right_body())
}

fn not_allowed(known: &[&'static Method]) -> ApiError {
    let mut names: Vec<&str> = known.iter().map(|method| method.as_str()).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    let allowed = names.join(", ");
    let detail = format!("Method not allowed; this path knows {allowed}");
    ApiError::new(ErrorCode::MethodNotAllowed, detail).allowing(allowed)
}
