//! Runs `espeak-ng`, one process a text, a few at a time.
//!
//! The text goes in by standard input and never on the command line, whose arguments are numbers and names out of the program's own
//! list. The process gets no environment of ours, which holds secrets. It ends when the stream is dropped, at its deadline, or when it
//! has said more than anybody could want to hear ([`Speaking`]).

use std::io::ErrorKind;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use domain::{Pitch, Speed};
use ports::{AudioStream, GenerationError, SpeechRequest, SpeechSynthesizer, SynthesizerDescription, Voice};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use crate::encoding::{FORMATS, encoder};
use crate::speaking::{Speaking, failed};
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
        let place = self.take_place(deadline).await?;
        let mut command = self.command();
        command.args(["-v", voice, "-s", &words_per_minute(request.speed), "-p", &pitch(request.pitch)]);
        // UTF-8, all of the text at once, samples to standard output.
        command.args(["-b", "1", "--stdin", "--stdout"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(|error| self.cannot_run(&error))?;
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else { return Err(failed("has no input or output")) };
        let text = spoken(&request.text);
        let mut speaking = Speaking::new(process, stdout, place);
        let begun = timeout_at(deadline, async {
            // It reads all of the text before it says anything, so that neither side can wait for the other.
            stdin.write_all(text.as_bytes()).await.map_err(|error| failed(&error.to_string()))?;
            drop(stdin);
            encoder(request.format, speaking.read_header().await?)
        });
        let encoder = begun.await.map_err(|_| GenerationError::DeadlineExceeded)??;
        Ok(speaking.into_stream(encoder, deadline))
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
