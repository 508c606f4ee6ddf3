//! Embeddings.

use actix_web::{post, web};
use ports::GenerationError;
use services::{EmbeddingService, ServiceError};

use super::Answer;
use crate::dto::openai::{EmbeddingsRequest, EmbeddingsResponse};
use crate::extractors::{Authenticated, JsonBody};
use crate::revocable::Revocable;
use crate::{ApiError, ErrorCode};

/// Make vectors of texts, as OpenAI does.
///
/// Texts that are near each other in meaning have vectors that are. A model that runs here gives the mean of its last hidden states, of
/// length 1; a provider's model gives its own. No input is ever cut. Closing the connection stops the work. Nothing is stored.
#[utoipa::path(tag = "OpenAI-compatible", request_body = EmbeddingsRequest, responses(
    (status = 200, description = "A vector for each input, in their order", body = EmbeddingsResponse),
    (status = 400, description = "A value is refused (`invalid_value`), a field is not supported (`unsupported_parameter`), or an input does not fit (`context_length_exceeded`)"),
    (status = 404, description = "No such model (`model_not_found`)"),
    (status = 502, description = "A provider answered badly"),
    (status = 503, description = "Overloaded, stopping, or the model cannot be used"),
    (status = 504, description = "It ran past its deadline"),
))]
#[post("/v1/embeddings")]
pub(super) async fn create(
    Authenticated(caller): Authenticated,
    embeddings: web::Data<EmbeddingService>,
    revocable: Revocable,
    body: JsonBody<EmbeddingsRequest>,
) -> Answer<web::Json<EmbeddingsResponse>> {
    let (order, format) = body.0.read()?;
    let made = async { embeddings.embed(&caller, order).await.map_err(told) };
    Ok(web::Json(EmbeddingsResponse::new(revocable.run(made).await?, format)))
}

/// An error in words that OpenAI's clients look for.
fn told(error: ServiceError) -> ApiError {
    let too_long = |which: String, tokens: u32, context_length: u32| {
        let detail = format!(
            "This model's maximum context length is {context_length} tokens. However, {which} resulted in {tokens} tokens. Please reduce its \
             length"
        );
        ApiError::new(ErrorCode::PromptTooLong, detail).about("input")
    };
    match error {
        ServiceError::InputTooLong { index, tokens, context_length } => {
            too_long(format!("input[{index}]"), tokens, context_length)
        }
        ServiceError::Generation(GenerationError::PromptTooLong { prompt_tokens, context_length, .. }) => {
            too_long("your input".to_owned(), prompt_tokens, context_length)
        }
        ServiceError::Generation(GenerationError::InputRefused(_)) => ApiError::from(error).about("input"),
        other => super::told(other, "input"),
    }
}
