//! Answers that take a while, for callers whose right may end meanwhile.
//!
//! A stream asks at every beat whether it may go on ([`sse`](crate::sse)). Work whose answer is sent whole must not outlast its caller's
//! right either: it asks at the same beats, and where it may not go on it is dropped, which cancels it and frees its place, and answered
//! with the 401 that the caller's next request would get.

use std::future::{Ready, ready};
use std::pin::pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use services::{Caller, SessionService};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::ApiError;
use crate::config::ApiConfig;
use crate::sse::Pulse;

/// The right of this request's caller, for as long as the request takes.
pub(crate) struct Revocable(Pulse);

impl Revocable {
    /// The work's result, or the error by which its caller lost the right to it. Dropping this drops the work.
    pub(crate) async fn run<T, E: Into<ApiError>>(self, work: impl Future<Output = Result<T, E>>) -> Result<T, ApiError> {
        let Pulse { heartbeat, may_go_on } = self.0;
        let mut work = pin!(work);
        let mut beats = interval_at(Instant::now() + heartbeat, heartbeat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let revoked = async {
            loop {
                beats.tick().await;
                if let Err(error) = may_go_on().await {
                    return error;
                }
            }
        };
        tokio::select! {
            // What is done is handed over.
            biased;
            result = &mut work => result.map_err(Into::into),
            error = revoked => Err(error),
        }
    }
}

impl FromRequest for Revocable {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let pulse = || {
            let caller = request.extensions().get::<Caller>().cloned()?;
            let sessions = request.app_data::<web::Data<SessionService>>()?;
            let config = request.app_data::<web::Data<ApiConfig>>()?;
            Some(Self(Pulse::of(caller, sessions, config.heartbeat)))
        };
        ready(
            pulse()
                .ok_or_else(|| ApiError::internal("a handler asks for a caller's right at a route that the table leaves open")),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;
    use std::rc::Rc;
    use std::time::Duration;

    use futures_util::FutureExt;

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
        (Revocable(Pulse { heartbeat: Duration::from_millis(1), may_go_on: Box::new(may_go_on) }), asked)
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
        assert_eq!(Revocable(right).run(slow).await, Ok(()));
    }
}
