//! Answers that take a while, for callers whose right may end meanwhile.
//!
//! A stream of events asks at every beat whether it may go on ([`sse`](crate::sse)). Work whose answer is sent whole, and bytes that are
//! sent while they are made, must not outlast their caller's right either: they ask at the same beats, and where they may not go on they
//! are dropped, which cancels them and frees their places. Work is then answered with the 401 that the caller's next request would get;
//! bytes break off.

use std::future::{Ready, pending, ready};
use std::pin::pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use futures_util::stream::{self, Stream};
use futures_util::{FutureExt, StreamExt};
use services::{Caller, SessionService};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::ApiError;
use crate::config::ApiConfig;
use crate::sse::Pulse;

/// The right of this request's caller, for as long as the request takes. A guest has none that could end.
pub(crate) struct Revocable(Option<Pulse>);

impl Revocable {
    /// The work's result, or the error by which its caller lost the right to it. Dropping this drops the work.
    pub(crate) async fn run<T, E: Into<ApiError>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, ApiError> {
        let mut work = pin!(work);
        tokio::select! {
            // What is done is handed over.
            biased;
            result = &mut work => result.map_err(Into::into),
            error = self.revoked() => Err(error),
        }
    }

    /// The pieces, and in the place of one that the caller has no right to any more the error by which they lost it. Nothing follows an
    /// error: what makes the pieces is dropped with it.
    pub(crate) fn pieces<T: 'static, E: Into<ApiError> + 'static>(
        self,
        pieces: impl Stream<Item = Result<T, E>> + 'static,
    ) -> impl Stream<Item = Result<T, ApiError>> {
        let open = Some((pieces.boxed_local(), async move { self.revoked().await }.boxed_local()));
        stream::unfold(open, async |open| {
            let (mut pieces, mut revoked) = open?;
            tokio::select! {
                // Pieces that are always ready must not keep the question from being asked.
                biased;
                error = &mut revoked => Some((Err(error), None)),
                piece = pieces.next() => match piece? {
                    Ok(piece) => Some((Ok(piece), Some((pieces, revoked)))),
                    Err(error) => Some((Err(error.into()), None)),
                },
            }
        })
    }

    /// Is ready once the right has ended.
    async fn revoked(&self) -> ApiError {
        let Some(Pulse { heartbeat, may_go_on }) = &self.0 else { return pending().await };
        let mut beats = interval_at(Instant::now() + *heartbeat, *heartbeat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            if let Err(error) = may_go_on().await {
                return error;
            }
        }
    }
}

impl FromRequest for Revocable {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let Some(caller) = request.extensions().get::<Caller>().cloned() else { return ready(Ok(Self(None))) };
        let pulse = || {
            let sessions = request.app_data::<web::Data<SessionService>>()?;
            let config = request.app_data::<web::Data<ApiConfig>>()?;
            Some(Self(Some(Pulse::of(caller, sessions, config.heartbeat))))
        };
        ready(pulse().ok_or_else(|| ApiError::internal("a caller's right cannot be asked for: the server has no sessions")))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;

    use crate::ErrorCode;

    use super::*;

    /// A right that is asked for every millisecond and held so many times.
    fn held(times: u32) -> (Revocable, Rc<Cell<u32>>) {
        let asked = Rc::new(Cell::new(0));
        let counter = Rc::clone(&asked);
        let may_go_on = move || {
            counter.set(counter.get() + 1);
            let answer = if counter.get() > times { Err(ApiError::titled(ErrorCode::InvalidToken)) } else { Ok(()) };
            ready(answer).boxed_local()
        };
        (Revocable(Some(Pulse { heartbeat: Duration::from_millis(1), may_go_on: Box::new(may_go_on) })), asked)
    }

    #[actix_web::test]
    async fn work_whose_caller_loses_the_right_is_dropped() {
        let (right, asked) = held(2);
        let dropped = Rc::new(());
        let held_by_work = Rc::clone(&dropped);
        let work = async move {
            pending::<()>().await;
            Ok::<_, ApiError>(held_by_work)
        };
        assert_eq!(right.run(work).await.unwrap_err().code(), ErrorCode::InvalidToken);
        assert_eq!((asked.get(), Rc::strong_count(&dropped)), (3, 1));
    }

    #[actix_web::test]
    async fn what_is_done_is_handed_over() {
        let (right, _) = held(0);
        assert_eq!(right.run(async { Ok::<_, ApiError>("a text") }).await, Ok("a text"));
        let (right, _) = held(u32::MAX);
        let slow = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Err::<(), _>(ApiError::titled(ErrorCode::DeadlineExceeded))
        };
        assert_eq!(right.run(slow).await.unwrap_err().code(), ErrorCode::DeadlineExceeded);
    }

    #[actix_web::test]
    async fn a_question_that_is_not_answered_holds_nothing_up() {
        let right = Pulse { heartbeat: Duration::from_millis(1), may_go_on: Box::new(|| pending().boxed_local()) };
        let slow = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok::<_, ApiError>(())
        };
        assert_eq!(Revocable(Some(right)).run(slow).await, Ok(()));
    }

    #[actix_web::test]
    async fn pieces_end_with_the_right_to_them_also_where_they_never_pause() {
        let (right, _) = held(2);
        let dropped = Rc::new(());
        let held_by_pieces = Rc::clone(&dropped);
        let endless = stream::repeat_with(move || Ok::<_, ApiError>(Rc::strong_count(&held_by_pieces)));
        let mut pieces = Box::pin(right.pieces(endless.then(async |piece| {
            tokio::task::yield_now().await;
            piece
        })));
        let mut last = pieces.next().await.unwrap();
        while last.is_ok() {
            last = pieces.next().await.unwrap();
        }
        assert_eq!(last.unwrap_err().code(), ErrorCode::InvalidToken);
        assert_eq!(Rc::strong_count(&dropped), 1, "what makes them is gone before the end is asked for");
        assert!(pieces.next().await.is_none());
    }

    #[actix_web::test]
    async fn a_guest_has_no_right_that_could_end() {
        let pieces = stream::iter([Ok::<_, ApiError>(1), Ok(2), Err(ApiError::titled(ErrorCode::DeadlineExceeded)), Ok(3)]);
        let taken: Vec<_> = Revocable(None).pieces(pieces).collect().await;
        assert_eq!(taken.len(), 3, "nothing follows an error");
        assert_eq!(Revocable(None).run(async { Ok::<_, ApiError>("a picture") }).await, Ok("a picture"));
    }
}
