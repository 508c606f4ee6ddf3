//! A generator that says what a test has written down, step by step.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::{FinishReason, LengthLimit, TokenUsage};
use futures_util::stream;
use ports::{
    Completion, GenerationError, GenerationInput, GenerationRequest, GenerationStart, GeneratorDescription, Owner, TextGenerator,
    TokenEvent, TokenLogprob, TokenStream, Truncation,
};
use tokio::sync::Semaphore;

/// Holds a stream back until the test lets it go on.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    /// A gate that is shut.
    pub fn shut() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets one stream through: the one that waits, or the next to come.
    pub fn let_one_through(&self) {
        self.0.add_permits(1);
    }

    pub(crate) async fn pass(&self) {
        self.0.acquire().await.expect("a gate is never closed for good").forget();
    }
}

/// A step of the script. `Started` and `Finished` are written by the generator itself.
#[derive(Debug, Clone)]
pub enum Step {
    /// It waits for a place.
    Queued(u32),
    /// One token's text.
    Text(String),
    /// Nothing until the gate opens.
    Wait(Gate),
    /// Nothing for a while.
    Sleep(Duration),
    /// It fails, and nothing follows.
    Fail(GenerationError),
}

/// Says the same to everyone who asks. A prompt has as many tokens as it has words, and a conversation one more for each message; each
/// [`Step::Text`] is one token more, of probability e^−0.5.
#[derive(Debug)]
pub struct FakeTextGenerator {
    script: Mutex<Vec<Step>>,
    refusal: Mutex<Option<GenerationError>>,
    description: GeneratorDescription,
    finish_reason: FinishReason,
    requests: Mutex<Vec<GenerationRequest>>,
    counted_inputs: AtomicUsize,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    open: AtomicUsize,
    cancelled: AtomicUsize,
}

impl FakeTextGenerator {
    /// Follows these steps.
    pub fn following(script: impl IntoIterator<Item = Step>) -> Self {
        Self {
            script: Mutex::new(script.into_iter().collect()),
            refusal: Mutex::new(None),
            description: GeneratorDescription {
                context_length: 1024,
                weights_digest: Some("0".repeat(64)),
                reproducible: true,
                answers_chats: false,
            },
            finish_reason: FinishReason::Stop,
            requests: Mutex::new(Vec::new()),
            counted_inputs: AtomicUsize::new(0),
            counts: Arc::default(),
        }
    }

    /// Says these pieces, one token each, and then has nothing more to say.
    pub fn saying<'a>(pieces: impl IntoIterator<Item = &'a str>) -> Self {
        Self::following(pieces.into_iter().map(|piece| Step::Text(piece.to_owned())))
    }

    /// Describes itself so; the context length of the description is obeyed (0 counts as endless).
    #[must_use]
    pub fn described_as(mut self, description: GeneratorDescription) -> Self {
        self.description = description;
        self
    }

    /// Ends for this reason, if it is not cut by its length.
    #[must_use]
    pub const fn finishing_with(mut self, reason: FinishReason) -> Self {
        self.finish_reason = reason;
        self
    }

    /// From now on `generate` fails so, or (`None`) no longer does.
    pub fn refuse_with(&self, refusal: Option<GenerationError>) {
        *self.refusal.lock().unwrap() = refusal;
    }

    /// From now on follows other steps.
    pub fn follow(&self, script: impl IntoIterator<Item = Step>) {
        *self.script.lock().unwrap() = script.into_iter().collect();
    }

    /// Every request that was made, those refused included.
    pub fn requests(&self) -> Vec<GenerationRequest> {
        self.requests.lock().unwrap().clone()
    }

    /// How many inputs it was asked to count.
    pub fn counted_inputs(&self) -> usize {
        self.counted_inputs.load(Ordering::SeqCst)
    }

    /// How many streams are held by a caller and have not ended.
    pub fn open_streams(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// How many streams were dropped before they ended.
    pub fn cancelled_streams(&self) -> usize {
        self.counts.cancelled.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl TextGenerator for FakeTextGenerator {
    fn describe(&self) -> GeneratorDescription {
        self.description.clone()
    }

    fn admits(&self, _owner: Owner) -> Result<(), GenerationError> {
        match &*self.refusal.lock().unwrap() {
            Some(refusal @ (GenerationError::Overloaded { .. } | GenerationError::ShuttingDown)) => Err(refusal.clone()),
            _ => Ok(()),
        }
    }

    async fn generate(&self, request: GenerationRequest) -> Result<TokenStream, GenerationError> {
        let (length, logprobs) = (request.parameters.length, request.logprobs);
        let context_length = match self.description.context_length {
            0 => u32::MAX,
            known => known,
        };
        let all_tokens = count_words(&request.input);
        let prompt_tokens = match (&request.input, request.truncation) {
            (GenerationInput::Text(_), Truncation::Oldest) => {
                room_for_prompt(length, context_length).map_or(all_tokens, |room| all_tokens.min(room))
            }
            _ => all_tokens,
        };
        self.requests.lock().unwrap().push(request);
        if let Some(refusal) = self.refusal.lock().unwrap().clone() {
            return Err(refusal);
        }
        let budget = length.budget(prompt_tokens, context_length).ok_or(GenerationError::PromptTooLong {
            prompt_tokens,
            limit: match length {
                LengthLimit::Total(total) => total,
                LengthLimit::New(_) => context_length,
            },
            context_length,
        })?;
        self.counts.open.fetch_add(1, Ordering::SeqCst);
        let performance = Performance {
            steps: self.script.lock().unwrap().clone().into(),
            start: Some(GenerationStart {
                prompt_tokens,
                truncated_tokens: all_tokens - prompt_tokens,
                max_new_tokens: budget.max_new_tokens,
            }),
            logprobs,
            usage: TokenUsage { prompt_tokens, completion_tokens: 0 },
            max_new_tokens: budget.max_new_tokens,
            finish_reason: self.finish_reason,
            ended: false,
            counts: Arc::clone(&self.counts),
        };
        Ok(Box::pin(stream::unfold(performance, Performance::next)))
    }

    async fn count_tokens(&self, input: &GenerationInput) -> Result<Option<u32>, GenerationError> {
        self.counted_inputs.fetch_add(1, Ordering::SeqCst);
        Ok(Some(count_words(input)))
    }
}

/// How much of a prompt leaves the text the room it asks for; `None` where not even an empty one would.
fn room_for_prompt(length: LengthLimit, context_length: u32) -> Option<u32> {
    match length {
        LengthLimit::Total(total) => Some(total.min(context_length) - 1),
        LengthLimit::New(new) => context_length.checked_sub(new).filter(|room| *room > 0),
    }
}

/// A token, and the likeliest ones in its place: itself, and others that no test script says.
fn logprob_of(text: &str, alternatives: u8) -> TokenLogprob {
    let token = text.as_bytes().to_vec();
    let others = (1..alternatives).map(|n| (format!("~{n}").into_bytes(), -0.5 - f32::from(n)));
    let top = std::iter::once((token.clone(), -0.5)).chain(others).take(alternatives.into()).collect();
    TokenLogprob { token, logprob: -0.5, top }
}

/// A token a word, and in a conversation one more a message.
fn count_words(input: &GenerationInput) -> u32 {
    let words = |text: &str| text.split_whitespace().count();
    let tokens = match input {
        GenerationInput::Text(prompt) => words(prompt.as_str()),
        GenerationInput::Chat(messages) => messages.iter().map(|message| 1 + words(&message.content)).sum(),
    };
    u32::try_from(tokens).unwrap()
}

/// One generation under way. It counts as open for as long as it lives unfinished.
struct Performance {
    steps: VecDeque<Step>,
    start: Option<GenerationStart>,
    logprobs: Option<u8>,
    usage: TokenUsage,
    max_new_tokens: u32,
    finish_reason: FinishReason,
    ended: bool,
    counts: Arc<Counts>,
}

impl Performance {
    async fn next(mut self) -> Option<(Result<TokenEvent, GenerationError>, Self)> {
        if self.ended {
            return None;
        }
        loop {
            // Waiting in the queue comes before the start; everything else, an end without any text included, after it.
            let before_start =
                matches!(self.steps.front(), Some(Step::Queued(_) | Step::Wait(_) | Step::Sleep(_) | Step::Fail(_)));
            if !before_start && let Some(start) = self.start.take() {
                return Some((Ok(TokenEvent::Started(start)), self));
            }
            if self.usage.completion_tokens == self.max_new_tokens {
                return Some(self.finish(FinishReason::Length));
            }
            match self.steps.pop_front() {
                Some(Step::Queued(position)) => return Some((Ok(TokenEvent::Queued { position }), self)),
                Some(Step::Text(text)) => {
                    self.usage.completion_tokens += 1;
                    let completion_tokens = self.usage.completion_tokens;
                    let logprobs = self.logprobs.map(|alternatives| logprob_of(&text, alternatives)).into_iter().collect();
                    return Some((Ok(TokenEvent::Text { text, completion_tokens, logprobs }), self));
                }
                Some(Step::Wait(gate)) => gate.pass().await,
                Some(Step::Sleep(duration)) => tokio::time::sleep(duration).await,
                Some(Step::Fail(error)) => {
                    self.end();
                    return Some((Err(error), self));
                }
                None => {
                    let reason = self.finish_reason;
                    return Some(self.finish(reason));
                }
            }
        }
    }

    fn finish(mut self, finish_reason: FinishReason) -> (Result<TokenEvent, GenerationError>, Self) {
        self.end();
        (Ok(TokenEvent::Finished(Completion { finish_reason, usage: self.usage })), self)
    }

    fn end(&mut self) {
        self.ended = true;
        self.counts.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Performance {
    fn drop(&mut self) {
        if !self.ended {
            self.counts.open.fetch_sub(1, Ordering::SeqCst);
            self.counts.cancelled.fetch_add(1, Ordering::SeqCst);
        }
    }
}
