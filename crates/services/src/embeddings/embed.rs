//! Making vectors.

use ports::{EmbeddingInput, EmbeddingRequest, GenerationError, Owner, TextEmbedder};

use super::input::{checked, checked_dimensions};
use super::{Embedded, EmbeddingOrder, EmbeddingService};
use crate::{Caller, ServiceError, TokenHold};

impl EmbeddingService {
    /// Makes a vector of each input, or of none of them. Dropping the call cancels it; whoever does so is charged for all inputs, since
    /// nobody can tell how far they had been read.
    pub async fn embed(&self, caller: &Caller, order: EmbeddingOrder) -> Result<Embedded, ServiceError> {
        let inputs = checked(order.inputs, self.limits)?;
        let dimensions = checked_dimensions(order.dimensions)?;
        let model = self.generators.find(caller, order.model).await?;
        let embedder = self.generators.open_embedder(&model.llm).await?;
        let owner = Owner::User(caller.user.id);
        embedder.admits(owner)?;
        let mut hold = self.hold(caller, &*embedder, &inputs).await?;
        let request = EmbeddingRequest { dimensions, ..EmbeddingRequest::new(inputs.clone(), owner) };
        match embedder.embed(request).await {
            Ok(made) => {
                hold.used(made.prompt_tokens);
                // Without a quota nobody waits for them to be counted.
                if hold.is_reserved() {
                    hold.settle(made.prompt_tokens).await;
                }
                Ok(Embedded { model: model.name, vectors: made.vectors, prompt_tokens: made.prompt_tokens })
            }
            Err(error) => {
                hold.used(0);
                Err(told_by_its_input(&*embedder, &inputs, error).await)
            }
        }
    }

    /// Sets the inputs' tokens aside, where a quota applies. Until it is known better they count as used.
    async fn hold(
        &self,
        caller: &Caller,
        embedder: &dyn TextEmbedder,
        inputs: &[EmbeddingInput],
    ) -> Result<TokenHold, ServiceError> {
        let limits = &self.generators.token_limits;
        let sum = |tokens: &mut dyn Iterator<Item = u32>| tokens.fold(0_u32, u32::saturating_add);
        let estimated = sum(&mut inputs.iter().map(EmbeddingInput::estimated_tokens));
        let (tokens, mut hold) = match limits.quota_of(caller).await? {
            None => (estimated, limits.count_later(caller)),
            Some(quota) => {
                let counted = embedder.count_tokens(inputs).await?;
                let tokens = counted.map_or(estimated, |counted| sum(&mut counted.into_iter()));
                (tokens, limits.reserve(caller, quota, tokens).await?)
            }
        };
        hold.used(tokens);
        Ok(hold)
    }
}

/// A refusal of what does not fit, with the place of the input that it is about, where there are several.
async fn told_by_its_input(embedder: &dyn TextEmbedder, inputs: &[EmbeddingInput], error: GenerationError) -> ServiceError {
    let GenerationError::PromptTooLong { context_length, .. } = error else { return error.into() };
    if inputs.len() < 2 {
        return error.into();
    }
    let counted = embedder.count_tokens(inputs).await.ok().flatten().unwrap_or_default();
    match counted.into_iter().enumerate().find(|(_, tokens)| *tokens > context_length) {
        Some((index, tokens)) => ServiceError::InputTooLong { index, tokens, context_length },
        None => error.into(),
    }
}
