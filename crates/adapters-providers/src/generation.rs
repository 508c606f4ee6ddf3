//! A text on its way from a provider: its body, read as it is asked for, told as the events of the port.
//!
//! Nothing is read ahead of the reader, so a slow one slows its provider through the socket. Dropping the stream drops the answer, and
//! with it the connection: that is how the provider learns that nobody listens any more.

use std::collections::VecDeque;
use std::mem;

use domain::{FinishReason, LengthLimit, TokenUsage};
use futures_util::{FutureExt as _, stream};
use ports::{Completion, GenerationError, GenerationRequest, GenerationStart, TokenEvent, TokenLogprob, TokenStream};

use crate::failures::midway_error;
use crate::http::{Answer, HttpFailure};
use crate::running::Place;

/// The longest line or event of a stream. One token with its twenty alternatives has about two thousand bytes.
pub(crate) const MAX_EVENT_BYTES: usize = 1 << 20;
/// What a stream may have besides its tokens, and for each of them.
const MAX_STREAM_BYTES: usize = 1 << 20;
const MAX_BYTES_PER_TOKEN: usize = 8 << 10;

/// What a provider told, whatever its form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    /// More of the text; may be empty.
    Piece {
        /// Whole characters.
        text: String,
        /// What it thought, which is no part of the text and is billed all the same.
        hidden: bool,
        /// As far as it reports them.
        logprobs: Vec<TokenLogprob>,
    },
    /// Why the text ends. More may follow that is no text.
    Ends(FinishReason),
    /// Tokens of the prompt.
    PromptTokens(u32),
    /// Tokens made.
    CompletionTokens(u32),
    /// Nothing follows.
    Done,
    /// It failed; nothing follows.
    Failed(GenerationError),
}

/// How a provider's body is cut into what it tells.
pub(crate) trait WireFormat: Send + 'static {
    /// Takes more of the body.
    fn push(&mut self, bytes: &[u8], told: &mut VecDeque<Told>);
    /// The body has ended.
    fn end(&mut self, told: &mut VecDeque<Told>);
}

/// How many tokens a request may have made, as far as that is known without its prompt's tokens.
///
/// `max_length` counts the prompt, and only the provider knows how many tokens that has. Any prompt has at least one; so one less than
/// `max_length` may follow at the most, and a text can be longer in all than was asked for, by its prompt. An estimate instead could cut
/// it short. Refused where not even that leaves room.
pub(crate) fn room(length: LengthLimit, context_length: u32) -> Result<u32, GenerationError> {
    const LEAST_PROMPT_TOKENS: u32 = 1;
    let context = if context_length == 0 { u32::MAX } else { context_length };
    let too_long = || {
        let limit = match length {
            LengthLimit::Total(total) => total,
            LengthLimit::New(_) => context_length,
        };
        // Where nobody knows the context, the request's own limit is all that is in the way.
        let context_length = if context_length == 0 { limit } else { context_length };
        GenerationError::PromptTooLong { prompt_tokens: LEAST_PROMPT_TOKENS, limit, context_length }
    };
    length.budget(LEAST_PROMPT_TOKENS, context).map(|budget| budget.max_new_tokens).ok_or_else(too_long)
}

/// One text under way.
pub(crate) struct Generation<F> {
    provider: &'static str,
    answer: Answer,
    format: F,
    place: Place,
    told: VecDeque<Told>,
    start: Option<GenerationStart>,
    /// Probabilities were asked for and none have come yet.
    expects_logprobs: bool,
    pending_logprobs: Vec<TokenLogprob>,
    /// Pieces so far: nobody else counts before the end.
    counted: u32,
    ends: Option<FinishReason>,
    prompt_tokens: u32,
    /// As far as the provider told it.
    completion_tokens: Option<u32>,
    bytes_left: usize,
    body_ended: bool,
    /// The provider said that nothing follows.
    done: bool,
}

impl<F: WireFormat> Generation<F> {
    /// Tells an answer that has begun.
    pub(crate) fn stream(
        provider: &'static str,
        answer: Answer,
        format: F,
        place: Place,
        request: &GenerationRequest,
        max_new_tokens: u32,
    ) -> TokenStream {
        let prompt_tokens = request.input.estimated_tokens();
        let token_bytes = MAX_BYTES_PER_TOKEN.saturating_mul(usize::try_from(max_new_tokens).unwrap_or(usize::MAX));
        let generation = Self {
            provider,
            answer,
            format,
            place,
            told: VecDeque::new(),
            start: Some(GenerationStart { prompt_tokens, truncated_tokens: 0, max_new_tokens }),
            expects_logprobs: request.logprobs.is_some(),
            pending_logprobs: Vec::new(),
            counted: 0,
            ends: None,
            prompt_tokens,
            completion_tokens: None,
            bytes_left: MAX_STREAM_BYTES.saturating_add(token_bytes),
            body_ended: false,
            done: false,
        };
        Box::pin(stream::unfold(Some(generation), async |generation| {
            let mut generation = generation?;
            let event = generation.next().await;
            // What has ended is dropped at once, and its connection with it.
            let goes_on = matches!(event, Ok(TokenEvent::Started(_) | TokenEvent::Text { .. } | TokenEvent::Queued { .. }));
            if goes_on {
                return Some((event, Some(generation)));
            }
            generation.let_go();
            Some((event, None))
        }))
    }

    async fn next(&mut self) -> Result<TokenEvent, GenerationError> {
        if let Some(start) = self.start.take() {
            return Ok(TokenEvent::Started(start));
        }
        loop {
            while let Some(told) = self.told.pop_front() {
                if let Some(event) = self.take(told)? {
                    return Ok(event);
                }
                if self.done {
                    return Ok(self.finished(FinishReason::Stop));
                }
            }
            if self.body_ended {
                return self.end_of_body();
            }
            match self.place.unless_cut(self.answer.chunk()).await? {
                Ok(Some(bytes)) => {
                    let left = self.bytes_left.checked_sub(bytes.len());
                    self.bytes_left = left.ok_or_else(|| self.failed("it sent far more than was asked for"))?;
                    self.format.push(&bytes, &mut self.told);
                }
                Ok(None) => {
                    self.body_ended = true;
                    self.format.end(&mut self.told);
                }
                Err(failure) => return self.broke_off(failure),
            }
        }
    }

    /// Where nothing follows but the end of the body, that is waited for without anybody waiting for it: then the connection serves the
    /// next call too.
    fn let_go(self) {
        if self.done && !self.body_ended {
            let mut lingering = Box::pin(self.answer.linger());
            if lingering.as_mut().now_or_never().is_none() {
                tokio::spawn(lingering);
            }
        }
    }

    fn take(&mut self, told: Told) -> Result<Option<TokenEvent>, GenerationError> {
        match told {
            Told::Piece { text, hidden, logprobs } => self.take_piece(text, hidden, logprobs),
            Told::Ends(reason) => {
                self.ends = Some(reason);
                Ok(None)
            }
            Told::PromptTokens(tokens) => {
                self.prompt_tokens = tokens;
                Ok(None)
            }
            Told::CompletionTokens(tokens) => {
                self.completion_tokens = Some(tokens);
                Ok(None)
            }
            Told::Done => {
                self.done = true;
                Ok(None)
            }
            Told::Failed(error) => Err(error),
        }
    }

    fn take_piece(
        &mut self,
        text: String,
        hidden: bool,
        logprobs: Vec<TokenLogprob>,
    ) -> Result<Option<TokenEvent>, GenerationError> {
        if text.is_empty() && logprobs.is_empty() {
            return Ok(None);
        }
        // A piece is a token, unless the provider says how many it holds.
        let tokens = u32::try_from(logprobs.len()).unwrap_or(u32::MAX).max(1);
        self.counted = self.counted.saturating_add(tokens);
        if hidden {
            return Ok(None);
        }
        self.expects_logprobs &= logprobs.is_empty();
        self.pending_logprobs.extend(logprobs);
        if text.is_empty() {
            return Ok(None);
        }
        if self.expects_logprobs {
            return Err(GenerationError::Unsupported { field: "logprobs" });
        }
        let logprobs = mem::take(&mut self.pending_logprobs);
        Ok(Some(TokenEvent::Text { text, completion_tokens: self.counted, logprobs }))
    }

    fn end_of_body(&mut self) -> Result<TokenEvent, GenerationError> {
        if let Some(reason) = self.ends {
            return Ok(self.finished(reason));
        }
        self.answer.broke_off();
        Err(self.failed("it ended its answer in the middle of the text"))
    }

    fn broke_off(&mut self, failure: HttpFailure) -> Result<TokenEvent, GenerationError> {
        match self.ends {
            // The text is whole; what is missing is a count at the most.
            Some(reason) => Ok(self.finished(reason)),
            None => Err(midway_error(self.provider, failure)),
        }
    }

    fn finished(&mut self, unless_told: FinishReason) -> TokenEvent {
        self.answer.succeeded();
        let completion_tokens = self.completion_tokens.unwrap_or(self.counted);
        let usage = TokenUsage { prompt_tokens: self.prompt_tokens, completion_tokens };
        TokenEvent::Finished(Completion { finish_reason: self.ends.unwrap_or(unless_told), usage })
    }

    fn failed(&self, problem: &str) -> GenerationError {
        GenerationError::ProviderFailed { provider: self.provider, problem: problem.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_leaves_room_for_all_but_the_one_token_that_any_prompt_has() {
        assert_eq!(room(LengthLimit::New(7), 0), Ok(7));
        assert_eq!(room(LengthLimit::Total(200), 0), Ok(199));
        assert_eq!(room(LengthLimit::New(9000), 4096), Ok(4095));
        assert_eq!(
            room(LengthLimit::Total(1), 0),
            Err(GenerationError::PromptTooLong { prompt_tokens: 1, limit: 1, context_length: 1 })
        );
    }
}
