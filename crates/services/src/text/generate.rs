//! Making a text.

use domain::{Prompt, TextGeneration, TextGenerationId};
use futures_util::StreamExt;
use ports::{GenerationError, GenerationInput, GenerationRequest, Owner};

use super::recording::{Draft, Recording};
use super::{TextPiece, TextRequest, TextService, TextStream};
use crate::generation::{Demand, Running};
use crate::{Caller, ServiceError};

impl TextService {
    /// Makes a text and answers its record once it is whole. Dropping the call cancels it, as dropping a [`TextStream`] does.
    pub async fn generate(&self, caller: &Caller, request: TextRequest) -> Result<TextGeneration, ServiceError> {
        let mut pieces = self.stream(caller, request).await?;
        while let Some(piece) = pieces.next().await {
            if let TextPiece::Done(record) = piece? {
                return Ok(*record);
            }
        }
        Err(GenerationError::Failed("the generator's stream ended without a last event".to_owned()).into())
    }

    /// Whether the model that a caller's requests without one are for runs at a provider. Unknown is no.
    pub async fn asks_a_provider(&self, caller: &Caller) -> bool {
        self.generators.find(caller, None).await.is_ok_and(|model| model.llm.runs_at_a_provider())
    }

    /// Begins a text and answers its pieces. What is refused is refused here, before the first piece, and leaves no record.
    pub async fn stream(&self, caller: &Caller, request: TextRequest) -> Result<TextStream, ServiceError> {
        let prompt = Prompt::new(request.prompt, self.limits.prompt_characters)?;
        let model = self.generators.find(caller, request.model).await?;
        let parameters = self.generators.parameters(request.sampling, &model.defaults)?;
        let generator = self.generators.open(&model.llm).await?;
        let input = GenerationInput::Text(prompt.clone());
        let generation = GenerationRequest {
            priority: request.priority,
            truncation: request.truncation,
            ..GenerationRequest::new(input, parameters.clone(), Owner::User(caller.user.id))
        };
        let hold = self.generators.hold(caller, Demand::of(&*generator, &generation)).await?;
        let draft = Draft {
            id: TextGenerationId::new(self.ports.randomness.uuid_v7()),
            user_id: caller.user.id,
            prompt,
            model: model.name,
            llm: model.llm,
            weights_digest: generator.describe().weights_digest,
            parameters,
            created_at: self.ports.clock.now(),
        };
        let running = Running::one(generator.generate(generation).await?, hold);
        Ok(Recording::new(self.ports.clone(), draft, running).into_stream())
    }
}
