//! An answer as an event stream: plain text in the `data:` lines, for clients that read line by line.
//!
//! A newline inside a piece becomes further `data:` lines (<https://html.spec.whatwg.org/multipage/server-sent-events.html>); that no
//! piece has a line `[DONE]` is the service's care. Every event has an `id:`, the stream's and its own number: `Last-Event-ID` with it
//! takes the stream up after that event.

use actix_web::HttpResponse;
use actix_web::http::header::{HeaderName, HeaderValue};
use bytes::Bytes;
use domain::{ChatStreamId, ContextUse};
use services::{ChatEvent, ChatTurn};

use crate::problem::Problem;
use crate::sse::{Sent, Wire, queued};
use crate::{ApiError, RequestId};

/// The stream that answers, to be named in `GET` and `DELETE /chat/streams/{id}`.
pub(crate) const X_STREAM_ID: HeaderName = HeaderName::from_static("x-stream-id");
/// The conversation that the answer belongs to.
pub(crate) const X_CONVERSATION_ID: HeaderName = HeaderName::from_static("x-conversation-id");
/// The message that is answered.
pub(crate) const X_USER_MESSAGE_ID: HeaderName = HeaderName::from_static("x-user-message-id");
/// The message that the answer becomes.
pub(crate) const X_ASSISTANT_MESSAGE_ID: HeaderName = HeaderName::from_static("x-assistant-message-id");
/// See [`ContextUse`].
pub(crate) const X_CONTEXT_MESSAGES_USED: HeaderName = HeaderName::from_static("x-context-messages-used");
/// See [`ContextUse`].
pub(crate) const X_CONTEXT_MESSAGES_DROPPED: HeaderName = HeaderName::from_static("x-context-messages-dropped");
/// See [`ContextUse`].
pub(crate) const X_CONTEXT_PROMPT_TOKENS: HeaderName = HeaderName::from_static("x-context-prompt-tokens");

/// Names an event: which stream, and how many events come before and with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventId {
    pub(crate) stream: ChatStreamId,
    pub(crate) number: u32,
}

impl EventId {
    /// Reads a `Last-Event-ID`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (stream, number) = text.split_once(':')?;
        Some(Self { stream: stream.parse().ok()?, number: number.parse().ok()? })
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", self.stream, self.number)
    }
}

/// Writes an answer.
pub(crate) struct ChatWire {
    request_id: RequestId,
    /// The last event that was written, or that the client has already.
    last: EventId,
}

impl ChatWire {
    /// Writes what follows an event; number 0 for all.
    pub(crate) fn after(last: EventId, request_id: RequestId) -> Self {
        Self { request_id, last }
    }
}

impl Wire for ChatWire {
    type Piece = ChatEvent;

    fn piece(&mut self, event: ChatEvent) -> Sent {
        match event {
            ChatEvent::Queued { position } => queued(position),
            ChatEvent::Text { number, text } => {
                self.last.number = number;
                Sent::Event(Bytes::from(format!("id: {}\ndata: {}\n\n", self.last, text.replace('\n', "\ndata: "))))
            }
            ChatEvent::Done { number } => {
                self.last.number = number;
                Sent::Last(Bytes::from(format!("id: {}\ndata: [DONE]\n\n", self.last)))
            }
        }
    }

    fn error(&mut self, error: &ApiError) -> Bytes {
        let id = EventId { number: self.last.number.saturating_add(1), ..self.last };
        let problem = serde_json::to_string(&Problem::new(error, &self.request_id)).unwrap_or_default();
        Bytes::from(format!("id: {id}\nevent: error\ndata: {problem}\n\n"))
    }
}

fn set(response: &mut HttpResponse, name: HeaderName, value: &impl ToString) {
    if let Ok(value) = HeaderValue::from_str(&value.to_string()) {
        response.headers_mut().insert(name, value);
    }
}

/// Tells which turn a stream is.
pub(crate) fn turn_headers(response: &mut HttpResponse, turn: &TurnIds) {
    set(response, X_STREAM_ID, &turn.stream);
    set(response, X_CONVERSATION_ID, &turn.conversation);
    set(response, X_USER_MESSAGE_ID, &turn.user_message);
    set(response, X_ASSISTANT_MESSAGE_ID, &turn.assistant_message);
}

/// Tells what the model was given.
pub(crate) fn context_headers(response: &mut HttpResponse, context: ContextUse) {
    set(response, X_CONTEXT_MESSAGES_USED, &context.messages_used);
    set(response, X_CONTEXT_MESSAGES_DROPPED, &context.messages_dropped);
    set(response, X_CONTEXT_PROMPT_TOKENS, &context.prompt_tokens);
}

/// What names a turn.
pub(crate) struct TurnIds {
    stream: ChatStreamId,
    conversation: domain::ConversationId,
    user_message: domain::MessageId,
    assistant_message: domain::MessageId,
}

impl From<&ChatTurn> for TurnIds {
    fn from(turn: &ChatTurn) -> Self {
        Self {
            stream: turn.stream_id,
            conversation: turn.conversation_id,
            user_message: turn.user_message.id,
            assistant_message: turn.message_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use services::ServiceError;
    use uuid::Uuid;

    use super::*;

    fn wire() -> ChatWire {
        let stream = ChatStreamId::new(Uuid::from_u128(7));
        ChatWire::after(EventId { stream, number: 0 }, RequestId::fresh())
    }

    fn sent(wire: &mut ChatWire, event: ChatEvent) -> String {
        let (Sent::Event(bytes) | Sent::Last(bytes)) = wire.piece(event);
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    const ID: &str = "00000000-0000-0000-0000-000000000007";

    #[test]
    fn every_event_has_its_number_and_every_line_its_field() {
        let mut wire = wire();
        let text = |number, text: &str| ChatEvent::Text { number, text: text.into() };
        assert_eq!(sent(&mut wire, text(1, " a")), format!("id: {ID}:1\ndata:  a\n\n"));
        assert_eq!(sent(&mut wire, text(2, "b\n\nc\n")), format!("id: {ID}:2\ndata: b\ndata: \ndata: c\ndata: \n\n"));
        assert_eq!(sent(&mut wire, ChatEvent::Queued { position: 3 }), ": X-Queue-Position: 3\n\n");
        let error = wire.error(&ServiceError::ConversationNotFound.into());
        let error = String::from_utf8(error.to_vec()).unwrap();
        assert!(error.starts_with(&format!("id: {ID}:3\nevent: error\ndata: {{\"type\":\"urn:tertulia:error:E044\"")), "{error}");
        assert_eq!(sent(&mut wire, ChatEvent::Done { number: 3 }), format!("id: {ID}:3\ndata: [DONE]\n\n"));
    }

    /// As the standard reads an event: each line less one space, joined by newlines.
    fn read(event: &str) -> String {
        let data = |line: &str| line.strip_prefix("data:").map(|rest| rest.strip_prefix(' ').unwrap_or(rest).to_owned());
        event.split('\n').filter_map(data).collect::<Vec<_>>().join("\n")
    }

    proptest! {
        #[test]
        fn any_piece_is_read_back_as_it_was(text in "[^\r]{1,30}|[ \n:]{1,9}") {
            let event = sent(&mut wire(), ChatEvent::Text { number: 1, text: text.clone() });
            prop_assert_eq!(read(&event), text);
        }

        #[test]
        fn any_last_event_id_is_read_or_refused(text in "\\PC{0,50}", number: u32) {
            let _ = EventId::parse(&text);
            let id = EventId { stream: ChatStreamId::new(Uuid::from_u128(7)), number };
            prop_assert_eq!(EventId::parse(&id.to_string()), Some(id));
        }
    }
}
