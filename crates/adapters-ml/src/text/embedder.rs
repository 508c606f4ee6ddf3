//! A model that runs in the process as a [`TextEmbedder`]: the mean of its hidden states, on the thread that its texts are made on.
//!
//! Any model can do it, as in llama.cpp's server with `--pooling mean`; one that was trained for it does it best. Vectors of one model
//! are never comparable with another's.

use std::time::Instant;

use async_trait::async_trait;
use ports::{EmbedderDescription, EmbeddingInput, EmbeddingRequest, Embeddings, GenerationError, Owner, TextEmbedder};

use super::engine::EmbeddingJob;
use super::generator::TextEngine;

#[async_trait]
impl TextEmbedder for TextEngine {
    fn describe(&self) -> EmbedderDescription {
        EmbedderDescription { context_length: self.context_length(), dimensions: Some(self.dimensions()) }
    }

    fn admits(&self, owner: Owner) -> Result<(), GenerationError> {
        self.engine.take_place(owner).map(drop)
    }

    async fn embed(&self, request: EmbeddingRequest) -> Result<Embeddings, GenerationError> {
        let submitted_at = Instant::now();
        // First, since it is the cheapest. Whoever counts tokens before this asks [`TextEmbedder::admits`] before that.
        let place = self.engine.take_place(request.owner)?;
        // Cutting a vector short makes sense for models alone that were trained for it.
        if request.dimensions.is_some_and(|dimensions| dimensions != self.dimensions()) {
            return Err(GenerationError::Unsupported { field: "dimensions" });
        }
        let inputs = self.reader.read_inputs(&request.inputs).await?;
        let prompt_tokens = self.check_inputs(&inputs)?;
        let (owner, priority) = (request.owner, request.priority);
        let vectors = self.engine.embed(EmbeddingJob { owner, priority, inputs, submitted_at, place }).await?;
        Ok(Embeddings { vectors, prompt_tokens })
    }

    async fn count_tokens(&self, inputs: &[EmbeddingInput]) -> Result<Option<Vec<u32>>, GenerationError> {
        let inputs = self.reader.read_inputs(inputs).await?;
        Ok(Some(inputs.iter().map(|tokens| count(tokens)).collect()))
    }
}

impl TextEngine {
    fn dimensions(&self) -> u32 {
        u32::try_from(self.engine.limits().width).unwrap_or(u32::MAX)
    }

    /// Refuses what the model cannot read whole; answers how many tokens there are.
    fn check_inputs(&self, inputs: &[Vec<u32>]) -> Result<u32, GenerationError> {
        let (vocabulary, context_length) = (self.engine.limits().vocabulary, self.context_length());
        let mut sum = 0_u32;
        for (index, tokens) in inputs.iter().enumerate() {
            let prompt_tokens = count(tokens);
            if prompt_tokens > context_length {
                return Err(GenerationError::PromptTooLong { prompt_tokens, limit: context_length, context_length });
            }
            if tokens.is_empty() {
                // Possible where a tokenizer drops what it does not know.
                return Err(GenerationError::InputRefused(format!("input[{index}] has nothing that this model can read")));
            }
            if let Some(token) = tokens.iter().find(|token| usize::try_from(**token).is_ok_and(|token| token >= vocabulary)) {
                let problem = format!("input[{index}] holds the token {token}; this model knows 0 to {}", vocabulary - 1);
                return Err(GenerationError::InputRefused(problem));
            }
            sum = sum.saturating_add(prompt_tokens);
        }
        if inputs.is_empty() {
            return Err(GenerationError::InputRefused("there is nothing to make a vector of".to_owned()));
        }
        Ok(sum)
    }
}

fn count(tokens: &[u32]) -> u32 {
    u32::try_from(tokens.len()).unwrap_or(u32::MAX)
}
