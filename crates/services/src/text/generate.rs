//! Making a text.

use domain::{Prompt, SamplingParameters, Seed, TextGeneration, TextGenerationId};
use futures_util::StreamExt;
use ports::{GenerationError, GenerationInput, GenerationRequest, Owner, TextGenerator};

use super::recording::{Draft, Recording};
use super::{TextPiece, TextRequest, TextService, TextStream};
use crate::models::{model_error, model_name};
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

    /// Begins a text and answers its pieces. What is refused is refused here, before the first piece, and leaves no record.
    pub async fn stream(&self, caller: &Caller, request: TextRequest) -> Result<TextStream, ServiceError> {
        let prompt = Prompt::new(request.prompt, self.limits.prompt_characters)?;
        let name = request.model.map_or_else(|| Ok(self.default_model.clone()), model_name)?;
        let model = self.ports.models.get_for(caller.user.id, &name).await.map_err(|error| model_error(error, &name))?;
        let fresh_seed = Seed::from_random_bits(self.ports.randomness.bits());
        let parameters = SamplingParameters::resolve(request.sampling, &model.defaults, fresh_seed)?;
        let generator = self.ports.language_models.open(&model.llm).await?;
        let input = GenerationInput::Text(prompt.clone());
        let tokens_at_most = tokens_at_most(&*generator, &input, &parameters).await?;
        let hold = match tokens_at_most {
            Some(tokens) => Some(self.token_limits.hold_tokens(caller, tokens).await?),
            // There is no room for a single token: the generator says so, with its own counts.
            None => None,
        };
        let draft = Draft {
            id: TextGenerationId::new(self.ports.randomness.uuid_v7()),
            user_id: caller.user.id,
            prompt,
            model: model.name,
            llm: model.llm,
            weights_digest: generator.describe().weights_digest,
            parameters: parameters.clone(),
            created_at: self.ports.clock.now(),
        };
        let owner = Owner::User(caller.user.id);
        let tokens = generator
            .generate(GenerationRequest { priority: request.priority, ..GenerationRequest::new(input, parameters, owner) })
            .await?;
        Ok(Recording::new(self.ports.clone(), draft, tokens, hold).into_stream())
    }
}

/// The prompt's tokens and the most that may follow, or `None` where nothing may.
async fn tokens_at_most(
    generator: &dyn TextGenerator,
    input: &GenerationInput,
    parameters: &SamplingParameters,
) -> Result<Option<u32>, GenerationError> {
    let prompt_tokens = match generator.count_tokens(input).await? {
        Some(tokens) => tokens,
        None => estimated_tokens(input),
    };
    let context_length = match generator.describe().context_length {
        0 => u32::MAX,
        known => known,
    };
    let budget = parameters.length.budget(prompt_tokens, context_length);
    Ok(budget.map(|budget| budget.prompt_tokens.saturating_add(budget.max_new_tokens)))
}

/// Where nobody can count: English has about four characters a token, and a quota should rather hold too much than too little.
fn estimated_tokens(input: &GenerationInput) -> u32 {
    u32::try_from(input.bytes().div_ceil(3)).unwrap_or(u32::MAX)
}
