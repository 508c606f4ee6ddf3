//! What every use case that generates has in common: which model, with which parameters, on whose tokens; and how generations run.

use std::sync::Arc;

use domain::{LengthLimit, LlmId, ModelDefaults, ModelName, NamedModel, SamplingParameters, SamplingRequest, Seed, TokenUsage};
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll};
use ports::{
    GenerationError, GenerationInput, GenerationRequest, GeneratorDescription, LanguageModels, ModelStore, Owner, Randomness,
    TextEmbedder, TextGenerator, TokenEvent, TokenStream, Truncation,
};

use crate::models::{model_error, model_name};
use crate::{Caller, LimitService, ServiceError, TokenHold};

/// Finds, opens and pays for what generates.
#[derive(Clone)]
pub(crate) struct Generators {
    pub(crate) models: Arc<dyn ModelStore>,
    pub(crate) language_models: Arc<dyn LanguageModels>,
    pub(crate) randomness: Arc<dyn Randomness>,
    pub(crate) default_model: ModelName,
    pub(crate) token_limits: LimitService,
}

impl Generators {
    /// The model of this name, or the default one, with the defaults that apply for the caller.
    pub(crate) async fn find(&self, caller: &Caller, name: Option<String>) -> Result<NamedModel, ServiceError> {
        let name = name.map_or_else(|| Ok(self.default_model.clone()), model_name)?;
        self.models.get_for(caller.user.id, &name).await.map_err(|error| model_error(error, &name))
    }

    /// Checked parameters; a seed is drawn where none was given.
    pub(crate) fn parameters(
        &self,
        sampling: SamplingRequest,
        defaults: &ModelDefaults,
    ) -> Result<SamplingParameters, ServiceError> {
        let fresh_seed = Seed::from_random_bits(self.randomness.bits());
        Ok(SamplingParameters::resolve(sampling, defaults, fresh_seed)?)
    }

    /// What generates with this model, loaded if it was not.
    pub(crate) async fn open(&self, llm: &LlmId) -> Result<Arc<dyn TextGenerator>, GenerationError> {
        self.language_models.open(llm).await
    }

    /// What makes vectors with this model, loaded if it was not.
    pub(crate) async fn open_embedder(&self, llm: &LlmId) -> Result<Arc<dyn TextEmbedder>, GenerationError> {
        self.language_models.open_embedder(llm).await
    }

    /// Sets the tokens aside that may be needed at the most, where a quota applies; what a full or stopping generator would refuse anyway
    /// is refused before anything is counted. There is nothing to set aside where an input leaves no room for a single token: the generator
    /// says so, with its own counts.
    pub(crate) async fn hold(&self, caller: &Caller, demand: Demand<'_>) -> Result<Option<TokenHold>, ServiceError> {
        demand.generator.admits(Owner::User(caller.user.id))?;
        let Some(quota) = self.token_limits.quota_of(caller).await? else {
            return Ok(Some(self.token_limits.count_later(caller)));
        };
        match demand.tokens_at_most().await? {
            Some(tokens) => self.token_limits.reserve(caller, quota, tokens).await.map(Some),
            None => Ok(None),
        }
    }
}

/// How much an answer may have of a provider's model whose context nobody knows, where its request says nothing.
const UNKNOWN_CONTEXT_ANSWER_TOKENS: u32 = 4096;

/// Where an answer in a conversation ends at the latest if its request does not say. Who chats expects a whole answer, so a model that was
/// trained to give one, and knows how to end it, has all the room there is; any other would go on until the room is filled.
pub(crate) fn answer_length(generator: &GeneratorDescription, defaults: &ModelDefaults) -> LengthLimit {
    match (generator.answers_chats, generator.context_length) {
        (false, _) => LengthLimit::New(defaults.max_length),
        (true, 0) => LengthLimit::New(UNKNOWN_CONTEXT_ANSWER_TOKENS),
        (true, context_length) => LengthLimit::Total(context_length),
    }
}

/// What is to be generated, as far as it counts.
pub(crate) struct Demand<'a> {
    pub(crate) generator: &'a dyn TextGenerator,
    pub(crate) inputs: &'a [GenerationInput],
    /// How many texts are made of each input.
    pub(crate) choices: u32,
    pub(crate) length: LengthLimit,
    pub(crate) truncation: Truncation,
}

impl<'a> Demand<'a> {
    /// What a single request may need.
    pub(crate) fn of(generator: &'a dyn TextGenerator, request: &'a GenerationRequest) -> Self {
        let inputs = std::slice::from_ref(&request.input);
        Self { generator, inputs, choices: 1, length: request.parameters.length, truncation: request.truncation }
    }

    /// The inputs' tokens, each input once, and the most that may follow; `None` where nothing may.
    async fn tokens_at_most(&self) -> Result<Option<u32>, GenerationError> {
        let mut sum = 0_u32;
        for input in self.inputs {
            let counted = self.generator.count_tokens(input).await?;
            // An estimate must not refuse what its provider would take: any prompt has a token, and what follows it may fill the rest.
            let Some((read, made)) = self.budget(counted.unwrap_or(1)) else { return Ok(None) };
            let read = if counted.is_none() { input.estimated_tokens() } else { read };
            sum = sum.saturating_add(read).saturating_add(made.saturating_mul(self.choices));
        }
        Ok(Some(sum))
    }

    /// Tokens read and made for one prompt, at the most.
    fn budget(&self, prompt_tokens: u32) -> Option<(u32, u32)> {
        let context_length = match self.generator.describe().context_length {
            0 => u32::MAX,
            known => known,
        };
        match self.length.budget(prompt_tokens, context_length) {
            Some(budget) => Some((budget.prompt_tokens, budget.max_new_tokens)),
            // How the room is shared out is the generator's affair; more than there is cannot be used.
            None if self.truncation == Truncation::Oldest => match self.length {
                LengthLimit::Total(total) => Some((0, total.min(context_length))),
                LengthLimit::New(_) => Some((0, context_length)),
            },
            None => None,
        }
    }
}

/// Generations that run beside each other, and the tokens that are set aside for all of them together. Dropping it cancels them; what
/// they used by then is noted, and the rest given back.
pub(crate) struct Running {
    streams: SelectAll<BoxStream<'static, (usize, Result<TokenEvent, GenerationError>)>>,
    choices: usize,
    /// By input: its choices read the same.
    prompt_tokens: Vec<u32>,
    /// By generation.
    completion_tokens: Vec<u32>,
    unfinished: usize,
    hold: Option<TokenHold>,
}

impl Running {
    /// One generation.
    pub(crate) fn one(tokens: TokenStream, hold: Option<TokenHold>) -> Self {
        Self::several(vec![tokens], 1, hold)
    }

    /// So many choices of each input, the choices of the first input first.
    pub(crate) fn several(generations: Vec<TokenStream>, choices: usize, hold: Option<TokenHold>) -> Self {
        let count = generations.len();
        let numbered =
            generations.into_iter().enumerate().map(|(number, tokens)| tokens.map(move |event| (number, event)).boxed());
        Self {
            streams: numbered.collect(),
            choices: choices.max(1),
            prompt_tokens: vec![0; count],
            completion_tokens: vec![0; count],
            unfinished: count,
            hold,
        }
    }

    /// The next event of any of them, with the number of its generation; `None` once all have finished. After an error nothing follows.
    pub(crate) async fn next(&mut self) -> Option<Result<(usize, TokenEvent), GenerationError>> {
        if self.unfinished == 0 {
            return None;
        }
        let Some((number, event)) = self.streams.next().await else {
            self.unfinished = 0;
            let problem = "the generator's stream ended without a last event".to_owned();
            return Some(Err(GenerationError::Failed(problem)));
        };
        if let Ok(event) = &event {
            self.note(number, event);
        } else {
            self.unfinished = 0;
            // The others stop now, not when the caller has read of it.
            self.streams.clear();
        }
        Some(event.map(|event| (number, event)))
    }

    /// Tokens read and made so far. What several choices read together counts once.
    pub(crate) fn usage(&self) -> TokenUsage {
        let sum = |tokens: &[u32]| tokens.iter().fold(0_u32, |sum, tokens| sum.saturating_add(*tokens));
        TokenUsage { prompt_tokens: sum(&self.prompt_tokens), completion_tokens: sum(&self.completion_tokens) }
    }

    /// Counts what was used, gives back what was set aside besides, and waits until that is kept. That it cannot be changes nothing for
    /// whoever asked: it is logged.
    pub(crate) async fn settle(&mut self) {
        let used_tokens = self.usage().total_tokens();
        if let Some(hold) = self.hold.take() {
            hold.settle(used_tokens).await;
        }
    }

    /// The same, and waits only where a quota applies: the caller's next request is to find what this one gave back.
    pub(crate) async fn settle_soon(&mut self) {
        if self.hold.as_ref().is_some_and(TokenHold::is_reserved) {
            self.settle().await;
        }
        // Dropped, it is counted in the background.
        self.hold = None;
    }

    /// The tokens' account, for whoever settles it elsewhere.
    pub(crate) fn take_hold(&mut self) -> Option<TokenHold> {
        self.hold.take()
    }

    /// Lets all of it cost nothing: what was made came to nothing, by no fault of whoever asked.
    pub(crate) fn waive(&mut self) {
        if let Some(mut hold) = self.hold.take() {
            hold.used(0);
        }
    }

    fn note(&mut self, number: usize, event: &TokenEvent) {
        let (read, made) = match event {
            TokenEvent::Queued { .. } => return,
            TokenEvent::Started(start) => (Some(start.prompt_tokens), None),
            TokenEvent::Text { completion_tokens, .. } => (None, Some(*completion_tokens)),
            TokenEvent::Finished(completion) => {
                self.unfinished = self.unfinished.saturating_sub(1);
                (Some(completion.usage.prompt_tokens), Some(completion.usage.completion_tokens))
            }
        };
        if let (Some(read), Some(counted)) = (read, self.prompt_tokens.get_mut(number / self.choices)) {
            *counted = read;
        }
        if let (Some(made), Some(counted)) = (made, self.completion_tokens.get_mut(number)) {
            *counted = made;
        }
        let used_tokens = self.usage().total_tokens();
        if let Some(hold) = &mut self.hold {
            hold.used(used_tokens);
        }
    }
}
