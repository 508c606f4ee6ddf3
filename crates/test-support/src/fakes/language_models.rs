//! A shelf of generators and embedders that a test has filled.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::LlmId;
use ports::{GenerationError, LanguageModels, LlmState, TextEmbedder, TextGenerator};

/// Opens what was put on it; everything else is [`GenerationError::ModelUnavailable`].
#[derive(Default)]
pub struct FakeLanguageModels {
    generators: HashMap<LlmId, Arc<dyn TextGenerator>>,
    embedders: HashMap<LlmId, Arc<dyn TextEmbedder>>,
    opened: Mutex<Vec<LlmId>>,
}

impl FakeLanguageModels {
    /// Puts a generator behind an identifier, given as in `LLM_ID`.
    #[must_use]
    pub fn with(mut self, llm: &str, generator: Arc<dyn TextGenerator>) -> Self {
        self.generators.insert(LlmId::parse(llm).unwrap(), generator);
        self
    }

    /// Puts an embedder behind an identifier, given as in `LLM_ID`; there may be a generator behind it too.
    #[must_use]
    pub fn with_embedder(mut self, llm: &str, embedder: Arc<dyn TextEmbedder>) -> Self {
        self.embedders.insert(LlmId::parse(llm).unwrap(), embedder);
        self
    }

    /// Every identifier that was asked for, in order, those that are not here included.
    pub fn opened(&self) -> Vec<LlmId> {
        self.opened.lock().unwrap().clone()
    }
}

#[async_trait]
impl LanguageModels for FakeLanguageModels {
    async fn open(&self, llm: &LlmId) -> Result<Arc<dyn TextGenerator>, GenerationError> {
        self.opened.lock().unwrap().push(llm.clone());
        self.generators.get(llm).cloned().ok_or_else(|| unavailable(llm))
    }

    async fn open_embedder(&self, llm: &LlmId) -> Result<Arc<dyn TextEmbedder>, GenerationError> {
        self.opened.lock().unwrap().push(llm.clone());
        self.embedders.get(llm).cloned().ok_or_else(|| unavailable(llm))
    }

    fn state(&self, llm: &LlmId) -> LlmState {
        let Some(generator) = self.generators.get(llm) else { return LlmState::default() };
        let context_length = Some(generator.describe().context_length).filter(|tokens| *tokens > 0);
        LlmState { loaded: self.opened.lock().unwrap().contains(llm), context_length }
    }
}

fn unavailable(llm: &LlmId) -> GenerationError {
    GenerationError::ModelUnavailable(format!("the test has no model {llm}"))
}
