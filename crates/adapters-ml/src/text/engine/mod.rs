//! The thread that owns a model, and the handle by which everything else talks to it.
//!
//! A model computes one step at a time and its cache belongs to it, so one operating system thread owns both, and requests reach it by
//! channel. Between two steps it takes in what arrived (new requests, streams that were dropped), asks the [scheduler](super::scheduler) what to do,
//! does it, and hands the text out. Nothing it does waits for a reader, a lock held elsewhere, or another request.
//!
//! Whatever happens to the thread, nobody hangs: every stream ends, with an error if need be, when the thread does.

mod embedding;
mod live;
mod queue_places;
mod sequence;
mod step;
mod stream;
mod worker;

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::SamplingParameters;
use ports::{GenerationError, GenerationStart, Owner, Priority, TokenStream};
use tokio::sync::{oneshot, watch};
use tracing::Span;

use super::chat::AnswerForm;
use super::engine_config::{EngineConfig, milliseconds};
use super::scheduler::SequenceId;
use super::step_model::{StepModel, StepModelLimits};
use super::tokenizer::TextTokenizer;
use embedding::{Awaited, NewEmbedding};
pub(crate) use queue_places::{QueuePlace, QueuePlaces};
use sequence::NewSequence;
use worker::Worker;

/// What the thread is told.
#[derive(Debug)]
enum Command {
    Begin(Box<NewSequence>),
    Embed(Box<NewEmbedding>),
    /// A stream was dropped, or a request for embeddings.
    Cancel(SequenceId),
    /// A reader that was too slow has read something.
    Resume(SequenceId),
    /// Refuse what comes and what waits, let what runs finish for this long, then cut it and end.
    Stop(Duration),
    /// Nothing new will come: end when what is here has ended.
    Retire,
}

/// What the handle knows of the thread without asking it.
#[derive(Debug)]
struct Shared {
    /// Why nothing can be generated any more.
    ended: Mutex<Option<GenerationError>>,
    /// Average time between two admissions.
    admission_interval_ms: AtomicU32,
    next_id: AtomicU64,
    /// When the step began that the model is computing, in milliseconds since `started_at`, and one more; 0 for none.
    step_began_ms: AtomicU64,
    /// Generations that wait or run.
    present: AtomicUsize,
    /// When the last of them went, in milliseconds since `started_at`.
    last_present_ms: AtomicU64,
    started_at: Instant,
}

impl Shared {
    fn new() -> Self {
        Self {
            ended: Mutex::new(None),
            admission_interval_ms: AtomicU32::new(0),
            next_id: AtomicU64::new(0),
            step_began_ms: AtomicU64::new(0),
            present: AtomicUsize::new(0),
            last_present_ms: AtomicU64::new(0),
            started_at: Instant::now(),
        }
    }

    fn now_ms(&self) -> u64 {
        milliseconds(self.started_at.elapsed())
    }

    fn step_began(&self) {
        self.step_began_ms.store(self.now_ms() + 1, Ordering::Relaxed);
    }

    fn step_ended(&self) {
        self.step_began_ms.store(0, Ordering::Relaxed);
    }

    /// The first reason stays.
    fn end(&self, reason: GenerationError) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
    }

    fn why_ended(&self) -> Option<GenerationError> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Counts a generation from its submission to its end, however it ends.
#[derive(Debug)]
struct Presence(Arc<Shared>);

impl Presence {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.present.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(shared))
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.last_present_ms.store(self.0.now_ms(), Ordering::SeqCst);
        self.0.present.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A generation that has its place in the queue and its prompt in tokens.
#[derive(Debug)]
pub(crate) struct EngineRequest {
    pub(crate) owner: Owner,
    pub(crate) priority: Priority,
    pub(crate) prompt: Vec<u32>,
    pub(crate) parameters: SamplingParameters,
    pub(crate) answer: AnswerForm,
    /// How many of the likeliest tokens to report with each; `None` reports nothing.
    pub(crate) top_logprobs: Option<u8>,
    pub(crate) start: GenerationStart,
    pub(crate) submitted_at: Instant,
    pub(crate) place: QueuePlace,
}

/// A request for embeddings that has its place in the queue and its inputs in tokens.
#[derive(Debug)]
pub(crate) struct EmbeddingJob {
    pub(crate) owner: Owner,
    pub(crate) priority: Priority,
    /// At least one, of at least one token and no more than the context each.
    pub(crate) inputs: Vec<Vec<u32>>,
    pub(crate) submitted_at: Instant,
    pub(crate) place: QueuePlace,
}

/// A handle to the thread. Dropping it lets what runs finish; then the thread ends and the model is freed.
#[derive(Debug)]
pub(crate) struct Engine {
    commands: Sender<Command>,
    shared: Arc<Shared>,
    places: Arc<QueuePlaces>,
    thread_ended: watch::Receiver<bool>,
    limits: StepModelLimits,
    stream_buffer_events: usize,
    shutdown_grace: Duration,
}

impl Engine {
    /// Starts the thread. `name` is the model's, for the log and the metrics.
    ///
    /// Fails where the system gives no thread. The configuration must have been checked.
    pub(crate) fn start(
        model: Box<dyn StepModel>,
        tokenizer: Arc<TextTokenizer>,
        config: &EngineConfig,
        name: &str,
    ) -> std::io::Result<Self> {
        let limits = model.limits();
        let (commands, inbox) = std::sync::mpsc::channel();
        let shared = Arc::new(Shared::new());
        let (alive, thread_ended) = watch::channel(false);
        let worker = Worker::new(model, tokenizer, config, name, inbox, Arc::clone(&shared));
        let watched = Arc::clone(&shared);
        std::thread::Builder::new().name("text-engine".to_owned()).spawn(move || {
            worker.run_guarded(&watched);
            // Nobody may be waiting; then nothing is lost.
            let _ = alive.send(true);
        })?;
        Ok(Self {
            commands,
            shared,
            places: QueuePlaces::new(config.max_queued_generations),
            thread_ended,
            limits,
            stream_buffer_events: config.stream_buffer_events,
            shutdown_grace: config.shutdown_grace,
        })
    }

    /// What the model holds.
    pub(crate) fn limits(&self) -> StepModelLimits {
        self.limits
    }

    /// A place in the queue, or why there is none.
    pub(crate) fn take_place(&self, owner: Owner) -> Result<QueuePlace, GenerationError> {
        if let Some(reason) = self.shared.why_ended() {
            return Err(reason);
        }
        self.places.take(owner).ok_or_else(|| GenerationError::Overloaded { retry_after_seconds: self.retry_after_seconds() })
    }

    /// Sends a generation to the thread. The stream lies ready at once.
    pub(crate) fn begin(&self, request: EngineRequest) -> Result<TokenStream, GenerationError> {
        let id = SequenceId(self.shared.next_id.fetch_add(1, Ordering::Relaxed));
        let (events, stream) =
            stream::event_channel(id, self.stream_buffer_events, self.commands.clone(), Arc::clone(&self.shared));
        let new = NewSequence {
            id,
            owner: request.owner,
            priority: request.priority,
            prompt: request.prompt,
            parameters: request.parameters,
            answer: request.answer,
            top_logprobs: request.top_logprobs,
            presence: Presence::new(&self.shared),
            start: request.start,
            submitted_at: request.submitted_at,
            place: request.place,
            span: Span::current(),
            events,
        };
        self.commands.send(Command::Begin(Box::new(new))).map_err(|_| self.reason_of_end())?;
        Ok(Box::pin(stream))
    }

    /// Makes a vector of each input: the mean of its hidden states, of length 1. Dropping the call cancels it.
    pub(crate) async fn embed(&self, job: EmbeddingJob) -> Result<Vec<Vec<f32>>, GenerationError> {
        let id = SequenceId(self.shared.next_id.fetch_add(1, Ordering::Relaxed));
        let (answer, answered) = oneshot::channel();
        let new = NewEmbedding {
            id,
            owner: job.owner,
            priority: job.priority,
            inputs: job.inputs,
            presence: Presence::new(&self.shared),
            submitted_at: job.submitted_at,
            place: job.place,
            span: Span::current(),
            answer,
        };
        self.commands.send(Command::Embed(Box::new(new))).map_err(|_| self.reason_of_end())?;
        let awaited = Awaited { id, answer: answered, commands: self.commands.clone(), answered: false };
        awaited.answer().await.unwrap_or_else(|| {
            Err(self.why_ended().unwrap_or_else(|| GenerationError::Failed("the engine broke down".to_owned())))
        })
    }

    /// Refuses what comes, lets what runs finish within the grace period, cuts the rest, and returns when the thread has ended and the
    /// model is freed. Calling it again waits for the same end.
    pub(crate) async fn stop(&self) {
        self.shared.end(GenerationError::ShuttingDown);
        // An error means that the thread has ended already.
        let _ = self.commands.send(Command::Stop(self.shutdown_grace));
        let mut thread_ended = self.thread_ended.clone();
        // An error means that the sender is gone, and with it the thread.
        let _ = thread_ended.wait_for(|ended| *ended).await;
    }

    /// Why it cannot generate, if it cannot.
    pub(crate) fn why_ended(&self) -> Option<GenerationError> {
        self.shared.why_ended()
    }

    /// How long the model has been computing the present step; nothing between steps.
    pub(crate) fn step_running_for(&self) -> Option<Duration> {
        let began = self.shared.step_began_ms.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Duration::from_millis(self.shared.now_ms().saturating_sub(began)))
    }

    /// How long nothing has waited or run; `None` while something does.
    pub(crate) fn idle_for(&self) -> Option<Duration> {
        if self.shared.present.load(Ordering::SeqCst) > 0 {
            return None;
        }
        let last = self.shared.last_present_ms.load(Ordering::SeqCst);
        Some(Duration::from_millis(self.shared.now_ms().saturating_sub(last)))
    }

    fn reason_of_end(&self) -> GenerationError {
        self.shared.why_ended().unwrap_or(GenerationError::ShuttingDown)
    }

    /// A place in the queue is free after about as long as usually passes between two admissions.
    fn retry_after_seconds(&self) -> u32 {
        self.shared.admission_interval_ms.load(Ordering::Relaxed).div_ceil(1000).clamp(1, 60)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // An error means that the thread has ended already.
        let _ = self.commands.send(Command::Retire);
    }
}

#[cfg(test)]
mod embedding_tests;
#[cfg(test)]
mod tests;
