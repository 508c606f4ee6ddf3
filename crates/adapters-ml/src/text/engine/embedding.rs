//! One request for embeddings on the engine's side: from hidden states to vectors.
//!
//! All inputs of a request are one sequence of the scheduler: one place in the queue, one slot, one deadline, and its owner is charged for
//! every token. Each input is read by itself, in chunks, between the steps of the texts that run.

use std::sync::mpsc::Sender;
use std::time::Instant;

use ports::{GenerationError, Owner, Priority};
use tokio::sync::oneshot;
use tracing::{Span, info};

use super::queue_places::QueuePlace;
use super::{Command, Presence};
use crate::text::engine_config::milliseconds;
use crate::text::metrics::{EngineMetrics, Outcome};
use crate::text::scheduler::SequenceId;

/// What came of a request.
pub(super) type Answer = Result<Vec<Vec<f32>>, GenerationError>;

/// A request as it comes to the engine's thread.
#[derive(Debug)]
pub(super) struct NewEmbedding {
    pub(super) id: SequenceId,
    pub(super) owner: Owner,
    pub(super) priority: Priority,
    /// In tokens, at least one each.
    pub(super) inputs: Vec<Vec<u32>>,
    pub(super) presence: Presence,
    pub(super) submitted_at: Instant,
    pub(super) place: QueuePlace,
    /// The request's own span: what is logged of it carries its identifiers.
    pub(super) span: Span,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// A request that waits or runs.
pub(super) struct LiveEmbedding {
    lengths: Vec<usize>,
    /// Of the hidden states of the input that is being read, one a feature.
    sums: Vec<f64>,
    vectors: Vec<Vec<f32>>,
    answer: oneshot::Sender<Answer>,
    span: Span,
    priority: Priority,
    place: Option<QueuePlace>,
    submitted_at: Instant,
    admitted_at: Option<Instant>,
    _presence: Presence,
}

impl LiveEmbedding {
    /// `width` is the number of features of a hidden state.
    pub(super) fn new(new: NewEmbedding, width: usize) -> Self {
        Self {
            lengths: new.inputs.iter().map(Vec::len).collect(),
            sums: vec![0.0; width],
            vectors: Vec::with_capacity(new.inputs.len()),
            answer: new.answer,
            span: new.span,
            priority: new.priority,
            place: Some(new.place),
            submitted_at: new.submitted_at,
            admitted_at: None,
            _presence: new.presence,
        }
    }

    /// It got a slot: its place in the queue is free for others.
    pub(super) fn admit(&mut self, metrics: &EngineMetrics) {
        self.place = None;
        self.admitted_at = Some(Instant::now());
        metrics.waited(self.priority, self.submitted_at.elapsed());
    }

    /// What the hidden states of the present input are added to.
    pub(super) fn sums(&mut self) -> &mut [f64] {
        &mut self.sums
    }

    /// All hidden states of an input are added. Answers whether it was the last one, or why there is no vector.
    pub(super) fn end_input(&mut self) -> Result<bool, GenerationError> {
        let vector = unit_vector(&self.sums);
        if !vector.iter().all(|value| value.is_finite()) {
            return Err(GenerationError::Failed("the model's hidden states are no numbers".to_owned()));
        }
        self.vectors.push(vector);
        self.sums.fill(0.0);
        Ok(self.vectors.len() == self.lengths.len())
    }

    /// Every input has its vector.
    pub(super) fn finish(mut self, metrics: &EngineMetrics) {
        let vectors = std::mem::take(&mut self.vectors);
        self.end(Outcome::Finished("finished"), Ok(vectors), metrics);
    }

    /// It ends with an error.
    pub(super) fn fail(self, error: GenerationError, outcome: Outcome, metrics: &EngineMetrics) {
        self.end(outcome, Err(error), metrics);
    }

    /// Its caller went away.
    pub(super) fn cancel(self, metrics: &EngineMetrics) {
        self.end(Outcome::Cancelled, Ok(Vec::new()), metrics);
    }

    fn end(self, outcome: Outcome, answer: Answer, metrics: &EngineMetrics) {
        metrics.embedding_ended(outcome);
        let waited = self.admitted_at.unwrap_or_else(Instant::now) - self.submitted_at;
        self.span.in_scope(|| {
            info!(
                outcome = outcome.as_str(),
                inputs = self.lengths.len(),
                prompt_tokens = self.lengths.iter().sum::<usize>(),
                waited_ms = milliseconds(waited),
                milliseconds = milliseconds(self.submitted_at.elapsed()),
                "embedding ended"
            );
        });
        // An error means that nobody listens any more.
        let _ = self.answer.send(answer);
    }
}

/// The direction of a sum of hidden states, which is that of their mean, as a vector of length 1 (L2); zeros where it has none.
#[expect(clippy::cast_possible_truncation, reason = "no number of such a vector is beyond 1")]
fn unit_vector(sums: &[f64]) -> Vec<f32> {
    let length = sums.iter().map(|sum| sum * sum).sum::<f64>().sqrt();
    let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
    sums.iter().map(|sum| if length.is_nan() { f32::NAN } else { (sum * scale) as f32 }).collect()
}

/// The caller's end. Dropping it before the answer came cancels the request.
pub(super) struct Awaited {
    pub(super) id: SequenceId,
    pub(super) answer: oneshot::Receiver<Answer>,
    pub(super) commands: Sender<Command>,
    pub(super) answered: bool,
}

impl Awaited {
    /// The answer, or `None` where the engine's thread ended without one.
    pub(super) async fn answer(mut self) -> Option<Answer> {
        let answer = (&mut self.answer).await;
        self.answered = true;
        answer.ok()
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if !self.answered {
            // An error means that the engine ended, and with it this request.
            let _ = self.commands.send(Command::Cancel(self.id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::unit_vector;

    #[test]
    fn a_vector_has_the_length_1_and_one_without_a_direction_is_zero() {
        assert_eq!(unit_vector(&[3.0, -4.0]), [0.6, -0.8]);
        assert_eq!(unit_vector(&[0.0, 0.0]), [0.0, 0.0]);
        for broken in [f64::NAN, f64::INFINITY] {
            assert!(unit_vector(&[broken, 1.0]).iter().any(|value| !value.is_finite()));
        }
    }
}
