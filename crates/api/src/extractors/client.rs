//! Where a request comes from, for the list of places where a user is signed in.

use std::convert::Infallible;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::USER_AGENT;
use actix_web::{FromRequest, HttpRequest};
use services::ClientInfo;

/// What is known of the client. The address is that of the connection: what a header says of it is anybody's claim.
pub(crate) struct Client(pub(crate) ClientInfo);

impl FromRequest for Client {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let user_agent = request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let address = request.peer_addr().map(|address| address.ip().to_string());
        ready(Ok(Self(ClientInfo { user_agent, address })))
    }
}
