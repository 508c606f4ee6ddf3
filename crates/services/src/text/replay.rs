//! Making a text again, from its record alone, to see whether it comes out the same.

use std::sync::Arc;

use domain::{FinishReason, Prompt, TextGeneration, TextGenerationId, TokenUsage};
use ports::{GenerationError, GenerationInput, GenerationRequest, Owner, TextGenerator, TokenEvent, Truncation};

use super::TextService;
use super::history::text_error;
use super::recording::elapsed_ms;
use crate::generation::{Demand, Running};
use crate::{Caller, ServiceError};

/// A text that was made again.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// What was made the first time.
    pub record: TextGeneration,
    /// Whether it came out the same. Of a text that was cut short, whether it begins with what was kept.
    pub identical: bool,
    /// The prompt and what followed it this time.
    pub generated_text: String,
    /// Why it ended this time.
    pub finish_reason: FinishReason,
    /// Tokens read and made this time.
    pub usage: TokenUsage,
    /// From admission to the last token this time, in milliseconds.
    pub duration_ms: u32,
}

impl TextService {
    /// Makes a text again with the prompt, the parameters and the seed of its record. It costs what any generation costs and is not
    /// stored. Dropping the call cancels it.
    ///
    /// Fails with [`ServiceError::NotReplayable`] where it is known beforehand that it need not come out the same.
    pub async fn replay(&self, caller: &Caller, id: TextGenerationId) -> Result<Replay, ServiceError> {
        let record = self.ports.texts.get(caller.scope(), id).await.map_err(text_error)?;
        self.note_access(caller, &record, "replayed").await;
        let generator = self.same_generator(&record).await?;
        let request = request_of(&record, caller)?;
        let hold = self.generators.hold(caller, Demand::of(&*generator, &request)).await?;
        let begun = self.ports.clock.now();
        let mut running = Running::one(generator.generate(request).await?, hold);
        let mut generated_text = record.prompt.clone();
        let mut finish_reason = FinishReason::Interrupted;
        while let Some(event) = running.next().await {
            match event?.1 {
                TokenEvent::Text { text, .. } => generated_text.push_str(&text),
                TokenEvent::Finished(completion) => finish_reason = completion.finish_reason,
                TokenEvent::Queued { .. } | TokenEvent::Started(_) => {}
            }
        }
        if finish_reason == FinishReason::Interrupted {
            running.waive();
            return Err(GenerationError::ShuttingDown.into());
        }
        running.settle().await;
        let identical = match record.finish_reason {
            FinishReason::Interrupted => generated_text.starts_with(&record.generated_text),
            FinishReason::Stop | FinishReason::Length => generated_text == record.generated_text,
        };
        let (usage, duration_ms) = (running.usage(), elapsed_ms(begun, self.ports.clock.now()));
        Ok(Replay { record, identical, generated_text, finish_reason, usage, duration_ms })
    }

    /// The generator that made this text, if it is still the same and keeps what it promised.
    async fn same_generator(&self, record: &TextGeneration) -> Result<Arc<dyn TextGenerator>, ServiceError> {
        let refused = |reason: String| Err(ServiceError::NotReplayable { reason });
        if record.edited {
            return refused("its words were changed after it was made".to_owned());
        }
        if record.llm.runs_at_a_provider() {
            return refused(format!("{} was asked of a provider, which promises no text twice", record.llm));
        }
        // Whoever may no longer ask for a model may not have it loaded by a replay either.
        let models = self.ports.models.list().await.map_err(ServiceError::Store)?;
        if models.iter().all(|model| model.llm != record.llm) {
            return refused(format!("no model of this server is {} any more", record.llm));
        }
        let generator = match self.generators.open(&record.llm).await {
            Err(GenerationError::ModelUnavailable(problem)) => {
                return refused(format!("the model {} is not available: {problem}", record.llm));
            }
            opened => opened?,
        };
        let now = generator.describe();
        if now.weights_digest.is_none() || now.weights_digest != record.weights_digest {
            return refused(format!("the weights of {} are others than those that made it", record.llm));
        }
        if !now.reproducible {
            return refused(format!("{} runs at a precision that does not promise the same text twice", record.llm));
        }
        Ok(generator)
    }
}

fn request_of(record: &TextGeneration, caller: &Caller) -> Result<GenerationRequest, ServiceError> {
    // It was accepted once; a limit that was lowered since does not make it another text.
    let prompt = Prompt::new(record.prompt.clone(), usize::MAX)?;
    let request = GenerationRequest::new(GenerationInput::Text(prompt), record.parameters.clone(), Owner::User(caller.user.id));
    let truncation = if record.truncated_tokens > 0 { Truncation::Oldest } else { Truncation::Refuse };
    Ok(GenerationRequest { truncation, ..request })
}
