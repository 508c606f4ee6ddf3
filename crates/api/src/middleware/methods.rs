//! Methods, before a request is routed: `HEAD` is served as the `GET` it stands for, and what a path does not know is a 405.
//!
//! The route table decides, not the router: there `PUT /text_generations/all` would reach `PUT /text_generations/{id}` and fail as a
//! bad identifier. So a path that stands in the table as it is answers to its own methods alone.

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;

use crate::routes::table::methods_of;
use crate::{ApiError, ErrorCode};

/// Passes a request on by a method that its path knows, or answers 405 with `Allow` (RFC 9110, section 15.5.6). A path that is nobody's
/// passes: that it is not found is the router's to say.
pub(crate) async fn methods<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if request.method() == Method::HEAD {
        // RFC 9110, section 9.3.2. The connection remembers what was asked, and sends no body.
        request.head_mut().method = Method::GET;
    }
    let known = methods_of(request.path());
    if known.is_empty() || known.contains(request.method()) {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let mut names: Vec<&str> = known.iter().map(Method::as_str).collect();
    if known.contains(&Method::GET) {
        names.push("HEAD");
    }
    let allowed = names.join(", ");
    let detail = format!("Method not allowed; this path knows {allowed}");
    let error = ApiError::new(ErrorCode::MethodNotAllowed, detail).allowing(allowed);
    Ok(request.error_response(error).map_into_right_body())
}
