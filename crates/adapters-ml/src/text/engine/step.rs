//! One step: carries a plan out on the model and turns its logits into text.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ports::GenerationError;
use tracing::{debug, error, warn};

use super::live::Live;
use super::sequence::Progress;
use super::stream::Delivery;
use super::worker::{Stopping, Worker};
use crate::text::engine_config::milliseconds;
use crate::text::metrics::{EngineMetrics, Outcome};
use crate::text::sampler::SamplerScratch;
use crate::text::scheduler::{Plan, PrefillChunk, Scheduler, SequenceId};
use crate::text::step_model::StepError;
use crate::text::tokenizer::TextTokenizer;

/// After so many failed steps in a row the model is given up: it will not recover by itself.
const MOST_FAILURES_IN_A_ROW: u32 = 3;

impl Worker {
    /// Does what the plan says. A failure ends what runs.
    pub(super) fn compute(&mut self, plan: &Plan) {
        self.shared.step_began();
        let outcome = self.try_compute(plan);
        self.shared.step_ended();
        match outcome {
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
            debug!(tokens = copy.tokens, from = copy.from, to = copy.to, "copied a slot");
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
        debug!(tokens = sequences, rows = batch.rows.len(), milliseconds = milliseconds(computed), "decoded");
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
            debug!(guessed = draft.len(), right, milliseconds = milliseconds(begun.elapsed()), "checked a draft");
        }
        Ok(())
    }

    fn prefill(&mut self, plan: &Plan) -> Result<(), StepError> {
        for chunk in &plan.prefills {
            let begun = Instant::now();
            if chunk.embeds {
                self.embed(chunk)?;
                self.note_prefill(chunk, begun.elapsed());
                continue;
            }
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
            self.note_prefill(chunk, computed);
        }
        Ok(())
    }

    fn note_prefill(&self, chunk: &PrefillChunk, computed: Duration) {
        self.metrics.prefill_time.record(computed);
        self.metrics.prefill_tokens.increment(chunk.tokens.len() as u64);
        debug!(tokens = chunk.tokens.len(), start = chunk.start, milliseconds = milliseconds(computed), "prefilled");
    }

    /// Reads a part of an input of which a vector is made, and hands the vectors out with the last part of the last input.
    fn embed(&mut self, chunk: &PrefillChunk) -> Result<(), StepError> {
        // An earlier part in this step may have ended it.
        let Some(embedding) = self.live.get_mut(&chunk.id).and_then(Live::embedding) else { return Ok(()) };
        self.model.add_hidden_states(chunk.slot, chunk.start, &chunk.tokens, embedding.sums())?;
        self.scheduler.prefilled(chunk);
        if !chunk.completes {
            return Ok(());
        }
        match embedding.end_input() {
            Ok(false) => {}
            Ok(true) => {
                self.scheduler.remove(chunk.id);
                if let Some(Live::Embedding(embedding)) = self.live.remove(&chunk.id) {
                    embedding.finish(&self.metrics);
                }
            }
            Err(error) => self.fail(chunk.id, error, Outcome::Failed),
        }
        Ok(())
    }
}

/// What turning logits into text needs of the worker, while the logits are borrowed from its model.
struct Hands<'a> {
    live: &'a mut HashMap<SequenceId, Live>,
    scheduler: &'a mut Scheduler,
    tokenizer: &'a TextTokenizer,
    metrics: &'a EngineMetrics,
    scratch: &'a mut SamplerScratch,
}

impl Hands<'_> {
    /// Chooses a token from the first row, and from each further one as long as the draft was right. Hands the text out and ends the
    /// sequence where it ends. Answers how many tokens of the draft were right.
    fn take_rows<'r>(&mut self, id: SequenceId, rows: impl Iterator<Item = &'r [f32]>, draft: &[u32]) -> usize {
        let Some(sequence) = self.live.get_mut(&id).and_then(Live::text) else { return 0 };
        let mut text = String::new();
        let mut tokens = Vec::with_capacity(draft.len() + 1);
        let mut progress = Progress::Continues;
        for (index, row) in rows.enumerate() {
            match sequence.choose(row, self.scratch) {
                Ok(token) => {
                    tokens.push(token);
                    sequence.note_logprob(row, token, self.tokenizer, self.scratch);
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
                if let Some(Live::Text(sequence)) = self.live.remove(&id) {
                    sequence.finish(reason, text, self.metrics);
                }
            }
            Progress::Continues => match self.live.get_mut(&id).and_then(Live::text).map(|sequence| sequence.send_text(text)) {
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
