//! A text as server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! `data: {"text": …}` for each piece, then `event: done` with the record, or `event: error` with the problem. Comments tell how many
//! wait before the request (`: queued 3`) and, every few seconds of silence, that the server is still there: only by writing does it
//! notice that a client has gone. Dropping the body drops the service's stream, and with that the generation.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use serde::Serialize;
use services::{ServiceError, TextPiece, TextStream};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use crate::dto::{TextGenerationResponse, TextPieceEvent};
use crate::middleware::log_error;
use crate::problem::Problem;
use crate::{ApiError, RequestId};

/// The first piece of a stream, once it is there, and the stream that follows.
pub(crate) struct Begun {
    first: Option<Result<TextPiece, ServiceError>>,
    rest: TextStream,
}

impl Begun {
    /// Waits for the first piece, so that what fails at once is an ordinary error with its status. It waits no longer than `patience`: by
    /// then the client is owed a sign of life, and what fails later is an event.
    pub(crate) async fn wait(mut pieces: TextStream, patience: Duration) -> Result<Self, ApiError> {
        let first = timeout(patience, pieces.next()).await.ok().flatten().transpose()?;
        Ok(Self { first: first.map(Ok), rest: pieces })
    }
}

/// The response that sends a text while it is made.
pub(crate) fn respond(begun: Begun, request_id: RequestId, heartbeat: Duration) -> HttpResponse {
    let pieces = stream::iter(begun.first).chain(begun.rest).boxed();
    let events = events(pieces, request_id, heartbeat).map(Ok::<_, std::convert::Infallible>);
    HttpResponse::Ok()
        .content_type("text/event-stream; charset=utf-8")
        .insert_header((CACHE_CONTROL, "no-store"))
        // Tells nginx, and what follows its example, not to collect the events.
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(events)
}

fn events(pieces: TextStream, request_id: RequestId, heartbeat: Duration) -> impl Stream<Item = Bytes> {
    let mut silence = interval_at(Instant::now() + heartbeat, heartbeat);
    silence.set_missed_tick_behavior(MissedTickBehavior::Delay);
    stream::unfold(Some((pieces, silence)), move |state| {
        let request_id = request_id.clone();
        async move {
            let (mut pieces, mut silence) = state?;
            tokio::select! {
                biased;
                piece = pieces.next() => {
                    silence.reset();
                    let (event, is_last) = event(piece?, &request_id);
                    Some((event, (!is_last).then_some((pieces, silence))))
                }
                _ = silence.tick() => Some((Bytes::from_static(b": still here\n\n"), Some((pieces, silence)))),
            }
        }
    })
}

/// One piece as the client reads it, and whether it is the last.
fn event(piece: Result<TextPiece, ServiceError>, request_id: &RequestId) -> (Bytes, bool) {
    match piece {
        Ok(TextPiece::Queued { position }) => (Bytes::from(format!(": queued {position}\n\n")), false),
        Ok(TextPiece::Text(text)) => (Bytes::from(format!("data: {}\n\n", json(&TextPieceEvent { text }))), false),
        Ok(TextPiece::Done(record)) => {
            let record = json(&TextGenerationResponse::from(*record));
            (Bytes::from(format!("event: done\ndata: {record}\n\n")), true)
        }
        Err(error) => {
            let error = ApiError::from(error);
            log_error(&error);
            (Bytes::from(format!("event: error\ndata: {}\n\n", json(&Problem::new(&error, request_id)))), true)
        }
    }
}

/// JSON holds no bare newline, so one `data:` line carries it whole.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use ports::GenerationError;

    use super::*;

    fn text(piece: &str) -> TextPiece {
        TextPiece::Text(piece.to_owned())
    }

    async fn sent(pieces: TextStream) -> String {
        let bytes: Vec<Bytes> = events(pieces, RequestId::fresh(), Duration::from_secs(1)).collect().await;
        String::from_utf8(bytes.concat()).unwrap()
    }

    #[actix_web::test]
    async fn pieces_are_data_and_waiting_is_a_comment() {
        let pieces = stream::iter([Ok(TextPiece::Queued { position: 3 }), Ok(text("a\nb")), Ok(text("ñ"))]).boxed();
        assert_eq!(sent(pieces).await, ": queued 3\n\ndata: {\"text\":\"a\\nb\"}\n\ndata: {\"text\":\"ñ\"}\n\n");
    }

    #[actix_web::test]
    async fn an_error_on_the_way_is_the_last_event() {
        let broken = Err(ServiceError::Generation(GenerationError::DeadlineExceeded));
        let sent = sent(stream::iter([Ok(text("a")), broken, Ok(text("never"))]).boxed()).await;
        assert!(sent.contains("event: error\ndata: {\"type\":\"urn:tertulia:error:E026\""), "{sent}");
        assert!(!sent.contains("never"));
    }

    #[actix_web::test]
    async fn an_error_before_the_first_piece_is_an_ordinary_one() {
        let pieces = stream::iter([Err(ServiceError::Generation(GenerationError::ShuttingDown))]).boxed();
        let error = Begun::wait(pieces, Duration::from_secs(1)).await.map(drop).unwrap_err();
        assert!(error.detail().starts_with("[E027]"));
    }

    #[actix_web::test]
    async fn silence_is_filled_with_comments() {
        let begun = Begun::wait(stream::pending().boxed(), Duration::from_millis(1)).await.unwrap();
        assert!(begun.first.is_none(), "patience ends before the first piece");
        let mut events = pin!(events(begun.rest, RequestId::fresh(), Duration::from_millis(1)));
        assert_eq!(events.next().await.unwrap(), ": still here\n\n");
        assert_eq!(events.next().await.unwrap(), ": still here\n\n");
    }

    #[actix_web::test]
    async fn dropping_the_body_drops_the_generation() {
        struct Generation(std::sync::Arc<()>);
        let alive = std::sync::Arc::new(());
        let generation = Generation(std::sync::Arc::clone(&alive));
        let pieces = stream::unfold(generation, async |generation| {
            Some((Ok(text("a")), Generation(std::sync::Arc::clone(&generation.0))))
        })
        .boxed();
        let begun = Begun::wait(pieces, Duration::from_secs(1)).await.unwrap();
        let response = respond(begun, RequestId::fresh(), Duration::from_secs(1));
        assert_eq!(std::sync::Arc::strong_count(&alive), 2);
        drop(response);
        assert_eq!(std::sync::Arc::strong_count(&alive), 1);
    }
}
