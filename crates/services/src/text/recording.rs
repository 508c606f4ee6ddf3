//! Keeping what is made while it is handed out.
//!
//! A record is stored once, when its text has ended: no crash can leave one that claims to be finished. If the caller goes away, or the
//! generation breaks midway, what was made until then is stored as interrupted. It is stored in the background in either case: a caller
//! who goes away while it is waits for nothing and stops nothing.

use std::sync::Arc;

use domain::{FinishReason, LlmId, ModelName, Prompt, SamplingParameters, TextGeneration, TextGenerationId, Timestamp, UserId};
use futures_util::stream;
use ports::{GenerationError, GenerationStart, StoreError, TokenEvent};

use super::{TextPiece, TextPorts, TextStream};
use crate::generation::Running;
use crate::keeping::{persistently, to_the_end};
use crate::{ServiceError, TokenHold};

/// What is known of a record before its text is made.
pub(super) struct Draft {
    pub(super) id: TextGenerationId,
    pub(super) user_id: UserId,
    pub(super) prompt: Prompt,
    pub(super) model: ModelName,
    pub(super) llm: LlmId,
    pub(super) weights_digest: Option<String>,
    pub(super) parameters: SamplingParameters,
    pub(super) created_at: Timestamp,
}

/// A generation on its way to the caller and into the history.
pub(super) struct Recording {
    ports: TextPorts,
    running: Running,
    /// `None` once the record is on its way to the store, or there is nothing to store.
    unstored: Option<Draft>,
    text: String,
    /// A generation that never began costs nothing and leaves nothing.
    start: Option<GenerationStart>,
    queued_ms: Option<u32>,
    first_token_ms: Option<u32>,
}

impl Recording {
    pub(super) fn new(ports: TextPorts, draft: Draft, running: Running) -> Self {
        let text = draft.prompt.as_str().to_owned();
        Self { ports, running, unstored: Some(draft), text, start: None, queued_ms: None, first_token_ms: None }
    }

    pub(super) fn into_stream(self) -> TextStream {
        let pieces = stream::unfold(Some(self), async |recording| {
            let mut recording = recording?;
            let piece = recording.next().await?;
            let ended = !matches!(piece, Ok(TextPiece::Queued { .. } | TextPiece::Text(_)));
            Some((piece, (!ended).then_some(recording)))
        });
        Box::pin(pieces)
    }

    async fn next(&mut self) -> Option<Result<TextPiece, ServiceError>> {
        loop {
            match self.running.next().await? {
                Ok((_, TokenEvent::Queued { position })) => return Some(Ok(TextPiece::Queued { position })),
                Ok((_, TokenEvent::Started(start))) => {
                    self.start = Some(start);
                    self.queued_ms = self.elapsed_ms();
                }
                Ok((_, TokenEvent::Text { text, .. })) => {
                    if self.first_token_ms.is_none() {
                        self.first_token_ms = self.elapsed_ms();
                    }
                    self.text.push_str(&text);
                    return Some(Ok(TextPiece::Text(text)));
                }
                Ok((_, TokenEvent::Finished(completion))) => return Some(self.finish(completion.finish_reason).await),
                Err(error) => return Some(self.break_off(error).await),
            }
        }
    }

    /// What the caller is told of a generation that broke. Before it began that is a refusal, which leaves nothing. What had begun is kept,
    /// and its error is no invitation to ask for it again.
    async fn break_off(&mut self, error: GenerationError) -> Result<TextPiece, ServiceError> {
        match error {
            refusal if self.start.is_none() => Err(refusal.into()),
            // As a model in the process ends its texts when the server stops: what there is is an answer.
            GenerationError::ShuttingDown => self.finish(FinishReason::Interrupted).await,
            broken => Err(midway(broken).into()),
        }
    }

    async fn finish(&mut self, finish_reason: FinishReason) -> Result<TextPiece, ServiceError> {
        let Some(record) = self.take_record(finish_reason) else {
            return Err(GenerationError::Failed("the generator ended twice".to_owned()).into());
        };
        keep(&self.ports, record.clone(), self.running.take_hold()).await.map_err(ServiceError::Store)?;
        Ok(TextPiece::Done(Box::new(record)))
    }

    /// Since the text was asked for.
    fn elapsed_ms(&self) -> Option<u32> {
        self.unstored.as_ref().map(|draft| elapsed_ms(draft.created_at, self.ports.clock.now()))
    }

    /// The record as it stands, once.
    fn take_record(&mut self, finish_reason: FinishReason) -> Option<TextGeneration> {
        let draft = self.unstored.take()?;
        Some(TextGeneration {
            id: draft.id,
            user_id: draft.user_id,
            prompt: draft.prompt.as_str().to_owned(),
            generated_text: std::mem::take(&mut self.text),
            model: draft.model,
            llm: draft.llm,
            weights_digest: draft.weights_digest,
            parameters: draft.parameters,
            usage: self.running.usage(),
            finish_reason,
            truncated_tokens: self.start.map_or(0, |start| start.truncated_tokens),
            queued_ms: self.queued_ms,
            first_token_ms: self.first_token_ms,
            duration_ms: elapsed_ms(draft.created_at, self.ports.clock.now()),
            edited: false,
            created_at: draft.created_at,
        })
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.start.is_none() {
            return;
        }
        let Some(record) = self.take_record(FinishReason::Interrupted) else { return };
        // What was made by then was handed out: its tokens count whether or not it can be stored.
        drop(keep(&self.ports, record, None));
    }
}

/// Whole milliseconds from one moment to another; a clock that was set back gives none.
pub(super) fn elapsed_ms(from: Timestamp, to: Timestamp) -> u32 {
    let elapsed = (to - from).num_milliseconds();
    u32::try_from(elapsed).unwrap_or(if elapsed < 0 { 0 } else { u32::MAX })
}

/// Stores a record in the background, also where the store is away for a moment, and settles its tokens: what cannot be stored costs
/// nothing. That its user removed the account meanwhile is no failure: then nothing of theirs is to be kept.
fn keep(
    ports: &TextPorts,
    record: TextGeneration,
    hold: Option<TokenHold>,
) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
    let (texts, timer) = (Arc::clone(&ports.texts), Arc::clone(&ports.timer));
    let work = async move {
        let (id, used_tokens) = (record.id, record.usage.total_tokens());
        let is_there = |error: &StoreError| matches!(error, StoreError::Conflict { .. });
        let stored = match persistently(&*timer, is_there, || texts.add(record.clone())).await {
            Err(StoreError::NotFound) => Ok(()),
            stored => stored,
        };
        if let Err(error) = &stored {
            tracing::error!(text_generation_id = %id, %error, "a text could not be stored");
        }
        if let Some(hold) = hold {
            hold.settle(if stored.is_ok() { used_tokens } else { 0 }).await;
        }
        stored
    };
    to_the_end(&*ports.background, work)
}

/// An error of a text that is kept. A refusal (503) says that nothing was stored and that the same may be asked for again; this is none.
fn midway(error: GenerationError) -> GenerationError {
    match error {
        GenerationError::ProviderUnreachable { provider } => {
            let problem = "it could no longer be reached in the middle of the text".to_owned();
            GenerationError::ProviderFailed { provider, problem }
        }
        GenerationError::ProviderBusy { provider, .. } => {
            let problem = "it became too busy in the middle of the text".to_owned();
            GenerationError::ProviderFailed { provider, problem }
        }
        GenerationError::Overloaded { .. } | GenerationError::ModelUnavailable(_) | GenerationError::ShuttingDown => {
            GenerationError::Failed(format!("in the middle of the text: {error}"))
        }
        GenerationError::PromptTooLong { .. }
        | GenerationError::DeadlineExceeded
        | GenerationError::InputRefused(_)
        | GenerationError::Unsupported { .. }
        | GenerationError::ProviderFailed { .. }
        | GenerationError::Failed(_) => error,
    }
}
