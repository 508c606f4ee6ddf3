//! OpenAI's API (<https://platform.openai.com/docs/api-reference>) over the use cases of this server, for every client that exists for it.
//!
//! Same accounts, keys, scopes, limits and quotas as everywhere. No text that is made here is stored; pictures and speech are. Errors are OpenAI's, also those that
//! arise before a handler is reached: see [`openai_error`](crate::openai_error).

mod chat;
mod completions;
mod embeddings;
mod media;
mod models;

use domain::Refusal;
use ports::GenerationError;
use services::ServiceError;
use utoipa_actix_web::service_config::ServiceConfig;

use super::Answer;
use crate::{ApiError, ErrorCode};

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(models::list).service(models::read);
    config.service(completions::create);
    config.service(chat::create);
    config.service(embeddings::create);
    config.service(media::draw).service(media::speak);
}

/// An error in words that OpenAI's clients look for; `input` is the field that holds what is read.
fn told(error: ServiceError, input: &'static str) -> ApiError {
    match error {
        ServiceError::ModelNotFound { name } => no_such_model(&name),
        ServiceError::Generation(GenerationError::PromptTooLong { prompt_tokens, limit, context_length }) => {
            let detail = format!(
                "This model's maximum context length is {context_length} tokens. However, your {input} resulted in {prompt_tokens} \
                 tokens, of the {limit} that your request allows in all; that leaves no room for an answer. Please reduce their length"
            );
            ApiError::new(ErrorCode::PromptTooLong, detail).about(input)
        }
        // Where one field holds all that is read, whatever is wrong with that is about it.
        ServiceError::Refused(refusal @ (Refusal::EmptyPrompt | Refusal::PromptTooLong { .. })) => {
            ApiError::from(refusal).about(input)
        }
        other => other.into(),
    }
}

fn no_such_model(name: &str) -> ApiError {
    // The name is the client's own text; no more of it is repeated than a name may have.
    let name: String = name.chars().take(128).collect();
    ApiError::new(ErrorCode::ModelNotFound, format!("The model '{name}' does not exist")).about("model")
}
