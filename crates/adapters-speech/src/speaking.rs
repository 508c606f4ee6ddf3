//! A process that speaks, and what comes of it.
//!
//! It belongs to a task of its own, which ends with the process's deadline whether or not anybody takes what was made: a reader who does
//! not read must not keep the process and its place. What was made waits in a bounded channel.

use bytes::Bytes;
use futures_util::stream;
use ports::{AudioStream, GenerationError};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, sleep_until};

use crate::encoding::Encoder;

/// What stands before the samples of `--stdout`: a WAV header, whose length is wrong because it is written first.
const WAV_HEADER_BYTES: usize = 44;
/// Where in it the sample rate stands, as four bytes, the lowest first.
const SAMPLE_RATE_AT: usize = 24;
/// Samples are read in pieces of a fifth of a second.
const PIECE_BYTES: usize = 8 * 1024;
/// An hour at 22,050 samples of two bytes a second.
const MAX_SAMPLE_BYTES: usize = 22_050 * 2 * 3600;
/// Pieces that are made before anybody takes them.
const PIECES_AHEAD: usize = 8;

/// A process at work. Dropping it ends the process and frees its place.
pub(crate) struct Speaking {
    process: Child,
    stdout: ChildStdout,
    sample_bytes: usize,
    /// The first half of a sample whose second has not come yet.
    odd: Option<u8>,
    _place: OwnedSemaphorePermit,
}

/// Encoded sound; `None` once there is no more.
type Piece = Result<Option<Bytes>, GenerationError>;

impl Speaking {
    /// A process that has been told what to say.
    pub(crate) const fn new(process: Child, stdout: ChildStdout, place: OwnedSemaphorePermit) -> Self {
        Self { process, stdout, sample_bytes: 0, odd: None, _place: place }
    }

    /// Reads what stands before the samples, and answers how many there are a second.
    pub(crate) async fn read_header(&mut self) -> Result<u32, GenerationError> {
        let mut header = [0; WAV_HEADER_BYTES];
        let read = self.stdout.read_exact(&mut header).await;
        read.map_err(|error| failed(&format!("gave no sound: {error}")))?;
        let rate = header.get(SAMPLE_RATE_AT..SAMPLE_RATE_AT + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
        rate.filter(|rate| (8000..=48_000).contains(rate)).ok_or_else(|| failed("gave no sound that can be read"))
    }

    /// Encodes what it says until it ends, until its deadline, or until the stream is dropped.
    pub(crate) fn into_stream(mut self, encoder: Box<dyn Encoder>, deadline: Instant) -> AudioStream {
        let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
        tokio::spawn(async move {
            let result = tokio::select! {
                result = self.speak(encoder, &sender) => result,
                () = sleep_until(deadline) => Err(GenerationError::DeadlineExceeded),
                () = sender.closed() => return,
            };
            // What follows waits for a reader, and must hold nothing that others wait for.
            drop(self);
            let _: Result<(), _> = sender.send(result.map(|()| None)).await;
        });
        Box::pin(stream::try_unfold(receiver, async |mut receiver: mpsc::Receiver<Piece>| {
            let ended_early = || Err(failed("was not heard to its end"));
            Ok(receiver.recv().await.unwrap_or_else(ended_early)?.map(|piece| (piece, receiver)))
        }))
    }

    async fn speak(&mut self, mut encoder: Box<dyn Encoder>, sender: &mpsc::Sender<Piece>) -> Result<(), GenerationError> {
        loop {
            let samples = self.next_samples().await?;
            if samples.is_empty() {
                break;
            }
            let made;
            (encoder, made) = on_a_thread(move || encoder.push(&samples).map(|made| (encoder, made))).await?;
            send(sender, made).await;
        }
        self.check_end().await?;
        send(sender, on_a_thread(move || encoder.finish()).await?).await;
        Ok(())
    }

    /// The next samples; none at the end.
    async fn next_samples(&mut self) -> Result<Vec<i16>, GenerationError> {
        let mut piece = Vec::with_capacity(PIECE_BYTES + 1);
        piece.extend(self.odd.take());
        let first = piece.len();
        loop {
            let read = self.stdout.read_buf(&mut piece).await.map_err(|error| failed(&error.to_string()))?;
            self.sample_bytes += read;
            if self.sample_bytes > MAX_SAMPLE_BYTES {
                return Err(failed("spoke for more than an hour"));
            }
            // A single byte is half a sample: more must come before anything can be given.
            if read == 0 || piece.len() >= first + 2 {
                break;
            }
        }
        if piece.len() % 2 == 1 {
            self.odd = piece.pop();
        }
        Ok(piece.chunks_exact(2).filter_map(|pair| pair.try_into().ok()).map(i16::from_le_bytes).collect())
    }

    /// Whether the process ended as it should.
    async fn check_end(&mut self) -> Result<(), GenerationError> {
        match self.process.wait().await {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(failed(&format!("ended with {status}"))),
            Err(error) => Err(failed(&error.to_string())),
        }
    }
}

/// That nobody takes it any more is seen by whoever waits for that.
async fn send(sender: &mpsc::Sender<Piece>, made: Vec<u8>) {
    if !made.is_empty() {
        let _: Result<(), _> = sender.send(Ok(Some(made.into()))).await;
    }
}

/// Encoding takes milliseconds, which the threads of the requests must not lose.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, GenerationError> + Send + 'static,
) -> Result<T, GenerationError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|failure| Err(GenerationError::Failed(format!("encoding did not end: {failure}"))))
}

pub(crate) fn failed(problem: &str) -> GenerationError {
    GenerationError::Failed(format!("espeak-ng {problem}"))
}
