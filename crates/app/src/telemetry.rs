//! Logs: what is let through, in which form, and where to.
//!
//! Everything goes to standard error, so that what a command prints can be piped, and to `LOG_FILE` as well where one is set. What is
//! logged while the server starts is held back until the start has succeeded: a start that is refused says why in one line, and leaves
//! no file behind.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Subscriber;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::{LogConfig, LogFormat};
use crate::start_error::StartError;

/// Libraries that tell more than an operator wants to know; the dispatcher calls it an error when a stranger's bytes are no HTTP. A
/// directive of the operator's own for one of them wins.
const QUIETER: &str = "ort=warn,actix_server=warn,actix_http=error,actix_http::h1::dispatcher=off";

/// What is logged before the start has succeeded is kept up to this; a start that has more to tell loses the rest.
const MOST_HELD_BYTES: usize = 1 << 20;

/// The logs of this process. Dropping it writes what is still in the log file's buffer.
#[must_use]
pub(crate) struct Logs {
    terminal: Gate,
    file: Option<(Gate, PathBuf)>,
    file_writer: Option<WorkerGuard>,
    open_file: Option<LogFile>,
}

/// Begins to take logs in, and holds them back until [`Logs::release`]. Called once, before there is anything to tell.
pub(crate) fn start(config: &LogConfig) -> Result<Logs, StartError> {
    let file = config.file.clone().map(|path| (Gate::default(), path));
    let logs = Logs { terminal: Gate::default(), file, file_writer: None, open_file: None };
    if config.enabled {
        let system = |problem: String| StartError::System(format!("cannot log: {problem}"));
        let filter = EnvFilter::try_new(format!("{QUIETER},{}", config.filter)).map_err(|error| system(error.to_string()))?;
        let mut layers = vec![layer::<Registry>(config.format, logs.terminal.clone(), io::stderr().is_terminal())];
        layers.extend(logs.file.as_ref().map(|(gate, _)| layer(config.format, gate.clone(), false)));
        let subscriber = tracing_subscriber::registry().with(layers).with(filter);
        subscriber.try_init().map_err(|error| system(error.to_string()))?;
    }
    Ok(logs)
}

impl Logs {
    /// Writes what was held back, and everything from now on at once.
    pub(crate) fn release(&mut self) -> Result<(), StartError> {
        if let Some((gate, path)) = &self.file {
            let file = LogFile::open(path)?;
            // The writer's buffer is bounded: a disk that stalls costs lines, never a request.
            let (writer, guard) = tracing_appender::non_blocking(file.clone());
            gate.open(writer);
            self.file_writer = Some(guard);
            self.open_file = Some(file);
        }
        self.terminal.open(io::stderr());
        Ok(())
    }

    /// The log file, once it is open.
    pub(crate) fn open_file(&self) -> Option<LogFile> {
        self.open_file.clone()
    }
}

/// The log file. What rotates logs moves the file away and then has it opened again under its name.
#[derive(Debug, Clone)]
pub(crate) struct LogFile {
    path: Arc<Path>,
    current: Arc<Mutex<File>>,
}

impl LogFile {
    fn open(path: &Path) -> Result<Self, StartError> {
        let current = Arc::new(Mutex::new(open_to_append(path)?));
        Ok(Self { path: path.into(), current })
    }

    /// Opens the file anew; on failure lines go where they went. Blocks.
    pub(crate) fn reopen(&self) -> Result<(), StartError> {
        let file = open_to_append(&self.path)?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = file;
        Ok(())
    }
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

fn open_to_append(path: &Path) -> Result<File, StartError> {
    OpenOptions::new().create(true).append(true).open(path).map_err(|error| StartError::file(path, &error))
}

fn layer<S>(format: LogFormat, gate: Gate, colours: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(gate);
    match format {
        LogFormat::Text => layer.with_ansi(colours).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_span_list(false).boxed(),
    }
}

/// A place that lines go to: first into memory, then, once it is open, through.
#[derive(Clone)]
struct Gate(Arc<Mutex<GateState>>);

enum GateState {
    Closed(Vec<u8>),
    Open(Box<dyn Write + Send>),
}

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(GateState::Closed(Vec::new()))))
    }
}

impl Gate {
    fn open(&self, mut sink: impl Write + Send + 'static) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let GateState::Closed(held) = &*state {
            // There is nobody to tell of a terminal that is gone.
            let _ = sink.write_all(held);
            *state = GateState::Open(Box::new(sink));
        }
    }
}

impl Write for &Gate {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            GateState::Closed(held) if held.len() + line.len() <= MOST_HELD_BYTES => held.extend_from_slice(line),
            GateState::Closed(_) => {}
            GateState::Open(sink) => return sink.write(line),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            GateState::Closed(_) => Ok(()),
            GateState::Open(sink) => sink.flush(),
        }
    }
}

impl<'a> MakeWriter<'a> for Gate {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_logged_before_the_gate_opens_comes_first_and_nothing_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let gate = Gate::default();
        writeln!(&gate, "first").unwrap();
        gate.open(std::fs::File::create(&path).unwrap());
        writeln!(&gate, "second").unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "first\nsecond\n");
    }

    #[test]
    fn a_gate_that_stays_closed_holds_no_more_than_it_may() {
        let gate = Gate::default();
        for _ in 0..100 {
            (&gate).write_all(&vec![b'x'; 64 << 10]).unwrap();
        }
        assert!(matches!(&*gate.0.lock().unwrap(), GateState::Closed(held) if held.len() <= MOST_HELD_BYTES));
    }
}
