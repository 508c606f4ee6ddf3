//! Before a turn begins: which model answers, how, and what of the conversation it is given.

use std::sync::Arc;

use domain::{
    ChatMessage, ContextUse, Conversation, LengthLimit, Memory, Message, MessageId, ModelName, SamplingParameters,
    SamplingRequest, TurnSearch, chat_messages, prompt_budget, turn_starts,
};
use ports::{GenerationError, GenerationInput, GenerationRequest, Owner, TextGenerator};

use super::{AnswerRequest, ChatService};
use crate::generation::{Demand, answer_length};
use crate::{Caller, ServiceError, TokenHold};

/// The model that answers, and how.
pub(super) struct Answerer {
    pub(super) model: ModelName,
    pub(super) generator: Arc<dyn TextGenerator>,
    pub(super) parameters: SamplingParameters,
    /// The most tokens of the conversation and the answer together.
    context_length: u32,
}

/// What of a conversation the model is given.
pub(super) struct ChosenContext {
    pub(super) system_prompt: String,
    /// The newest turns that fit.
    pub(super) kept: Vec<Message>,
    /// The turns before them, as far as they were looked at.
    pub(super) dropped: Vec<Message>,
    /// Whether a summary is to stand for those.
    pub(super) summarised: bool,
    pub(super) usage: ContextUse,
}

/// The most tokens of a summary; less where that would be more than a quarter of what a conversation may take.
const SUMMARY_TOKENS: u32 = 256;

/// What a message takes beside its words, where nobody can count.
const TOKENS_AROUND_A_MESSAGE: u32 = 8;

impl ChatService {
    /// Finds and opens the model that answers.
    pub(super) async fn answerer(
        &self,
        caller: &Caller,
        conversation: &Conversation,
        request: AnswerRequest,
    ) -> Result<Answerer, ServiceError> {
        let name = request.model.or_else(|| conversation.model.as_ref().map(ToString::to_string));
        let model = self.generators.find(caller, name).await?;
        let sampling = merged(request.sampling, &conversation.parameters);
        let has_length = sampling.max_length.is_some() || sampling.max_new_tokens.is_some();
        let mut parameters = self.generators.parameters(sampling, &model.defaults)?;
        let generator = self.generators.open(&model.llm).await?;
        let description = generator.describe();
        if !has_length {
            parameters.length = answer_length(&description, &model.defaults);
        }
        let context_length = match description.context_length {
            0 => self.limits.unknown_context_tokens,
            known => known,
        };
        Ok(Answerer { model: model.name, generator, parameters, context_length })
    }

    /// Chooses among the messages of a branch, of which the last is to be answered.
    pub(super) async fn choose_context(
        &self,
        conversation: &Conversation,
        answerer: &Answerer,
        branch: Vec<Message>,
    ) -> Result<ChosenContext, ServiceError> {
        let system_prompt = conversation.system_prompt.clone().unwrap_or_else(|| self.system_prompt.to_string());
        let starts = turn_starts(&branch);
        let newest = |turns: usize| starts.len().checked_sub(turns).and_then(|index| starts.get(index)).copied().unwrap_or(0);
        let wants_summary = match conversation.memory {
            Some(memory) => memory == Memory::Summary,
            None => answerer.generator.describe().answers_chats,
        };
        let whole_budget = prompt_budget(answerer.parameters.length, answerer.context_length);
        let mut budget = whole_budget;
        let mut search = TurnSearch::among(starts.len());
        while let Some(turns) = search.next(starts.len()) {
            let chat = chat_messages(&system_prompt, None, branch.get(newest(turns)..).unwrap_or_default());
            search.note(turns, answerer.count_tokens(chat).await? <= budget);
            if wants_summary && search.found() < starts.len() {
                budget = whole_budget - summary_tokens(whole_budget);
            }
        }
        let begin = newest(search.found());
        let mut dropped = branch;
        let kept = dropped.split_off(begin.min(dropped.len()));
        let prompt_tokens = answerer.count_tokens(chat_messages(&system_prompt, None, &kept)).await?;
        let messages_used = u32::try_from(kept.len()).unwrap_or(u32::MAX);
        // The depth counts those too that were not even looked at.
        let messages_dropped = kept.first().map_or(0, |first| first.depth);
        let summarised = wants_summary && !dropped.is_empty();
        let usage = ContextUse { messages_used, messages_dropped, prompt_tokens };
        Ok(ChosenContext { system_prompt, kept, dropped, summarised, usage })
    }

    /// Sets aside what the answer may need at the most.
    pub(super) async fn hold_for(
        &self,
        caller: &Caller,
        answerer: &Answerer,
        context: &ChosenContext,
    ) -> Result<Option<TokenHold>, ServiceError> {
        let generation = answerer.request(caller.user.id, chat_messages(&context.system_prompt, None, &context.kept));
        self.generators.hold(caller, Demand::of(&*answerer.generator, &generation)).await
    }

    /// The branch that ends with `leaf`, as far as it is looked at for an answer.
    pub(super) async fn branch_for_context(
        &self,
        conversation: &Conversation,
        leaf: Option<MessageId>,
    ) -> Result<Vec<Message>, ServiceError> {
        let Some(leaf) = leaf else { return Ok(Vec::new()) };
        let branch = self.ports.conversations.branch(conversation.id, leaf, self.limits.context_messages).await;
        branch.map_err(ServiceError::Store)
    }
}

impl Answerer {
    /// How many tokens these messages take, or about how many where nobody can count.
    pub(super) async fn count_tokens(&self, messages: Vec<ChatMessage>) -> Result<u32, GenerationError> {
        let around = u32::try_from(messages.len()).unwrap_or(u32::MAX).saturating_mul(TOKENS_AROUND_A_MESSAGE);
        let input = GenerationInput::Chat(messages);
        let counted = self.generator.count_tokens(&input).await?;
        Ok(counted.unwrap_or_else(|| input.estimated_tokens().saturating_add(around)))
    }

    /// What the model is asked for.
    pub(super) fn request(&self, user_id: domain::UserId, messages: Vec<ChatMessage>) -> GenerationRequest {
        GenerationRequest::new(GenerationInput::Chat(messages), self.parameters.clone(), Owner::User(user_id))
    }

    /// The most tokens that a summary may have.
    pub(super) fn summary_tokens(&self) -> u32 {
        summary_tokens(prompt_budget(self.parameters.length, self.context_length))
    }

    /// How many tokens a conversation may take that is to be summarised.
    pub(super) fn summary_budget(&self) -> u32 {
        prompt_budget(LengthLimit::New(self.summary_tokens()), self.context_length)
    }
}

fn summary_tokens(prompt_budget: u32) -> u32 {
    SUMMARY_TOKENS.min(prompt_budget / 4).max(1)
}

/// What a message asks for, and where it is silent, what its conversation does.
fn merged(request: SamplingRequest, conversation: &SamplingRequest) -> SamplingRequest {
    let kept = conversation.clone();
    // The two lengths are one question: who answers it one way does not want the other.
    let has_length = request.max_length.is_some() || request.max_new_tokens.is_some();
    let (max_length, max_new_tokens) =
        if has_length { (request.max_length, request.max_new_tokens) } else { (kept.max_length, kept.max_new_tokens) };
    SamplingRequest {
        max_length,
        max_new_tokens,
        temperature: request.temperature.or(kept.temperature),
        top_p: request.top_p.or(kept.top_p),
        top_k: request.top_k.or(kept.top_k),
        min_p: request.min_p.or(kept.min_p),
        repetition_penalty: request.repetition_penalty.or(kept.repetition_penalty),
        presence_penalty: request.presence_penalty.or(kept.presence_penalty),
        frequency_penalty: request.frequency_penalty.or(kept.frequency_penalty),
        logit_bias: if request.logit_bias.is_empty() { kept.logit_bias } else { request.logit_bias },
        stop: if request.stop.is_empty() { kept.stop } else { request.stop },
        seed: request.seed.or(kept.seed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_decides_before_its_conversation_does() {
        let conversation = SamplingRequest {
            max_length: Some(500),
            temperature: Some(0.5),
            seed: Some(1),
            stop: vec!["x".into()],
            ..SamplingRequest::default()
        };
        let request = SamplingRequest { max_new_tokens: Some(9), temperature: Some(0.0), ..SamplingRequest::default() };
        let both = merged(request, &conversation);
        assert_eq!((both.max_length, both.max_new_tokens, both.temperature), (None, Some(9), Some(0.0)));
        assert_eq!((both.seed, both.stop.as_slice()), (Some(1), ["x".to_owned()].as_slice()));
        assert_eq!(merged(SamplingRequest::default(), &conversation), conversation);
    }
}
