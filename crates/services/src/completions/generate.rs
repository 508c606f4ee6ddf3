//! Making a completion.

use std::collections::BTreeMap;

use domain::{CompletionId, FinishReason, LengthLimit, SamplingParameters};
use futures_util::future::try_join_all;
use futures_util::{StreamExt, stream};
use ports::{GenerationError, GenerationInput, GenerationRequest, Owner, TextGenerator, TokenEvent, TokenStream, Truncation};

use super::input::{checked, checked_choices};
use super::{
    Choice, Completed, CompletionHead, CompletionInput, CompletionPiece, CompletionRequest, CompletionService, CompletionStream,
};
use crate::generation::{Demand, Running, answer_length};
use crate::{Caller, ServiceError};

impl CompletionService {
    /// Makes a completion and answers it once it is whole. Dropping the call cancels it.
    pub async fn complete(&self, caller: &Caller, request: CompletionRequest) -> Result<Completed, ServiceError> {
        let (head, mut pieces) = self.stream(caller, request).await?;
        let mut choices: BTreeMap<u32, Choice> = BTreeMap::new();
        while let Some(piece) = pieces.next().await {
            match piece? {
                CompletionPiece::Queued { .. } => {}
                CompletionPiece::Text { choice, text, logprobs } => {
                    let told = choices.entry(choice).or_default();
                    told.text.push_str(&text);
                    told.logprobs.extend(logprobs);
                }
                CompletionPiece::Ended { choice, finish_reason } => {
                    choices.entry(choice).or_default().finish_reason = finish_reason;
                }
                CompletionPiece::Done(usage) => return Ok(Completed { head, choices: choices.into_values().collect(), usage }),
            }
        }
        Err(GenerationError::Failed("a completion ended without its last piece".to_owned()).into())
    }

    /// Begins a completion. What is refused is refused here, before the first piece: all of its texts are begun or none.
    pub async fn stream(
        &self,
        caller: &Caller,
        request: CompletionRequest,
    ) -> Result<(CompletionHead, CompletionStream), ServiceError> {
        let answers_a_chat = matches!(request.input, CompletionInput::Chat(_));
        let has_length = request.sampling.max_length.is_some() || request.sampling.max_new_tokens.is_some();
        let inputs = checked(request.input, self.limits.prompt_characters)?;
        let choices = checked_choices(request.choices, inputs.len())?;
        let model = self.generators.find(caller, request.model).await?;
        let mut parameters = self.generators.parameters(request.sampling, &model.defaults)?;
        let generator = self.generators.open(&model.llm).await?;
        let description = generator.describe();
        if !has_length {
            parameters.length = if answers_a_chat {
                answer_length(&description, &model.defaults)
            } else {
                LengthLimit::New(model.defaults.max_length)
            };
        }
        let demand = Demand {
            generator: &*generator,
            inputs: &inputs,
            choices,
            length: parameters.length,
            truncation: Truncation::Refuse,
        };
        let hold = self.generators.hold(caller, demand).await?;
        let head = CompletionHead {
            id: CompletionId::new(self.generators.randomness.uuid_v7()),
            created_at: self.clock.now(),
            model: model.name,
            weights_digest: description.weights_digest,
        };
        let generations =
            Generations { inputs, choices, parameters, logprobs: request.logprobs, owner: Owner::User(caller.user.id) };
        let tokens = generations.begin(&*generator).await?;
        Ok((head, into_stream(Running::several(tokens, usize::try_from(choices).unwrap_or(1), hold))))
    }
}

/// The texts that a completion consists of.
struct Generations {
    inputs: Vec<GenerationInput>,
    choices: u32,
    parameters: SamplingParameters,
    logprobs: Option<u8>,
    owner: Owner,
}

impl Generations {
    /// Begins all of them at once: a provider may think for a while before it begins each.
    async fn begin(self, generator: &dyn TextGenerator) -> Result<Vec<TokenStream>, GenerationError> {
        let requests = self.inputs.iter().flat_map(|input| {
            (0..self.choices).map(|choice| {
                let seed = self.parameters.seed.of_choice(choice);
                let parameters = SamplingParameters { seed, ..self.parameters.clone() };
                GenerationRequest { logprobs: self.logprobs, ..GenerationRequest::new(input.clone(), parameters, self.owner) }
            })
        });
        try_join_all(requests.map(|request| generator.generate(request))).await
    }
}

fn into_stream(running: Running) -> CompletionStream {
    let pieces = stream::unfold(Some(running), async |running| {
        let mut running = running?;
        let piece = next_piece(&mut running).await;
        let ended = matches!(piece, Ok(CompletionPiece::Done(_)) | Err(_));
        Some((piece, (!ended).then_some(running)))
    });
    Box::pin(pieces)
}

async fn next_piece(running: &mut Running) -> Result<CompletionPiece, ServiceError> {
    while let Some(event) = running.next().await {
        let (number, event) = event?;
        let choice = u32::try_from(number).unwrap_or(u32::MAX);
        match event {
            TokenEvent::Queued { position } => return Ok(CompletionPiece::Queued { position }),
            TokenEvent::Started(_) => {}
            TokenEvent::Text { text, logprobs, .. } => return Ok(CompletionPiece::Text { choice, text, logprobs }),
            TokenEvent::Finished(completion) => match completion.finish_reason {
                // Nothing here is kept, so a text that was cut is no answer, and costs nothing.
                FinishReason::Interrupted => {
                    running.waive();
                    return Err(GenerationError::ShuttingDown.into());
                }
                finish_reason => return Ok(CompletionPiece::Ended { choice, finish_reason }),
            },
        }
    }
    running.settle_soon().await;
    Ok(CompletionPiece::Done(running.usage()))
}
