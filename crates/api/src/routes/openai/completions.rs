//! Completions of texts.

use actix_web::{HttpResponse, post, web};
use services::{CompletionService, SessionService};

use super::{Answer, told};
use crate::config::ApiConfig;
use crate::dto::openai::{Delivery, TextCompletion, TextCompletionRequest, TextCompletionWire};
use crate::extractors::{Authenticated, JsonBody};
use crate::revocable::Revocable;
use crate::sse::{self, Pulse};

/// Continue texts, as OpenAI does.
///
/// With `"stream": true` the answer is `text/event-stream`: `data: {chunk}` for each piece, then `data: [DONE]`; an error on the way is
/// `data: {"error": …}`, and nothing after it. Closing the connection stops the generation. Nothing is stored.
#[utoipa::path(tag = "OpenAI-compatible", request_body = TextCompletionRequest, responses(
    (status = 200, description = "The texts, or with `\"stream\": true` their pieces", content(
        (TextCompletion = "application/json"),
        (TextCompletion = "text/event-stream"),
    )),
    (status = 400, description = "A value is refused (`invalid_value`), a field is not supported (`unsupported_parameter`), or a prompt does not fit (`context_length_exceeded`)"),
    (status = 404, description = "No such model (`model_not_found`)"),
    (status = 502, description = "A provider answered badly"),
    (status = 503, description = "Overloaded, stopping, or the model cannot be used"),
    (status = 504, description = "It ran past its deadline"),
))]
#[post("/v1/completions")]
pub(super) async fn create(
    Authenticated(caller): Authenticated,
    completions: web::Data<CompletionService>,
    sessions: web::Data<SessionService>,
    config: web::Data<ApiConfig>,
    revocable: Revocable,
    body: JsonBody<TextCompletionRequest>,
) -> Answer<HttpResponse> {
    let (request, echo, delivery) = body.0.read()?;
    let with_logprobs = request.logprobs.is_some();
    let told = |error| told(error, "prompt");
    match delivery {
        Delivery::Whole => {
            let made = async { completions.complete(&caller, request).await.map_err(told) };
            Ok(HttpResponse::Ok().json(TextCompletion::new(revocable.run(made).await?, &echo, with_logprobs)))
        }
        Delivery::Stream { include_usage } => {
            let (head, pieces) = completions.stream(&caller, request).await.map_err(told)?;
            let begun = sse::Begun::wait(pieces, config.heartbeat).await?;
            let wire = TextCompletionWire::new(&head, echo, with_logprobs, include_usage);
            Ok(sse::respond(begun, wire, Pulse::of(caller, &sessions, config.heartbeat)))
        }
    }
}
