//! What is made piece by piece, as server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! How a piece is written is for its [`Wire`] to say: the native one of texts is here, [`NativeText`]; OpenAI's are beside their shapes.
//! What they have in common is how a stream lives. Comments tell how many wait before the request (`: X-Queue-Position: 3`) and, every few seconds
//! of silence, that the server is still there: only by writing does it notice that a client has gone. Dropping the body drops the
//! service's stream, and with that the generation.
//!
//! A stream outlasts the moment in which its caller was let in. So at every beat of its [`Pulse`] it asks whether it may go on, and ends
//! where it may not.

use std::rc::Rc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use serde::Serialize;
use services::{Caller, ServiceError, SessionService, TextPiece};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use crate::dto::{TextGenerationResponse, TextPieceEvent};
use crate::middleware::log_error;
use crate::problem::Problem;
use crate::{ApiError, RequestId};

/// The pieces of what a service makes.
type Pieces<P> = BoxStream<'static, Result<P, ServiceError>>;

/// The first piece of a stream, once it is there, and the stream that follows.
pub(crate) struct Begun<P> {
    first: Option<Result<P, ServiceError>>,
    rest: Pieces<P>,
}

impl<P> Begun<P> {
    /// Waits for the first piece, so that what fails at once is an ordinary error with its status. It waits no longer than `patience`: by
    /// then the client is owed a sign of life, and what fails later is an event.
    pub(crate) async fn wait(mut pieces: Pieces<P>, patience: Duration) -> Result<Self, ApiError> {
        let first = timeout(patience, pieces.next()).await.ok().flatten().transpose()?;
        Ok(Self { first: first.map(Ok), rest: pieces })
    }

    /// Waits for nothing: whatever comes is an event.
    pub(crate) fn now(pieces: Pieces<P>) -> Self {
        Self { first: None, rest: pieces }
    }
}

/// How one kind of stream is written.
pub(crate) trait Wire: 'static {
    /// What it is made of.
    type Piece: Send + 'static;

    /// A piece as the client reads it.
    fn piece(&mut self, piece: Self::Piece) -> Sent;

    /// What tells of an error. Nothing follows it.
    fn error(&mut self, error: &ApiError) -> Bytes;
}

/// Bytes on their way to the client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// More will follow.
    Event(Bytes),
    /// These are the last.
    Last(Bytes),
}

/// How many wait before the request, as every wire tells it.
pub(crate) fn queued(position: u32) -> Sent {
    Sent::Event(Bytes::from(format!(": X-Queue-Position: {position}\n\n")))
}

/// What beats while a stream is open.
pub(crate) struct Pulse {
    /// How often.
    pub(crate) heartbeat: Duration,
    /// Asked at every beat whether the stream may go on; an error is its last event.
    pub(crate) may_go_on: Check,
}

impl Pulse {
    /// The pulse of a stream that this caller began: it ends within a beat after what they proved themselves by has ended.
    pub(crate) fn of(caller: Caller, sessions: &SessionService, heartbeat: Duration) -> Self {
        let (caller, sessions) = (Rc::new(caller), sessions.clone());
        let may_go_on = move || {
            let (caller, sessions) = (Rc::clone(&caller), sessions.clone());
            async move { still_holds(&caller, &sessions).await }.boxed_local()
        };
        Self { heartbeat, may_go_on: Box::new(may_go_on) }
    }
}

/// Only a clear no ends a stream: a store that cannot answer now is asked again at the next beat.
async fn still_holds(caller: &Caller, sessions: &SessionService) -> Result<(), ApiError> {
    match sessions.still_holds(caller).await {
        Ok(()) => Ok(()),
        Err(error @ ServiceError::InvalidToken) => Err(error.into()),
        Err(error) => {
            tracing::debug!(%error, "whether a stream may go on could not be found out");
            Ok(())
        }
    }
}

/// A question that is asked again and again. It may wait for a database: pieces flow meanwhile.
pub(crate) type Check = Box<dyn Fn() -> LocalBoxFuture<'static, Result<(), ApiError>>>;

/// The response that sends pieces while they are made.
pub(crate) fn respond<W: Wire>(begun: Begun<W::Piece>, wire: W, pulse: Pulse) -> HttpResponse {
    let pieces = stream::iter(begun.first).chain(begun.rest).boxed();
    let events = events(pieces, wire, pulse).map(Ok::<_, std::convert::Infallible>);
    HttpResponse::Ok()
        .content_type("text/event-stream; charset=utf-8")
        .insert_header((CACHE_CONTROL, "no-store"))
        // Tells nginx, and what follows its example, not to collect the events.
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(events)
}

fn events<W: Wire>(pieces: Pieces<W::Piece>, wire: W, pulse: Pulse) -> impl Stream<Item = Bytes> {
    let mut beats = interval_at(Instant::now() + pulse.heartbeat, pulse.heartbeat);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let open = Open { pieces, wire, beats, may_go_on: pulse.may_go_on, asked: None, was_silent: true };
    stream::unfold(Some(open), async |open| {
        let mut open = open?;
        match open.next().await? {
            Sent::Event(event) => Some((event, Some(open))),
            // After the last event nothing is held any more: what still generates stops now, not when the client has read it.
            Sent::Last(event) => Some((event, None)),
        }
    })
}

/// A stream that has not ended.
struct Open<W: Wire> {
    pieces: Pieces<W::Piece>,
    wire: W,
    beats: Interval,
    may_go_on: Check,
    /// The question of the last beat, until it is answered.
    asked: Option<LocalBoxFuture<'static, Result<(), ApiError>>>,
    /// Whether nothing was sent since the last beat.
    was_silent: bool,
}

impl<W: Wire> Open<W> {
    /// The next event. Nothing is lost if this is dropped before it is ready.
    async fn next(&mut self) -> Option<Sent> {
        loop {
            // In this order, so that a model that never pauses cannot put off the question.
            tokio::select! {
                biased;
                answer = answered(&mut self.asked) => {
                    self.asked = None;
                    if let Err(error) = answer {
                        return Some(self.failed(&error));
                    }
                }
                _ = self.beats.tick() => {
                    if self.asked.is_none() {
                        self.asked = Some((self.may_go_on)());
                    }
                    if std::mem::replace(&mut self.was_silent, true) {
                        return Some(Sent::Event(Bytes::from_static(b": still here\n\n")));
                    }
                }
                piece = self.pieces.next() => {
                    self.was_silent = false;
                    return Some(match piece? {
                        Ok(piece) => self.wire.piece(piece),
                        Err(error) => self.failed(&error.into()),
                    });
                }
            }
        }
    }

    fn failed(&mut self, error: &ApiError) -> Sent {
        log_error(error);
        Sent::Last(self.wire.error(error))
    }
}

/// The answer to what was asked; never ready where nothing was.
async fn answered(asked: &mut Option<LocalBoxFuture<'static, Result<(), ApiError>>>) -> Result<(), ApiError> {
    match asked {
        Some(question) => question.await,
        None => std::future::pending().await,
    }
}

/// A native text: `data: {"text": …}` for each piece, then `event: done` with the record, or `event: error` with the problem.
pub(crate) struct NativeText {
    /// Names the request in a problem.
    pub(crate) request_id: RequestId,
}

impl Wire for NativeText {
    type Piece = TextPiece;

    fn piece(&mut self, piece: TextPiece) -> Sent {
        match piece {
            TextPiece::Queued { position } => queued(position),
            TextPiece::Text(text) => Sent::Event(data(&TextPieceEvent { text })),
            TextPiece::Done(record) => Sent::Last(named("done", &TextGenerationResponse::from(*record))),
        }
    }

    fn error(&mut self, error: &ApiError) -> Bytes {
        problem(error, &self.request_id)
    }
}

/// What follows the last piece of a stream that ends as OpenAI's do, after one more event where there is one.
pub(crate) fn done(last: Option<Bytes>) -> Bytes {
    const DONE: &[u8] = b"data: [DONE]\n\n";
    match last {
        Some(last) => [last.as_ref(), DONE].concat().into(),
        None => Bytes::from_static(DONE),
    }
}

/// An event without a name.
pub(crate) fn data(value: &impl Serialize) -> Bytes {
    Bytes::from(format!("data: {}\n\n", json(value)))
}

/// An event with a name.
pub(crate) fn named(event: &str, value: &impl Serialize) -> Bytes {
    Bytes::from(format!("event: {event}\ndata: {}\n\n", json(value)))
}

/// What tells of an error on a native stream.
pub(crate) fn problem(error: &ApiError, request_id: &RequestId) -> Bytes {
    named("error", &Problem::new(error, request_id))
}

/// JSON holds no bare newline, so one `data:` line carries it whole.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::ready;
    use std::pin::pin;

    use ports::GenerationError;

    use crate::ErrorCode;

    use super::*;

    fn text(piece: &str) -> TextPiece {
        TextPiece::Text(piece.to_owned())
    }

    fn pulse(heartbeat: Duration) -> Pulse {
        Pulse { heartbeat, may_go_on: Box::new(|| ready(Ok(())).boxed_local()) }
    }

    fn wire() -> NativeText {
        NativeText { request_id: RequestId::fresh() }
    }

    async fn sent(pieces: Pieces<TextPiece>) -> String {
        let bytes: Vec<Bytes> = events(pieces, wire(), pulse(Duration::from_secs(1))).collect().await;
        String::from_utf8(bytes.concat()).unwrap()
    }

    #[actix_web::test]
    async fn pieces_are_data_and_waiting_is_a_comment() {
        let pieces = stream::iter([Ok(TextPiece::Queued { position: 3 }), Ok(text("a\nb")), Ok(text("ñ"))]).boxed();
        assert_eq!(sent(pieces).await, ": X-Queue-Position: 3\n\ndata: {\"text\":\"a\\nb\"}\n\ndata: {\"text\":\"ñ\"}\n\n");
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
        let refused = Err::<TextPiece, _>(ServiceError::Generation(GenerationError::ShuttingDown));
        let pieces = stream::iter([refused]).boxed();
        let error = Begun::wait(pieces, Duration::from_secs(1)).await.map(drop).unwrap_err();
        assert!(error.detail().starts_with("[E027]"));
    }

    #[actix_web::test]
    async fn silence_is_filled_with_comments() {
        let begun = Begun::<TextPiece>::wait(stream::pending().boxed(), Duration::from_millis(1)).await.unwrap();
        assert!(begun.first.is_none(), "patience ends before the first piece");
        let mut events = pin!(events(begun.rest, wire(), pulse(Duration::from_millis(1))));
        assert_eq!(events.next().await.unwrap(), ": still here\n\n");
        assert_eq!(events.next().await.unwrap(), ": still here\n\n");
    }

    /// A pulse that lets two beats pass and then ends the stream.
    fn failing_pulse() -> Pulse {
        let beats = Rc::new(Cell::new(0));
        let may_go_on = move || {
            beats.set(beats.get() + 1);
            let answer = if beats.get() > 2 { Err(ApiError::titled(ErrorCode::InvalidToken)) } else { Ok(()) };
            ready(answer).boxed_local()
        };
        Pulse { heartbeat: Duration::from_millis(1), may_go_on: Box::new(may_go_on) }
    }

    #[actix_web::test]
    async fn a_stream_that_may_not_go_on_ends_at_a_beat_silent_or_not() {
        let endless = stream::repeat_with(|| Ok(text("a"))).then(async |piece| {
            tokio::task::yield_now().await;
            piece
        });
        for pieces in [stream::pending().boxed(), endless.boxed()] {
            let sent: Vec<Bytes> = events(pieces, wire(), failing_pulse()).collect().await;
            let last = String::from_utf8(sent.last().unwrap().to_vec()).unwrap();
            assert!(last.starts_with("event: error\ndata: {\"type\":\"urn:tertulia:error:E010\""), "{last}");
        }
    }

    #[actix_web::test]
    async fn a_question_that_is_not_answered_holds_nothing_up() {
        let unanswered =
            Pulse { heartbeat: Duration::from_millis(1), may_go_on: Box::new(|| std::future::pending().boxed_local()) };
        let slow = stream::iter([Ok(text("a")), Ok(text("b"))]).then(async |piece| {
            tokio::time::sleep(Duration::from_millis(20)).await;
            piece
        });
        let sent: Vec<Bytes> = events(slow.boxed(), wire(), unanswered).collect().await;
        assert_eq!(sent.iter().filter(|event| event.starts_with(b"data")).count(), 2);
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
        let response = respond(begun, wire(), pulse(Duration::from_secs(1)));
        assert_eq!(std::sync::Arc::strong_count(&alive), 2);
        drop(response);
        assert_eq!(std::sync::Arc::strong_count(&alive), 1);
    }
}
