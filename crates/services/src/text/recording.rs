//! Keeping what is made while it is handed out.
//!
//! A record is stored once, when its text has ended: no crash can leave one that claims to be finished. If the caller goes away, or the
//! generation breaks midway, what was made until then is stored as interrupted, in the background, because nobody waits for it.

use std::sync::Arc;

use domain::{
    FinishReason, LlmId, ModelName, Prompt, SamplingParameters, TextGeneration, TextGenerationId, Timestamp, TokenUsage, UserId,
};
use futures_util::{StreamExt, stream};
use ports::{Completion, GenerationError, StoreError, TextGenerationStore, TokenEvent, TokenStream};

use super::{TextPiece, TextPorts, TextStream};
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
    tokens: TokenStream,
    /// `None` once the record is stored, or there is nothing to store.
    unstored: Option<Draft>,
    text: String,
    usage: TokenUsage,
    /// A generation that never began costs nothing and leaves nothing.
    started: bool,
    /// The caller's tokens that are set aside; given back, less what was used, when it goes.
    hold: Option<TokenHold>,
}

impl Recording {
    pub(super) fn new(ports: TextPorts, draft: Draft, tokens: TokenStream, hold: Option<TokenHold>) -> Self {
        let text = draft.prompt.as_str().to_owned();
        Self { ports, tokens, unstored: Some(draft), text, usage: TokenUsage::default(), started: false, hold }
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
            match self.tokens.next().await {
                Some(Ok(TokenEvent::Queued { position })) => return Some(Ok(TextPiece::Queued { position })),
                Some(Ok(TokenEvent::Started(start))) => {
                    self.started = true;
                    self.usage.prompt_tokens = start.prompt_tokens;
                }
                Some(Ok(TokenEvent::Text { text, completion_tokens, .. })) => {
                    self.usage.completion_tokens = completion_tokens;
                    self.text.push_str(&text);
                    return Some(Ok(TextPiece::Text(text)));
                }
                Some(Ok(TokenEvent::Finished(completion))) => return Some(self.finish(completion).await),
                Some(Err(error)) => return Some(Err(error.into())),
                None => {
                    let problem = "the generator's stream ended without a last event".to_owned();
                    return Some(Err(GenerationError::Failed(problem).into()));
                }
            }
        }
    }

    async fn finish(&mut self, completion: Completion) -> Result<TextPiece, ServiceError> {
        self.usage = completion.usage;
        let Some(record) = self.take_record(completion.finish_reason) else {
            return Err(GenerationError::Failed("the generator ended twice".to_owned()).into());
        };
        self.note_usage();
        store(&*self.ports.texts, record.clone()).await.map_err(ServiceError::Store)?;
        if let Some(hold) = self.hold.take() {
            hold.settle(record.usage.total_tokens()).await?;
        }
        Ok(TextPiece::Done(Box::new(record)))
    }

    fn note_usage(&mut self) {
        let used_tokens = self.usage.total_tokens();
        if let Some(hold) = &mut self.hold {
            hold.used(used_tokens);
        }
    }

    /// The record as it stands, once.
    fn take_record(&mut self, finish_reason: FinishReason) -> Option<TextGeneration> {
        let draft = self.unstored.take()?;
        let elapsed = (self.ports.clock.now() - draft.created_at).num_milliseconds();
        Some(TextGeneration {
            id: draft.id,
            user_id: draft.user_id,
            prompt: draft.prompt.as_str().to_owned(),
            generated_text: std::mem::take(&mut self.text),
            model: draft.model,
            llm: draft.llm,
            weights_digest: draft.weights_digest,
            parameters: draft.parameters,
            usage: self.usage,
            finish_reason,
            duration_ms: u32::try_from(elapsed).unwrap_or(if elapsed < 0 { 0 } else { u32::MAX }),
            created_at: draft.created_at,
        })
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if !self.started {
            return;
        }
        self.note_usage();
        let Some(record) = self.take_record(FinishReason::Interrupted) else { return };
        let texts = Arc::clone(&self.ports.texts);
        self.ports.background.spawn(Box::pin(async move {
            let id = record.id;
            if let Err(error) = store(&*texts, record).await {
                tracing::error!(text_generation_id = %id, %error, "an interrupted text could not be stored");
            }
        }));
    }
}

/// Stores a record. That its user removed the account meanwhile is no failure: then nothing of theirs is to be kept.
async fn store(texts: &dyn TextGenerationStore, record: TextGeneration) -> Result<(), StoreError> {
    match texts.add(record).await {
        Err(StoreError::NotFound) => Ok(()),
        result => result,
    }
}
