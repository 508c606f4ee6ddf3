//! From what a request goes on from to the tokens that the model reads.

use std::path::Path;
use std::sync::Arc;

use domain::Prompt;
use ports::{EmbeddingInput, GenerationError, GenerationInput};

use super::chat::{AnswerForm, ChatFormat};
use super::tokenizer::{TextTokenizer, TokenizerError};

/// Longer texts are turned into tokens on a thread where that disturbs no other request.
const SHORT_TEXT_BYTES: usize = 2048;

/// A model's tokenizer and its form of a conversation. Cloning is cheap.
#[derive(Clone)]
pub(super) struct PromptReader(Arc<Inner>);

struct Inner {
    tokenizer: Arc<TextTokenizer>,
    chat: ChatFormat,
}

impl PromptReader {
    /// Reads both from a folder. Blocks on the disk.
    pub(super) fn load(folder: &Path, vocabulary: usize) -> Result<Self, TokenizerError> {
        let tokenizer = Arc::new(TextTokenizer::load(folder, vocabulary)?);
        Ok(Self(Arc::new(Inner { tokenizer, chat: ChatFormat::load(folder) })))
    }

    pub(super) fn tokenizer(&self) -> &Arc<TextTokenizer> {
        &self.0.tokenizer
    }

    /// Whether the model has a form of its own for conversations.
    pub(super) fn answers_chats(&self) -> bool {
        self.0.chat.is_trained()
    }

    /// How the text that follows such an input is cut out of what the model makes.
    pub(super) fn answer_form(&self, input: &GenerationInput) -> AnswerForm {
        match input {
            GenerationInput::Text(_) => AnswerForm::default(),
            GenerationInput::Chat(_) => self.0.chat.answer_form(),
        }
    }

    /// Each input's tokens.
    pub(super) async fn read_inputs(&self, inputs: &[EmbeddingInput]) -> Result<Vec<Vec<u32>>, GenerationError> {
        let bytes: usize = inputs.iter().map(bytes_to_read).sum();
        if bytes <= SHORT_TEXT_BYTES {
            return self.0.read_inputs(inputs);
        }
        let (inner, inputs) = (Arc::clone(&self.0), inputs.to_vec());
        let reading = tokio::task::spawn_blocking(move || inner.read_inputs(&inputs));
        reading.await.map_err(|error| GenerationError::Failed(format!("reading the inputs broke down: {error}")))?
    }

    /// The input's tokens.
    pub(super) async fn read(&self, input: &GenerationInput) -> Result<Vec<u32>, GenerationError> {
        // A template is a stranger's program: it may take its time, elsewhere.
        let is_quick = matches!(input, GenerationInput::Text(prompt) if prompt.as_str().len() <= SHORT_TEXT_BYTES);
        if is_quick {
            return self.0.read(input);
        }
        let (inner, input) = (Arc::clone(&self.0), input.clone());
        let reading = tokio::task::spawn_blocking(move || inner.read(&input));
        reading.await.map_err(|error| GenerationError::Failed(format!("reading the prompt broke down: {error}")))?
    }
}

/// What is still to be turned into tokens.
fn bytes_to_read(input: &EmbeddingInput) -> usize {
    match input {
        EmbeddingInput::Text(prompt) => prompt.as_str().len(),
        EmbeddingInput::Tokens(_) => 0,
    }
}

impl Inner {
    fn read_inputs(&self, inputs: &[EmbeddingInput]) -> Result<Vec<Vec<u32>>, GenerationError> {
        let read = |input: &EmbeddingInput| match input {
            EmbeddingInput::Text(prompt) => self.encode(prompt),
            EmbeddingInput::Tokens(tokens) => Ok(tokens.clone()),
        };
        inputs.iter().map(read).collect()
    }

    fn encode(&self, prompt: &Prompt) -> Result<Vec<u32>, GenerationError> {
        self.tokenizer.encode(prompt.as_str()).map_err(|error| GenerationError::Failed(error.to_string()))
    }

    fn read(&self, input: &GenerationInput) -> Result<Vec<u32>, GenerationError> {
        match input {
            GenerationInput::Text(prompt) => self.encode(prompt),
            GenerationInput::Chat(messages) => self.chat.tokens(messages, &self.tokenizer),
        }
    }
}
