//! One generation on the engine's side: from chosen tokens to text.

use std::time::{Duration, Instant};

use domain::{FinishReason, SamplingParameters, TokenUsage};
use ports::{Completion, GenerationError, GenerationStart, Priority, TokenLogprob};
use tracing::{Span, info};

use super::Presence;
use super::queue_places::QueuePlace;
use super::stream::{Delivery, EventSender};
use crate::text::chat::AnswerForm;
use crate::text::engine_config::milliseconds as milliseconds_of;
use crate::text::metrics::{EngineMetrics, Outcome};
use crate::text::sampler::{Sampler, SamplerError, SamplerScratch, logprobs};
use crate::text::stop_strings::StopWatch;
use crate::text::stream_decoder::StreamDecoder;
use crate::text::tokenizer::TextTokenizer;

/// A generation as it comes to the engine's thread.
#[derive(Debug)]
pub(super) struct NewSequence {
    pub(super) id: crate::text::scheduler::SequenceId,
    pub(super) owner: ports::Owner,
    pub(super) priority: Priority,
    pub(super) prompt: Vec<u32>,
    pub(super) parameters: SamplingParameters,
    pub(super) answer: AnswerForm,
    pub(super) top_logprobs: Option<u8>,
    pub(super) presence: Presence,
    pub(super) start: GenerationStart,
    pub(super) submitted_at: Instant,
    pub(super) place: QueuePlace,
    /// The request's own span: what is logged of this generation carries its identifiers.
    pub(super) span: Span,
    pub(super) events: EventSender,
}

/// A generation that waits or runs.
pub(super) struct LiveSequence {
    sampler: Sampler,
    /// How many of the likeliest tokens to report with each; `None` reports nothing.
    top_logprobs: Option<usize>,
    decoder: StreamDecoder,
    stops: StopWatch,
    /// Whether white space is still to be left out.
    trims_start: bool,
    events: EventSender,
    span: Span,
    priority: Priority,
    start: GenerationStart,
    made: u32,
    place: Option<QueuePlace>,
    submitted_at: Instant,
    admitted_at: Option<Instant>,
    last_token_at: Option<Instant>,
    first_token_after: Option<Duration>,
    reused_tokens: usize,
    _presence: Presence,
}

/// What a token did to a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It goes on.
    Continues,
    /// The text is complete.
    Ends(FinishReason),
}

impl LiveSequence {
    pub(super) fn new(new: NewSequence, tokenizer: &TextTokenizer) -> Self {
        Self {
            sampler: Sampler::new(&new.parameters, &new.prompt),
            top_logprobs: new.top_logprobs.map(usize::from),
            decoder: tokenizer.stream_decoder(&new.prompt),
            stops: StopWatch::new(&new.parameters.stop, new.answer.stops),
            trims_start: new.answer.trims_start,
            events: new.events,
            span: new.span,
            priority: new.priority,
            start: new.start,
            made: 0,
            place: Some(new.place),
            submitted_at: new.submitted_at,
            admitted_at: None,
            last_token_at: None,
            first_token_after: None,
            reused_tokens: 0,
            _presence: new.presence,
        }
    }

    /// It got a slot: its place in the queue is free for others.
    pub(super) fn admit(&mut self, reused_tokens: usize, metrics: &EngineMetrics) {
        self.place = None;
        self.admitted_at = Some(Instant::now());
        self.reused_tokens = reused_tokens;
        metrics.waited(self.priority, self.submitted_at.elapsed());
        if reused_tokens > 0 { &metrics.prefix_hits } else { &metrics.prefix_misses }.increment(1);
        metrics.reused_tokens.increment(reused_tokens as u64);
        self.events.send_started(self.start);
    }

    pub(super) fn send_position(&self, position: u32) {
        self.events.send_position(position);
    }

    /// The next token, by this sequence's own parameters.
    pub(super) fn choose(&mut self, logits: &[f32], scratch: &mut SamplerScratch) -> Result<u32, SamplerError> {
        self.sampler.choose(logits, scratch)
    }

    /// Notes how likely a token was that was chosen from these logits, where the request asks for it. It goes out with the next text. The
    /// token that ends the text is no part of it.
    pub(super) fn note_logprob(&mut self, logits: &[f32], token: u32, tokenizer: &TextTokenizer, scratch: &mut SamplerScratch) {
        let Some(top) = self.top_logprobs.filter(|_| !tokenizer.is_end(token)) else { return };
        let Some(found) = logprobs(logits, token, top, scratch) else { return };
        let top = found.top.into_iter().map(|(token, logprob)| (tokenizer.bytes_of(token), logprob)).collect();
        self.events.add_logprob(TokenLogprob { token: tokenizer.bytes_of(token), logprob: found.chosen, top });
    }

    /// Turns a token into text. `text` collects what is certain of it; when the text ends, that is all of it.
    pub(super) fn take(&mut self, token: u32, tokenizer: &TextTokenizer, text: &mut String) -> Progress {
        self.made += 1;
        if tokenizer.is_end(token) {
            self.let_go(tokenizer, text);
            return Progress::Ends(FinishReason::Stop);
        }
        let piece = self.decoder.push(tokenizer, token);
        let released = self.stops.push(&piece);
        self.let_out(&released.text, text);
        if released.stopped {
            Progress::Ends(FinishReason::Stop)
        } else if self.made < self.start.max_new_tokens {
            Progress::Continues
        } else if self.let_go(tokenizer, text) {
            Progress::Ends(FinishReason::Stop)
        } else {
            Progress::Ends(FinishReason::Length)
        }
    }

    /// Gives what was held back: the possible beginning of a stop string, a character's first bytes. Answers whether a stop string
    /// was completed by it.
    fn let_go(&mut self, tokenizer: &TextTokenizer, text: &mut String) -> bool {
        let released = self.stops.push(&self.decoder.finish(tokenizer));
        self.let_out(&released.text, text);
        let held = self.stops.finish();
        self.let_out(&held, text);
        released.stopped
    }

    fn let_out(&mut self, piece: &str, text: &mut String) {
        let piece = if self.trims_start { piece.trim_start() } else { piece };
        self.trims_start &= piece.is_empty();
        text.push_str(piece);
    }

    pub(super) fn send_text(&mut self, text: &str) -> Delivery {
        self.events.send_text(text, self.made)
    }

    /// Notes that tokens were made, for the figures.
    pub(super) fn note_tokens(&mut self, count: usize, metrics: &EngineMetrics) {
        metrics.decode_tokens.increment(count as u64);
        let now = Instant::now();
        match self.last_token_at.replace(now) {
            None => {
                let after = now - self.submitted_at;
                self.first_token_after = Some(after);
                metrics.first_token.record(after);
            }
            Some(before) => metrics.inter_token.record((now - before) / u32::try_from(count.max(1)).unwrap_or(1)),
        }
    }

    /// The text is complete; `text` is what was not handed over yet.
    pub(super) fn finish(self, reason: FinishReason, text: &str, metrics: &EngineMetrics) {
        self.log(reason.as_str());
        metrics.ended(Outcome::Finished(reason.as_str()));
        let usage = TokenUsage { prompt_tokens: self.start.prompt_tokens, completion_tokens: self.made };
        self.events.finish(text, self.made, Ok(Completion { finish_reason: reason, usage }));
    }

    /// The engine stops: the text is cut here.
    pub(super) fn interrupt(mut self, tokenizer: &TextTokenizer, metrics: &EngineMetrics) {
        let mut text = String::new();
        self.let_go(tokenizer, &mut text);
        self.finish(FinishReason::Interrupted, &text, metrics);
    }

    /// It ends with an error.
    pub(super) fn fail(self, error: GenerationError, outcome: Outcome, metrics: &EngineMetrics) {
        self.log(outcome.as_str());
        metrics.ended(outcome);
        self.events.finish("", self.made, Err(error));
    }

    /// Its caller went away.
    pub(super) fn cancel(self, metrics: &EngineMetrics) {
        self.log(Outcome::Cancelled.as_str());
        metrics.ended(Outcome::Cancelled);
    }

    fn log(&self, outcome: &str) {
        let milliseconds = |time: Option<Duration>| time.map(milliseconds_of);
        let waited = self.admitted_at.unwrap_or_else(Instant::now) - self.submitted_at;
        let decoding =
            self.last_token_at.zip(self.first_token_after).map(|(last, first)| (last - self.submitted_at).saturating_sub(first));
        self.span.in_scope(|| {
            info!(
                outcome,
                prompt_tokens = self.start.prompt_tokens,
                reused_tokens = self.reused_tokens,
                completion_tokens = self.made,
                waited_ms = milliseconds_of(waited),
                first_token_ms = milliseconds(self.first_token_after),
                decode_ms = milliseconds(decoding),
                "generation ended"
            );
        });
    }
}
