//! What every request passes through, from the outside in: it gets a name and a line in the log ([`request_context()`]), its answer gets
//! the headers that browsers are to obey ([`security_headers()`], [`cors()`]) and what is left of the caller's limit ([`rate_headers()`]), an
//! error gets its body ([`problems()`]), it is held against the route table ([`methods()`]), and its caller is proven ([`authorise()`]).

mod authorise;
mod cors;
mod methods;
mod problems;
mod rate_headers;
mod request_context;
mod security_headers;

pub(crate) use authorise::{authorise, bearer_token};
pub(crate) use cors::cors;
pub(crate) use methods::methods;
pub(crate) use problems::{log_error, problems};
pub(crate) use rate_headers::rate_headers;
pub(crate) use request_context::request_context;
pub(crate) use security_headers::security_headers;
