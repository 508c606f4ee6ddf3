//! The thread's loop: take in what arrived, plan, compute (in `step.rs`), tell.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use ports::GenerationError;
use tracing::{error, info};

use super::embedding::{LiveEmbedding, NewEmbedding};
use super::live::Live;
use super::sequence::{LiveSequence, NewSequence};
use super::stream::Delivery;
use super::{Command, Shared};
use crate::text::engine_config::EngineConfig;
use crate::text::metrics::{EngineMetrics, Outcome};
use crate::text::sampler::SamplerScratch;
use crate::text::scheduler::{Plan, Purpose, Scheduler, SequenceId, Submission};
use crate::text::step_model::StepModel;
use crate::text::tokenizer::TextTokenizer;

pub(super) struct Worker {
    pub(super) model: Box<dyn StepModel>,
    pub(super) scheduler: Scheduler,
    pub(super) live: HashMap<SequenceId, Live>,
    pub(super) tokenizer: Arc<TextTokenizer>,
    pub(super) inbox: Receiver<Command>,
    pub(super) shared: Arc<Shared>,
    pub(super) metrics: EngineMetrics,
    pub(super) name: String,
    pub(super) scratch: SamplerScratch,
    pub(super) stopping: Option<Stopping>,
    pub(super) failures_in_a_row: u32,
    pub(super) last_admission: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Stopping {
    /// When what runs is cut.
    CutAt(Instant),
    /// When nothing is left.
    WhenEmpty,
}

impl Worker {
    pub(super) fn new(
        model: Box<dyn StepModel>,
        tokenizer: Arc<TextTokenizer>,
        config: &EngineConfig,
        name: &str,
        inbox: Receiver<Command>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            scheduler: Scheduler::new(config.scheduler_config(model.limits(), model.extend_matches_decode())),
            model,
            live: HashMap::new(),
            tokenizer,
            inbox,
            shared,
            metrics: EngineMetrics::new(name),
            name: name.to_owned(),
            scratch: SamplerScratch::default(),
            stopping: None,
            failures_in_a_row: 0,
            last_admission: None,
        }
    }

    /// Runs until it is told to stop. A panic ends all streams (their senders are dropped) and is told to whoever comes later.
    pub(super) fn run_guarded(mut self, shared: &Shared) {
        let name = self.name.clone();
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(move || self.run()));
        if outcome.is_err() {
            error!(model = name, "the engine's thread panicked; it must be loaded anew");
            shared.end(GenerationError::ModelUnavailable(format!("the engine of {name} broke down; see the log")));
        } else {
            shared.end(GenerationError::ShuttingDown);
            info!(model = name, "engine ended");
        }
    }

    fn run(&mut self) {
        loop {
            if !self.take_in() {
                return;
            }
            let plan = self.scheduler.plan(self.now_ms());
            self.announce(&plan);
            if plan.has_work() {
                self.compute(&plan);
            } else if !self.scheduler.is_empty() || self.stopping.is_some() {
                self.wait_for_news();
            }
        }
    }

    fn now_ms(&self) -> u64 {
        self.shared.now_ms()
    }

    /// Takes in everything that arrived; waits for something if there is nothing to do. Answers whether to go on.
    fn take_in(&mut self) -> bool {
        if self.scheduler.is_empty() && self.stopping.is_none() {
            // Nothing is planned from here on until somebody comes: without this the gauges would keep what ran last.
            self.tell_gauges();
            match self.inbox.recv() {
                Ok(command) => self.obey(command),
                Err(_) => return false,
            }
        }
        loop {
            match self.inbox.try_recv() {
                Ok(command) => self.obey(command),
                Err(TryRecvError::Empty) => break,
                // No handle and no stream is left.
                Err(TryRecvError::Disconnected) => return !self.scheduler.is_empty(),
            }
        }
        match self.stopping {
            Some(_) if self.scheduler.is_empty() => false,
            None | Some(Stopping::WhenEmpty) => true,
            Some(Stopping::CutAt(time)) => {
                let in_time = Instant::now() < time;
                if !in_time {
                    self.cut_all();
                }
                in_time
            }
        }
    }

    /// All who are here are paused, or a stop waits for its time: sleeps until something arrives or the next deadline passes.
    fn wait_for_news(&mut self) {
        let deadline = self.scheduler.next_deadline_ms().map(|at| Duration::from_millis(at.saturating_sub(self.now_ms())));
        let cut = match self.stopping {
            Some(Stopping::CutAt(time)) => Some(time.saturating_duration_since(Instant::now())),
            _ => None,
        };
        let longest = [deadline, cut].into_iter().flatten().min().unwrap_or(Duration::from_secs(1));
        match self.inbox.recv_timeout(longest.max(Duration::from_millis(1))) {
            Ok(command) => self.obey(command),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Begin(new) => self.begin(*new),
            Command::Embed(new) => self.begin_embedding(*new),
            Command::Cancel(id) => self.drop_sequence(id),
            Command::Resume(id) => self.resume(id),
            Command::Stop(grace) => {
                self.stopping = Some(Stopping::CutAt(Instant::now() + grace));
                for id in self.scheduler.refuse_waiting() {
                    self.fail(id, GenerationError::ShuttingDown, Outcome::ShutDown);
                }
            }
            Command::Retire => self.stopping = self.stopping.or(Some(Stopping::WhenEmpty)),
        }
    }

    fn begin(&mut self, new: NewSequence) {
        let max_new_tokens = usize::try_from(new.start.max_new_tokens).unwrap_or(usize::MAX);
        let submission = Submission {
            id: new.id,
            owner: new.owner,
            priority: new.priority,
            prompt: new.prompt.clone(),
            purpose: Purpose::Text { max_new_tokens },
        };
        self.submit(submission, Live::Text(Box::new(LiveSequence::new(new, &self.tokenizer))));
    }

    fn begin_embedding(&mut self, new: NewEmbedding) {
        let mut end = 0;
        let ends = new.inputs.iter().map(|input| {
            end += input.len();
            end
        });
        let submission = Submission {
            id: new.id,
            owner: new.owner,
            priority: new.priority,
            purpose: Purpose::Embedding { ends: ends.collect() },
            prompt: new.inputs.concat(),
        };
        self.submit(submission, Live::Embedding(Box::new(LiveEmbedding::new(new, self.model.limits().width))));
    }

    fn submit(&mut self, submission: Submission, live: Live) {
        let id = submission.id;
        self.live.insert(id, live);
        if let Some(reason) = self.shared.why_ended() {
            self.fail(id, reason, Outcome::ShutDown);
        } else if self.scheduler.submit(self.now_ms(), submission).is_err() {
            // The places outside count the same limit, so this is a second fence.
            self.fail(id, GenerationError::Overloaded { retry_after_seconds: 1 }, Outcome::Failed);
        }
    }

    /// Nobody listens any more.
    fn drop_sequence(&mut self, id: SequenceId) {
        self.scheduler.remove(id);
        if let Some(live) = self.live.remove(&id) {
            live.cancel(&self.metrics);
        }
    }

    fn resume(&mut self, id: SequenceId) {
        let Some(sequence) = self.live.get_mut(&id).and_then(Live::text) else { return };
        match sequence.send_text("") {
            Delivery::Taken => self.scheduler.set_paused(id, false),
            Delivery::Full => {}
            Delivery::Gone => self.drop_sequence(id),
        }
    }

    pub(super) fn fail(&mut self, id: SequenceId, error: GenerationError, outcome: Outcome) {
        self.scheduler.remove(id);
        if let Some(live) = self.live.remove(&id) {
            live.fail(error, outcome, &self.metrics);
        }
    }

    fn cut_all(&mut self) {
        for (id, live) in self.live.drain() {
            self.scheduler.remove(id);
            live.interrupt(&self.tokenizer, &self.metrics);
        }
    }

    /// Tells callers what the plan decided.
    fn announce(&mut self, plan: &Plan) {
        for id in &plan.expired {
            self.fail(*id, GenerationError::DeadlineExceeded, Outcome::Deadline);
        }
        for admission in &plan.admitted {
            if let Some(live) = self.live.get_mut(&admission.id) {
                live.admit(admission.reused_tokens, &self.metrics);
            }
            self.note_admission();
        }
        for (id, position) in &plan.queue_positions {
            if let Some(sequence) = self.live.get_mut(id).and_then(Live::text) {
                sequence.send_position(*position);
            }
        }
        self.tell_gauges();
    }

    #[expect(clippy::cast_precision_loss, reason = "counts for a gauge")]
    fn tell_gauges(&self) {
        self.metrics.queue_length.set(self.scheduler.waiting() as f64);
        self.metrics.running.set(self.scheduler.running() as f64);
        self.metrics.cache_tokens.set(self.scheduler.cached_tokens() as f64);
    }

    /// A moving average of the time between admissions, from which callers who are refused are told when to come back.
    fn note_admission(&mut self) {
        let now = Instant::now();
        if let Some(before) = self.last_admission.replace(now) {
            let interval = u32::try_from((now - before).as_millis()).unwrap_or(u32::MAX);
            let average = self.shared.admission_interval_ms.load(Ordering::Relaxed);
            self.shared.admission_interval_ms.store(average - average / 8 + interval / 8, Ordering::Relaxed);
        }
    }
}
