//! Chat completions.

use actix_web::{HttpResponse, post, web};
use services::{CompletionService, SessionService};

use super::{Answer, told};
use crate::config::ApiConfig;
use crate::dto::openai::{ChatCompletion, ChatCompletionChunk, ChatCompletionRequest, ChatWire, Delivery};
use crate::extractors::{Authenticated, JsonBody};
use crate::revocable::Revocable;
use crate::sse::{self, Pulse};

/// Answer a conversation, as OpenAI does.
///
/// With `"stream": true` the answer is `text/event-stream`: `data: {chunk}` for each piece, then `data: [DONE]`; an error on the way is
/// `data: {"error": …}`, and nothing after it. Closing the connection stops the generation. Nothing is stored.
#[utoipa::path(tag = "OpenAI-compatible", request_body = ChatCompletionRequest, responses(
    (status = 200, description = "The answer, or with `\"stream\": true` its pieces", content(
        (ChatCompletion = "application/json"),
        (ChatCompletionChunk = "text/event-stream"),
    )),
    (status = 400, description = "A value is refused (`invalid_value`), a field is not supported (`unsupported_parameter`), or the conversation does not fit (`context_length_exceeded`)"),
    (status = 404, description = "No such model (`model_not_found`)"),
    (status = 502, description = "A provider answered badly"),
    (status = 503, description = "Overloaded, stopping, or the model cannot be used"),
    (status = 504, description = "It ran past its deadline"),
))]
#[post("/v1/chat/completions")]
pub(super) async fn create(
    Authenticated(caller): Authenticated,
    completions: web::Data<CompletionService>,
    sessions: web::Data<SessionService>,
    config: web::Data<ApiConfig>,
    revocable: Revocable,
    body: JsonBody<ChatCompletionRequest>,
) -> Answer<HttpResponse> {
    let (request, delivery) = body.0.read()?;
    let with_logprobs = request.logprobs.is_some();
    let told = |error| told(error, "messages");
    match delivery {
        Delivery::Whole => {
            let made = async { completions.complete(&caller, request).await.map_err(told) };
            Ok(HttpResponse::Ok().json(ChatCompletion::new(revocable.run(made).await?, with_logprobs)))
        }
        Delivery::Stream { include_usage } => {
            let (head, pieces) = completions.stream(&caller, request).await.map_err(told)?;
            let begun = sse::Begun::wait(pieces, config.heartbeat).await?;
            let wire = ChatWire::new(&head, with_logprobs, include_usage);
            Ok(sse::respond(begun, wire, Pulse::of(caller, &sessions, config.heartbeat)))
        }
    }
}
