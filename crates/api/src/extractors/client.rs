//! Where a request comes from: for the list of places where a user is signed in, and for limits.

use std::convert::Infallible;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::USER_AGENT;
use actix_web::{FromRequest, HttpRequest};
use services::ClientInfo;

use crate::edge::client_address;

/// What is known of the client. The address is that of the connection, or what a believed proxy says of it; what the client says of
/// itself is anybody's claim.
pub(crate) struct Client(pub(crate) ClientInfo);

impl FromRequest for Client {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let user_agent = request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let address = client_address(request).map(|address| address.to_string());
        ready(Ok(Self(ClientInfo { user_agent, address })))
    }
}
