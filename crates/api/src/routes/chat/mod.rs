//! Chat: an answer as a stream that outlives its connection, the default conversation's history, and conversations by name.

mod conversations;
mod history;
mod messages;
mod streams;
mod transfer;

use actix_web::HttpResponse;
use services::{Caller, ChatTurn, SessionService};
use tokio::time::timeout;
use utoipa_actix_web::service_config::ServiceConfig;

use super::Answer;
use crate::RequestId;
use crate::config::ApiConfig;
use crate::dto::chat::{ChatWire, EventId, context_headers, turn_headers};
use crate::sse::{self, Pulse};

/// Literal paths come before patterns they fit: `/conversations/export` is nobody's identifier.
pub(super) fn configure(config: &mut ServiceConfig) {
    streams::configure(config);
    history::configure(config);
    transfer::configure(config);
    conversations::configure(config);
    messages::configure(config);
}

/// Answers a turn as events. What is refused soon is an ordinary error, and leaves no trace; who waits longer is owed a sign of life: what
/// they said is stored then and stays, and what fails later is an event.
async fn respond(
    mut turn: ChatTurn,
    caller: Caller,
    sessions: &SessionService,
    config: &ApiConfig,
    request_id: RequestId,
) -> Answer<HttpResponse> {
    let context = timeout(config.heartbeat, turn.opened()).await.ok().transpose()?;
    if context.is_none() {
        turn.promised().await?;
    }
    let ids = (&turn).into();
    let wire = ChatWire::after(EventId { stream: turn.stream_id, number: 0 }, request_id);
    let begun = sse::Begun::now(turn.into_events());
    let mut response = sse::respond(begun, wire, Pulse::of(caller, sessions, config.heartbeat));
    turn_headers(&mut response, &ids);
    if let Some(context) = context {
        context_headers(&mut response, context);
    }
    Ok(response)
}
