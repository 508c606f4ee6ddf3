//! What every request passes through, from the outside in: it gets a name and a line in the log ([`request_context`]), its answer gets
//! the headers that browsers are to obey ([`security_headers`]), an error gets its body ([`problems`]), and its method is
//! held against the route table ([`methods`]).

mod methods;
mod problems;
mod request_context;
mod security_headers;

pub(crate) use methods::methods;
pub(crate) use problems::{log_error, problems};
pub(crate) use request_context::request_context;
pub(crate) use security_headers::security_headers;
