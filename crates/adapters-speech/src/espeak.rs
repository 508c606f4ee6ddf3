//! Runs `espeak-ng`, one process a text, a few at a time.
//!
//! The text goes in by standard input and never on the command line, whose arguments are numbers and names out of the program's own
//! list. The process gets no environment of ours, which holds secrets. It ends when the stream is dropped, at its deadline, or when it
//! has said more than anybody could want to hear.

use std::io::ErrorKind;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::{Pitch, Speed};
use futures_util::stream;
use ports::{AudioStream, GenerationError, SpeechRequest, SpeechSynthesizer, SynthesizerDescription, Voice};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use crate::encoding::{Encoder, FORMATS, encoder};
use crate::voices::Voices;

/// How the program is run.
#[derive(Debug, Clone)]
pub struct EspeakConfig {
    /// Its name, looked for in [`SEARCH_PATH`], or its path.
    pub program: String,
    /// How many run at the same time.
    pub max_processes: usize,
    /// How many texts may wait for their turn.
    pub max_waiting: usize,
    /// How long a text may take, waiting included.
    pub deadline: Duration,
}

/// The process's own `PATH`.
const SEARCH_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin";
/// What stands before the samples of `--stdout`: a WAV header, whose length is wrong because it is written first.
const WAV_HEADER_BYTES: usize = 44;
/// Where in it the sample rate stands, as four bytes, the lowest first.
const SAMPLE_RATE_AT: usize = 24;
/// Samples are read in pieces of a fifth of a second.
const PIECE_BYTES: usize = 8 * 1024;
/// An hour at 22,050 samples of two bytes a second.
const MAX_SAMPLE_BYTES: usize = 22_050 * 2 * 3600;
/// The list of voices is about 10 kB.
const MAX_LIST_BYTES: u64 = 1024 * 1024;
const LIST_TIMEOUT: Duration = Duration::from_secs(5);
/// Words a minute of an unhurried voice, and what the program allows (`espeak-ng --help`).
const WORDS_PER_MINUTE: f64 = 175.0;
const WORDS_PER_MINUTE_RANGE: std::ops::RangeInclusive<f64> = 80.0..=450.0;
/// The program's pitch lies between 0 and 99; its own is 50.
const OWN_PITCH: f64 = 50.0;
const MAX_PITCH: f64 = 99.0;

/// Speaks by `espeak-ng`.
pub struct EspeakSynthesizer {
    config: EspeakConfig,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    voices: OnceCell<Arc<Voices>>,
}

impl EspeakSynthesizer {
    /// Begins nothing yet; whether the program is there is found out by the first who needs it.
    pub fn new(config: EspeakConfig) -> Self {
        let places = Arc::new(Semaphore::new(config.max_processes.clamp(1, Semaphore::MAX_PERMITS)));
        Self { config, places, waiting: AtomicUsize::new(0), voices: OnceCell::new() }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.config.program);
        command.env_clear().env("PATH", SEARCH_PATH).env("LC_ALL", "C.UTF-8").current_dir("/");
        command.stderr(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Reads the voices once; a failure is not kept, so that the program may be installed while the server runs.
    async fn known_voices(&self) -> Result<Arc<Voices>, GenerationError> {
        self.voices.get_or_try_init(|| self.read_voices()).await.cloned()
    }

    async fn read_voices(&self) -> Result<Arc<Voices>, GenerationError> {
        let mut command = self.command();
        command.arg("--voices").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(|error| self.cannot_run(&error))?;
        let stdout = process.stdout.take().ok_or_else(|| failed("has no output"))?;
        let mut list = String::new();
        let read = timeout(LIST_TIMEOUT, stdout.take(MAX_LIST_BYTES).read_to_string(&mut list)).await;
        match read {
            Ok(Ok(_)) => Ok(Arc::new(Voices::parse(&list))),
            Ok(Err(error)) => Err(failed(&error.to_string())),
            Err(_) => Err(GenerationError::DeadlineExceeded),
        }
    }

    fn cannot_run(&self, error: &std::io::Error) -> GenerationError {
        let program = &self.config.program;
        if error.kind() == ErrorKind::NotFound {
            GenerationError::ModelUnavailable(format!(
                "{program} is not installed: run `sudo apt-get install -y espeak-ng` (ESPEAK_PROGRAM names the program, SPEECH_BACKEND chooses another)"
            ))
        } else {
            GenerationError::ModelUnavailable(format!("{program} cannot be run: {error} (ESPEAK_PROGRAM names the program)"))
        }
    }

    /// Waits for a place to run in, in the order of coming.
    async fn take_place(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, GenerationError> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        let _waiting = Waiting::enter(&self.waiting, self.config.max_waiting)?;
        match timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_closed)) => Err(GenerationError::ShuttingDown),
            Err(_) => Err(GenerationError::DeadlineExceeded),
        }
    }
}

/// One of those who wait, counted until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize, limit: usize) -> Result<Self, GenerationError> {
        let waiting = Self(count);
        // The drop of a refused one takes its own place back.
        if count.fetch_add(1, Ordering::Relaxed) < limit {
            Ok(waiting)
        } else {
            Err(GenerationError::Overloaded { retry_after_seconds: 1 })
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl SpeechSynthesizer for EspeakSynthesizer {
    fn describe(&self) -> SynthesizerDescription {
        SynthesizerDescription { formats: FORMATS, has_speed: true, has_pitch: true }
    }

    async fn voices(&self) -> Result<Vec<Voice>, GenerationError> {
        Ok(self.known_voices().await?.list())
    }

    async fn synthesize(&self, request: SpeechRequest) -> Result<AudioStream, GenerationError> {
        let deadline = Instant::now() + self.config.deadline;
        let voices = self.known_voices().await?;
        let voice = voices.argument(&request.voice).ok_or(GenerationError::Unsupported { field: "voice" })?;
        if !FORMATS.contains(&request.format) {
            return Err(GenerationError::Unsupported { field: "format" });
        }
        let place = self.take_place(deadline).await?;
        let mut command = self.command();
        command.args(["-v", voice, "-s", &words_per_minute(request.speed), "-p", &pitch(request.pitch)]);
        // UTF-8, all of the text at once, samples to standard output.
        command.args(["-b", "1", "--stdin", "--stdout"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(|error| self.cannot_run(&error))?;
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else { return Err(failed("has no input or output")) };
        let text = spoken(&request.text);
        // It reads all of the text before it says anything, so that neither side can wait for the other.
        match timeout_at(deadline, stdin.write_all(text.as_bytes())).await {
            Ok(Ok(())) => drop(stdin),
            Ok(Err(error)) => return Err(failed(&error.to_string())),
            Err(_) => return Err(GenerationError::DeadlineExceeded),
        }
        let mut speaking = Speaking { process, stdout, deadline, sample_bytes: 0, odd: None, _place: place };
        let samples_per_second = speaking.read_header().await?;
        let encoder = encoder(request.format, samples_per_second)?;
        Ok(Box::pin(stream::try_unfold(Some((speaking, encoder)), next_piece)))
    }
}

/// What is said: control characters are silent, and a NUL would end the text.
fn spoken(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}

fn words_per_minute(speed: Speed) -> String {
    let (slowest, fastest) = WORDS_PER_MINUTE_RANGE.into_inner();
    format!("{:.0}", (WORDS_PER_MINUTE * speed.get()).clamp(slowest, fastest))
}

fn pitch(pitch: Pitch) -> String {
    format!("{:.0}", (OWN_PITCH * pitch.get()).clamp(0.0, MAX_PITCH))
}

fn failed(problem: &str) -> GenerationError {
    GenerationError::Failed(format!("espeak-ng {problem}"))
}

/// A process at work. Dropping it ends the process and frees its place.
struct Speaking {
    process: Child,
    stdout: ChildStdout,
    deadline: Instant,
    sample_bytes: usize,
    /// The first half of a sample whose second has not come yet.
    odd: Option<u8>,
    _place: OwnedSemaphorePermit,
}

impl Speaking {
    /// Reads what stands before the samples, and answers how many there are a second.
    async fn read_header(&mut self) -> Result<u32, GenerationError> {
        let mut header = [0; WAV_HEADER_BYTES];
        match timeout_at(self.deadline, self.stdout.read_exact(&mut header)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(failed(&format!("gave no sound: {error}"))),
            Err(_) => return Err(GenerationError::DeadlineExceeded),
        }
        let rate = header.get(SAMPLE_RATE_AT..SAMPLE_RATE_AT + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
        rate.filter(|rate| (8000..=48_000).contains(rate)).ok_or_else(|| failed("gave no sound that can be read"))
    }

    /// The next samples; none at the end.
    async fn next_samples(&mut self) -> Result<Vec<i16>, GenerationError> {
        let mut piece = Vec::with_capacity(PIECE_BYTES + 1);
        piece.extend(self.odd.take());
        let first = piece.len();
        loop {
            let read = timeout_at(self.deadline, self.stdout.read_buf(&mut piece)).await;
            let read = read.map_err(|_| GenerationError::DeadlineExceeded)?.map_err(|error| failed(&error.to_string()))?;
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
        match timeout_at(self.deadline, self.process.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(failed(&format!("ended with {status}"))),
            Ok(Err(error)) => Err(failed(&error.to_string())),
            Err(_) => Err(GenerationError::DeadlineExceeded),
        }
    }
}

type Work = (Speaking, Box<dyn Encoder>);

/// Reads and encodes until something has come of it.
async fn next_piece(work: Option<Work>) -> Result<Option<(Bytes, Option<Work>)>, GenerationError> {
    let Some((mut speaking, mut encoder)) = work else { return Ok(None) };
    loop {
        let samples = speaking.next_samples().await?;
        if samples.is_empty() {
            speaking.check_end().await?;
            let rest = on_a_thread(move || encoder.finish()).await?;
            return Ok((!rest.is_empty()).then(|| (rest.into(), None)));
        }
        let made;
        (encoder, made) = on_a_thread(move || encoder.push(&samples).map(|made| (encoder, made))).await?;
        if !made.is_empty() {
            return Ok(Some((made.into(), Some((speaking, encoder)))));
        }
    }
}

/// Encoding takes milliseconds, which the threads of the requests must not lose.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, GenerationError> + Send + 'static,
) -> Result<T, GenerationError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|failure| Err(GenerationError::Failed(format!("encoding did not end: {failure}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_and_pitch_stay_within_what_the_program_allows() {
        let speed = |speed| words_per_minute(Speed::new(speed).unwrap());
        assert_eq!([speed(0.25), speed(1.0), speed(2.0), speed(4.0)], ["80", "175", "350", "450"]);
        let of = |value| pitch(Pitch::new(value).unwrap());
        assert_eq!([of(0.0), of(1.0), of(2.0)], ["0", "50", "99"]);
    }

    #[test]
    fn control_characters_are_silent() {
        assert_eq!(spoken("a\0b\x1b[31m\nc"), "a b [31m\nc");
    }
}
