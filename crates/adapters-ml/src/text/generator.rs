//! A model that runs in the process, as the rest of the program sees it: a [`TextGenerator`].

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::LogitBias;
use ports::{
    GenerationError, GenerationInput, GenerationRequest, GeneratorDescription, HealthCheck, MAX_TOP_LOGPROBS, Owner,
    TextGenerator, TokenStream, Truncation, Unhealthy,
};

use super::engine::{Engine, EngineRequest};
use super::engine_config::EngineConfig;
use super::prompt_reader::PromptReader;
use super::step_model::StepModel;
use super::tokenizer::TokenizerError;
use super::truncation::fit;

/// A step takes milliseconds, a long chunk of a large model a second or two: what takes longer than this hangs.
const LONGEST_STEP: Duration = Duration::from_secs(30);

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineStartError {
    /// A setting is out of its range.
    #[error("{0}")]
    Setting(String),
    /// The tokenizer cannot be used.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The system gave no thread.
    #[error("no thread for the engine: {0}")]
    Thread(#[from] std::io::Error),
}

/// What is known of a model besides its computation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelIdentity {
    /// Its name in the log and the metrics.
    pub name: String,
    /// SHA-256 of its weights, in lower-case hexadecimal.
    pub weights_digest: Option<String>,
    /// Whether its logits depend on nothing but a sequence's own tokens, to the last bit.
    pub reproducible: bool,
}

/// A model, its tokenizer and the thread that runs them. Dropping it lets what runs finish; [`TextEngine::shutdown`] waits for the end.
pub struct TextEngine {
    pub(super) engine: Engine,
    pub(super) reader: PromptReader,
    identity: ModelIdentity,
    longest_step: Duration,
}

impl TextEngine {
    /// Starts the engine of a loaded model whose tokenizer lies in `folder`. Blocks on the disk.
    pub fn start(
        model: Box<dyn StepModel>,
        folder: &Path,
        identity: ModelIdentity,
        config: &EngineConfig,
    ) -> Result<Self, EngineStartError> {
        config.check().map_err(EngineStartError::Setting)?;
        let reader = PromptReader::load(folder, model.limits().vocabulary)?;
        let engine = Engine::start(model, Arc::clone(reader.tokenizer()), config, &identity.name)?;
        Ok(Self { engine, reader, identity, longest_step: LONGEST_STEP })
    }

    /// Refuses what comes from now on, ends what waits with [`GenerationError::ShuttingDown`], lets what runs finish within
    /// [`EngineConfig::shutdown_grace`] and cuts the rest with the finish reason `interrupted`. Returns when the model is freed.
    pub async fn shutdown(&self) {
        self.engine.stop().await;
    }

    /// Why it cannot generate any more, if it cannot: it was shut down, or it broke down and the model must be loaded anew.
    pub fn why_ended(&self) -> Option<GenerationError> {
        self.engine.why_ended()
    }

    /// The most tokens of prompt and text together.
    pub fn context_length(&self) -> u32 {
        u32::try_from(self.engine.limits().context_length).unwrap_or(u32::MAX)
    }

    /// How long it has had nothing to do; `None` while a generation waits or runs.
    pub(super) fn idle_for(&self) -> Option<Duration> {
        self.engine.idle_for()
    }

    /// A bias for a token that the model does not have is a mistake that would otherwise go unseen.
    fn check_bias(&self, bias: &LogitBias) -> Result<(), GenerationError> {
        let vocabulary = self.engine.limits().vocabulary;
        match bias.as_map().last_key_value() {
            Some((token, _)) if usize::try_from(*token).is_ok_and(|token| token >= vocabulary) => {
                let last = vocabulary.saturating_sub(1);
                let problem = format!("logit_bias names the token {token}; this model has the tokens 0 to {last}");
                Err(GenerationError::InputRefused(problem))
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl TextGenerator for TextEngine {
    fn describe(&self) -> GeneratorDescription {
        GeneratorDescription {
            context_length: self.context_length(),
            weights_digest: self.identity.weights_digest.clone(),
            reproducible: self.identity.reproducible,
            answers_chats: self.reader.answers_chats(),
        }
    }

    fn admits(&self, owner: Owner) -> Result<(), GenerationError> {
        self.engine.take_place(owner).map(drop)
    }

    async fn generate(&self, request: GenerationRequest) -> Result<TokenStream, GenerationError> {
        let submitted_at = Instant::now();
        // First, since it is the cheapest. Whoever counts tokens before this asks [`TextGenerator::admits`] before that.
        let place = self.engine.take_place(request.owner)?;
        self.check_bias(&request.parameters.logit_bias)?;
        let prompt = self.reader.read(&request.input).await?;
        let truncation = match request.input {
            GenerationInput::Text(_) => request.truncation,
            // Cut at its beginning it would be no conversation any more.
            GenerationInput::Chat(_) => Truncation::Refuse,
        };
        let prefix = self.reader.tokenizer().prefix();
        let prefix = if prompt.starts_with(prefix) { prefix.len() } else { 0 };
        let (prompt, start) = fit(prompt, prefix, request.parameters.length, self.context_length(), truncation)?;
        if prompt.is_empty() {
            // Possible where a tokenizer drops what it does not know.
            return Err(GenerationError::InputRefused("the prompt holds nothing that this model can read".to_owned()));
        }
        self.engine.begin(EngineRequest {
            owner: request.owner,
            priority: request.priority,
            prompt,
            answer: self.reader.answer_form(&request.input),
            top_logprobs: request.logprobs.map(|top| top.min(MAX_TOP_LOGPROBS)),
            parameters: request.parameters,
            start,
            submitted_at,
            place,
        })
    }

    async fn count_tokens(&self, input: &GenerationInput) -> Result<Option<u32>, GenerationError> {
        let tokens = self.reader.read(input).await?;
        Ok(Some(u32::try_from(tokens.len()).unwrap_or(u32::MAX)))
    }
}

#[async_trait]
impl HealthCheck for TextEngine {
    fn name(&self) -> &'static str {
        "model"
    }

    async fn check(&self) -> Result<(), Unhealthy> {
        self.health()
    }
}

impl TextEngine {
    /// As [`HealthCheck::check`], at once.
    pub(super) fn health(&self) -> Result<(), Unhealthy> {
        if let Some(reason) = self.why_ended() {
            return Err(Unhealthy(reason.to_string()));
        }
        match self.engine.step_running_for() {
            Some(time) if time > self.longest_step => {
                Err(Unhealthy(format!("{} has been computing one step for {} s", self.identity.name, time.as_secs())))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::{ModelDefaults, Prompt, SamplingParameters, SamplingRequest, Seed};
    use futures_util::StreamExt;

    use super::*;
    use crate::text::fake_model::FakeModel;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_step_that_does_not_end_makes_the_engine_unhealthy_until_it_does() {
        let mut model = FakeModel::new(1, 64, 2048);
        model.step_time = Duration::from_secs(2);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/fairy-tales");
        let identity = ModelIdentity { name: "slow".into(), weights_digest: None, reproducible: true };
        let mut engine = TextEngine::start(Box::new(model), &folder, identity, &EngineConfig::default()).unwrap();
        let sampling = SamplingRequest { max_new_tokens: Some(1), ..SamplingRequest::default() };
        let input = GenerationInput::Text(Prompt::new("Once", 100).unwrap());
        let parameters = SamplingParameters::resolve(sampling, &ModelDefaults::default(), Seed::from_random_bits(0)).unwrap();
        let request = GenerationRequest::new(input, parameters, Owner::Guests);
        let stream = engine.generate(request).await.unwrap();
        while engine.engine.step_running_for().is_none_or(|time| time < Duration::from_millis(2)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(engine.check().await, Ok(()));
        engine.longest_step = Duration::from_millis(1);
        let complaint = engine.check().await.unwrap_err();
        assert!(complaint.0.contains("slow has been computing one step for"), "{complaint:?}");
        stream.collect::<Vec<_>>().await;
        assert_eq!(engine.check().await, Ok(()));
    }
}
