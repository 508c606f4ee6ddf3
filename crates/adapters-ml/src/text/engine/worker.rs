//! The thread's loop: take in, plan, compute, hand out.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use ports::GenerationError;
use tracing::{error, info, trace, warn};

use super::sequence::{LiveSequence, NewSequence, Progress};
use super::stream::Delivery;
use super::{Command, Shared};
use crate::text::engine_config::{EngineConfig, milliseconds};
use crate::text::metrics::{EngineMetrics, Outcome};
use crate::text::sampler::SamplerScratch;
use crate::text::scheduler::{Plan, Scheduler, SequenceId, Submission};
use crate::text::step_model::{StepError, StepModel};
use crate::text::tokenizer::TextTokenizer;

/// After so many failed steps in a row the model is given up: it will not recover by itself.
const MOST_FAILURES_IN_A_ROW: u32 = 3;

pub(super) struct Worker {
    model: Box<dyn StepModel>,
    scheduler: Scheduler,
    live: HashMap<SequenceId, LiveSequence>,
    tokenizer: Arc<TextTokenizer>,
    inbox: Receiver<Command>,
    shared: Arc<Shared>,
    metrics: EngineMetrics,
    name: String,
    scratch: SamplerScratch,
    started_at: Instant,
    stopping: Option<Stopping>,
    failures_in_a_row: u32,
    last_admission: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
enum Stopping {
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
            started_at: Instant::now(),
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
        milliseconds(self.started_at.elapsed())
    }

    /// Takes in everything that arrived; waits for something if there is nothing to do. Answers whether to go on.
    fn take_in(&mut self) -> bool {
        if self.scheduler.is_empty() && self.stopping.is_none() {
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
        let submission = Submission {
            id: new.id,
            owner: new.owner,
            priority: new.priority,
            prompt: new.prompt.clone(),
            max_new_tokens: usize::try_from(new.start.max_new_tokens).unwrap_or(usize::MAX),
        };
        let id = new.id;
        self.live.insert(id, LiveSequence::new(new, &self.tokenizer));
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
        if let Some(sequence) = self.live.remove(&id) {
            sequence.cancel(&self.metrics);
        }
    }

    fn resume(&mut self, id: SequenceId) {
        let Some(sequence) = self.live.get_mut(&id) else { return };
        match sequence.send_text("") {
            Delivery::Taken => self.scheduler.set_paused(id, false),
            Delivery::Full => {}
            Delivery::Gone => self.drop_sequence(id),
        }
    }

    fn fail(&mut self, id: SequenceId, error: GenerationError, outcome: Outcome) {
        self.scheduler.remove(id);
        if let Some(sequence) = self.live.remove(&id) {
            sequence.fail(error, outcome, &self.metrics);
        }
    }

    fn cut_all(&mut self) {
        for (id, sequence) in self.live.drain() {
            self.scheduler.remove(id);
            sequence.interrupt(&self.tokenizer, &self.metrics);
        }
    }

    /// Tells callers what the plan decided.
    fn announce(&mut self, plan: &Plan) {
        for id in &plan.expired {
            self.fail(*id, GenerationError::DeadlineExceeded, Outcome::Deadline);
        }
        for admission in &plan.admitted {
            if let Some(sequence) = self.live.get_mut(&admission.id) {
                sequence.admit(admission.reused_tokens, &self.metrics);
            }
            self.note_admission();
        }
        for (id, position) in &plan.queue_positions {
            if let Some(sequence) = self.live.get(id) {
                sequence.send_position(*position);
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "counts for a gauge")]
        {
            self.metrics.queue_length.set(self.scheduler.waiting() as f64);
            self.metrics.running.set(self.scheduler.running() as f64);
            self.metrics.cache_tokens.set(self.scheduler.cached_tokens() as f64);
        }
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

    fn compute(&mut self, plan: &Plan) {
        match self.try_compute(plan) {
            Ok(()) => self.failures_in_a_row = 0,
            Err(error) => self.give_up_running(&error),
        }
    }

    /// The cache is worth nothing after a failed step, so whatever had a slot is over. Who waits may still be served.
    fn give_up_running(&mut self, error: &StepError) {
        error!(model = self.name, %error, "a step of the model failed; ending what runs");
        self.failures_in_a_row += 1;
        self.scheduler.fail_running();
        let waiting_too = self.failures_in_a_row >= MOST_FAILURES_IN_A_ROW;
        if waiting_too {
            warn!(model = self.name, failures = self.failures_in_a_row, "giving the model up; it must be loaded anew");
            self.shared.end(GenerationError::ModelUnavailable(format!("the model {} keeps failing; see the log", self.name)));
            self.scheduler.refuse_waiting();
            self.stopping = self.stopping.or(Some(Stopping::WhenEmpty));
        }
        let over: Vec<SequenceId> = self.live.keys().copied().filter(|id| !self.scheduler.contains(*id)).collect();
        for id in over {
            self.fail(id, GenerationError::Failed(error.to_string()), Outcome::Failed);
        }
    }

    fn try_compute(&mut self, plan: &Plan) -> Result<(), StepError> {
        self.copy(plan)?;
        self.decode(plan)?;
        self.check_drafts(plan)?;
        self.prefill(plan)
    }

    fn copy(&mut self, plan: &Plan) -> Result<(), StepError> {
        for copy in &plan.copies {
            let begun = Instant::now();
            self.model.copy_slot(copy.from, copy.to, copy.tokens)?;
            self.metrics.copy_time.record(begun.elapsed());
            trace!(tokens = copy.tokens, from = copy.from, to = copy.to, "copied a slot");
        }
        Ok(())
    }

    fn decode(&mut self, plan: &Plan) -> Result<(), StepError> {
        let batch = &plan.decode;
        let sequences = batch.rows.iter().flatten().count();
        if sequences == 0 {
            return Ok(());
        }
        let begun = Instant::now();
        let logits = self.model.decode(&batch.tokens, &batch.positions)?;
        let computed = begun.elapsed();
        let mut hands = Hands {
            live: &mut self.live,
            scheduler: &mut self.scheduler,
            tokenizer: &self.tokenizer,
            metrics: &self.metrics,
            scratch: &mut self.scratch,
        };
        for (id, row) in batch.rows.iter().zip(logits.rows()) {
            if let Some(id) = id {
                hands.take_rows(*id, std::iter::once(row), &[]);
            }
        }
        self.metrics.decode_time.record(computed);
        #[expect(clippy::cast_precision_loss, reason = "a batch has at most some thousand rows")]
        self.metrics.batch_size.record(sequences as f64);
        trace!(tokens = sequences, rows = batch.rows.len(), milliseconds = computed.as_millis(), "decoded");
        Ok(())
    }

    fn check_drafts(&mut self, plan: &Plan) -> Result<(), StepError> {
        for check in &plan.checks {
            let begun = Instant::now();
            let logits = self.model.extend(check.slot, check.start, &check.tokens, check.tokens.len())?;
            self.metrics.check_time.record(begun.elapsed());
            let draft = check.tokens.get(1..).unwrap_or_default();
            let mut hands = Hands {
                live: &mut self.live,
                scheduler: &mut self.scheduler,
                tokenizer: &self.tokenizer,
                metrics: &self.metrics,
                scratch: &mut self.scratch,
            };
            let right = hands.take_rows(check.id, logits.rows(), draft);
            self.scheduler.checked(check.id, draft.len(), right);
            self.metrics.draft_tokens.increment(draft.len() as u64);
            self.metrics.draft_accepted.increment(right as u64);
            trace!(guessed = draft.len(), right, milliseconds = begun.elapsed().as_millis(), "checked a draft");
        }
        Ok(())
    }

    fn prefill(&mut self, plan: &Plan) -> Result<(), StepError> {
        for chunk in &plan.prefills {
            let begun = Instant::now();
            let logits = self.model.extend(chunk.slot, chunk.start, &chunk.tokens, usize::from(chunk.completes))?;
            let computed = begun.elapsed();
            self.scheduler.prefilled(chunk);
            let mut hands = Hands {
                live: &mut self.live,
                scheduler: &mut self.scheduler,
                tokenizer: &self.tokenizer,
                metrics: &self.metrics,
                scratch: &mut self.scratch,
            };
            if chunk.completes {
                hands.take_rows(chunk.id, logits.rows(), &[]);
            }
            self.metrics.prefill_time.record(computed);
            self.metrics.prefill_tokens.increment(chunk.tokens.len() as u64);
            trace!(tokens = chunk.tokens.len(), start = chunk.start, milliseconds = computed.as_millis(), "prefilled");
        }
        Ok(())
    }
}

/// What turning logits into text needs of the worker, while the logits are borrowed from its model.
struct Hands<'a> {
    live: &'a mut HashMap<SequenceId, LiveSequence>,
    scheduler: &'a mut Scheduler,
    tokenizer: &'a TextTokenizer,
    metrics: &'a EngineMetrics,
    scratch: &'a mut SamplerScratch,
}

impl Hands<'_> {
    /// Chooses a token from the first row, and from each further one as long as the draft was right. Hands the text out and ends the
    /// sequence where it ends. Answers how many tokens of the draft were right.
    fn take_rows<'r>(&mut self, id: SequenceId, rows: impl Iterator<Item = &'r [f32]>, draft: &[u32]) -> usize {
        let Some(sequence) = self.live.get_mut(&id) else { return 0 };
        let mut text = String::new();
        let mut tokens = Vec::with_capacity(draft.len() + 1);
        let mut progress = Progress::Continues;
        for (index, row) in rows.enumerate() {
            match sequence.choose(row, self.scratch) {
                Ok(token) => {
                    tokens.push(token);
                    progress = sequence.take(token, self.tokenizer, &mut text);
                    if progress != Progress::Continues || draft.get(index) != Some(&token) {
                        break;
                    }
                }
                Err(error) => {
                    self.scheduler.remove(id);
                    if let Some(sequence) = self.live.remove(&id) {
                        sequence.fail(GenerationError::Failed(error.to_string()), Outcome::Failed, self.metrics);
                    }
                    return 0;
                }
            }
        }
        sequence.note_tokens(tokens.len(), self.metrics);
        self.scheduler.generated(id, &tokens);
        let right = tokens.iter().zip(draft).take_while(|(token, guess)| token == guess).count();
        self.hand_out(id, &text, progress);
        right
    }

    fn hand_out(&mut self, id: SequenceId, text: &str, progress: Progress) {
        match progress {
            Progress::Ends(reason) => {
                self.scheduler.remove(id);
                if let Some(sequence) = self.live.remove(&id) {
                    sequence.finish(reason, text, self.metrics);
                }
            }
            Progress::Continues => match self.live.get_mut(&id).map(|sequence| sequence.send_text(text)) {
                Some(Delivery::Full) => self.scheduler.set_paused(id, true),
                Some(Delivery::Gone) => {
                    self.scheduler.remove(id);
                    if let Some(sequence) = self.live.remove(&id) {
                        sequence.cancel(self.metrics);
                    }
                }
                Some(Delivery::Taken) | None => {}
            },
        }
    }
}
