//! Sound on its way from a provider to a reader.
//!
//! A reader who does not read must not keep the call and its place. So the call belongs to a task of its own, which ends with its
//! deadline; what came by then waits in a bounded channel.

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use ports::{AudioStream, GenerationError};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Pieces that are read before anybody takes them.
const PIECES_AHEAD: usize = 8;

/// A piece; `None` once there is no more.
type Piece = Result<Option<Bytes>, GenerationError>;

/// The same sound. It ends with an error at the deadline; dropping it ends the call.
pub(super) fn relayed(
    sound: impl Stream<Item = Result<Bytes, GenerationError>> + Send + 'static,
    deadline: Instant,
) -> AudioStream {
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    tokio::spawn(async move {
        let end = tokio::select! {
            end = pass_on(sound, &sender) => end,
            () = sleep_until(deadline) => Err(GenerationError::DeadlineExceeded),
            () = sender.closed() => return,
        };
        // What follows waits for a reader; the call is over.
        let _: Result<(), _> = sender.send(end.map(|()| None)).await;
    });
    Box::pin(stream::try_unfold(receiver, async |mut receiver: mpsc::Receiver<Piece>| {
        let ended_early = || Err(GenerationError::Failed("a provider was not heard to its end".to_owned()));
        Ok(receiver.recv().await.unwrap_or_else(ended_early)?.map(|piece| (piece, receiver)))
    }))
}

async fn pass_on(
    sound: impl Stream<Item = Result<Bytes, GenerationError>>,
    sender: &mpsc::Sender<Piece>,
) -> Result<(), GenerationError> {
    let mut sound = std::pin::pin!(sound);
    while let Some(piece) = sound.next().await {
        // That nobody takes it any more is seen by whoever waits for that.
        let _: Result<(), _> = sender.send(Ok(Some(piece?))).await;
    }
    Ok(())
}
