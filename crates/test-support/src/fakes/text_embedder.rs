//! An embedder whose vectors tell what they were made of.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use ports::{EmbedderDescription, EmbeddingInput, EmbeddingRequest, Embeddings, GenerationError, Owner, TextEmbedder};

use super::Gate;

/// Makes vectors of length 1, which point elsewhere for another text. A text has as many tokens as it has words.
#[derive(Debug)]
pub struct FakeTextEmbedder {
    description: EmbedderDescription,
    counts_tokens: bool,
    refusal: Mutex<Option<GenerationError>>,
    gate: Mutex<Option<Gate>>,
    requests: Mutex<Vec<EmbeddingRequest>>,
    running: Arc<AtomicUsize>,
}

impl FakeTextEmbedder {
    /// Makes vectors of so many numbers, of inputs of at most 1024 tokens.
    pub fn of(dimensions: u32) -> Self {
        Self {
            description: EmbedderDescription { context_length: 1024, dimensions: Some(dimensions) },
            counts_tokens: true,
            refusal: Mutex::default(),
            gate: Mutex::default(),
            requests: Mutex::default(),
            running: Arc::default(),
        }
    }

    /// Says nothing of its tokens before the end, as a provider does; nor of its context.
    #[must_use]
    pub const fn counting_at_the_end(mut self) -> Self {
        self.counts_tokens = false;
        self.description.context_length = 0;
        self
    }

    /// Reads so many tokens of an input at the most.
    #[must_use]
    pub const fn with_context(mut self, context_length: u32) -> Self {
        self.description.context_length = context_length;
        self
    }

    /// From now on `embed` fails so, or (`None`) no longer does.
    pub fn refuse_with(&self, refusal: Option<GenerationError>) {
        *self.refusal.lock().unwrap() = refusal;
    }

    /// From now on `embed` waits for this gate.
    pub fn wait_for(&self, gate: Gate) {
        *self.gate.lock().unwrap() = Some(gate);
    }

    /// Every request that was made, those refused included.
    pub fn requests(&self) -> Vec<EmbeddingRequest> {
        self.requests.lock().unwrap().clone()
    }

    /// How many calls are under way.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    /// The vector of an input.
    fn vector(&self, input: &EmbeddingInput) -> Vec<f32> {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut take = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        match input {
            EmbeddingInput::Text(prompt) => prompt.as_str().bytes().for_each(&mut take),
            EmbeddingInput::Tokens(tokens) => tokens.iter().flat_map(|token| token.to_le_bytes()).for_each(&mut take),
        }
        let dimensions = self.description.dimensions.unwrap_or(1);
        let values: Vec<f32> = (0..u64::from(dimensions))
            .map(|place| {
                let mixed = (hash ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xff51_afd7_ed55_8ccd);
                f32::from(u16::try_from(mixed >> 48).unwrap()) / 65_536.0 + 0.001
            })
            .collect();
        let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        values.into_iter().map(|value| value / length).collect()
    }
}

/// A call under way.
struct Call(Arc<AtomicUsize>);

impl Call {
    fn begin(running: &Arc<AtomicUsize>) -> Self {
        running.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(running))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tokens_of(input: &EmbeddingInput) -> u32 {
    let tokens = match input {
        EmbeddingInput::Text(prompt) => prompt.as_str().split_whitespace().count(),
        EmbeddingInput::Tokens(tokens) => tokens.len(),
    };
    u32::try_from(tokens).unwrap()
}

#[async_trait]
impl TextEmbedder for FakeTextEmbedder {
    fn describe(&self) -> EmbedderDescription {
        self.description
    }

    /// It has a place for everybody, unless a test says otherwise.
    fn admits(&self, _owner: Owner) -> Result<(), GenerationError> {
        match &*self.refusal.lock().unwrap() {
            Some(refusal @ (GenerationError::Overloaded { .. } | GenerationError::ShuttingDown)) => Err(refusal.clone()),
            _ => Ok(()),
        }
    }

    async fn embed(&self, request: EmbeddingRequest) -> Result<Embeddings, GenerationError> {
        let _call = Call::begin(&self.running);
        self.requests.lock().unwrap().push(request.clone());
        if let Some(refusal) = self.refusal.lock().unwrap().clone() {
            return Err(refusal);
        }
        if request.dimensions.is_some() && request.dimensions != self.description.dimensions {
            return Err(GenerationError::Unsupported { field: "dimensions" });
        }
        let context_length = self.description.context_length;
        let counts: Vec<u32> = request.inputs.iter().map(tokens_of).collect();
        if let Some(prompt_tokens) = counts.iter().copied().find(|tokens| context_length > 0 && *tokens > context_length) {
            return Err(GenerationError::PromptTooLong { prompt_tokens, limit: context_length, context_length });
        }
        let gate = self.gate.lock().unwrap().clone();
        if let Some(gate) = gate {
            gate.pass().await;
        }
        let vectors = request.inputs.iter().map(|input| self.vector(input)).collect();
        Ok(Embeddings { vectors, prompt_tokens: counts.iter().sum() })
    }

    async fn count_tokens(&self, inputs: &[EmbeddingInput]) -> Result<Option<Vec<u32>>, GenerationError> {
        Ok(self.counts_tokens.then(|| inputs.iter().map(tokens_of).collect()))
    }
}
