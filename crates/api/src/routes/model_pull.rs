//! Fetching a model of the hub, and telling how far it has come.

use actix_web::{HttpResponse, post, web};
use bytes::Bytes;
use ports::PullEvent;
use services::{ModelPullService, SessionService};
use utoipa_actix_web::service_config::ServiceConfig;

use super::Answer;
use crate::config::ApiConfig;
use crate::dto::{ModelPullRequest, PullProgressEvent, PulledModelResponse};
use crate::extractors::{Admin, JsonBody};
use crate::sse::{self, Pulse, Sent, Wire};
use crate::{ApiError, RequestId};

/// Comes before the patterns that its path fits: `pull` is no model's name.
pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(pull);
}

/// Fetch a model of the hub.
///
/// The answer is `text/event-stream`: `data: {"file", "fetched_bytes", "total_bytes"}` as it comes, then `event: done` with the model; an
/// error on the way is `event: error` with the problem. Closing the connection stops the fetch; what has come is kept, and the next fetch
/// goes on from there. `POST /models/{name}` then gives it a name.
#[utoipa::path(tag = "models", request_body = ModelPullRequest, responses(
    (status = 200, description = "How far the fetch has come, and at last the model", body = PullProgressEvent, content_type = "text/event-stream"),
    (status = 400, description = "It is no model of the hub, or one that cannot run here (E012)"),
    (status = 404, description = "The hub has no such model, or not for this server; the detail says what to do (E001)"),
    (status = 502, description = "What came is not what was announced (E031)"),
    (status = 503, description = "The hub cannot be reached (E030), or the disk is full or cannot be written (E032)"),
))]
#[post("/models/pull")]
async fn pull(
    Admin(caller): Admin,
    pulls: web::Data<ModelPullService>,
    sessions: web::Data<SessionService>,
    config: web::Data<ApiConfig>,
    request_id: RequestId,
    body: JsonBody<ModelPullRequest>,
) -> Answer<HttpResponse> {
    let pieces = pulls.pull(&caller, &body.0.llm).await?;
    let begun = sse::Begun::wait(pieces, config.heartbeat).await?;
    let pulse = Pulse::of(caller, &sessions, config.heartbeat);
    Ok(sse::respond(begun, PullWire { request_id }, pulse))
}

/// How a fetch is written.
struct PullWire {
    /// Names the request in a problem.
    request_id: RequestId,
}

impl Wire for PullWire {
    type Piece = PullEvent;

    fn piece(&mut self, piece: PullEvent) -> Sent {
        match piece {
            PullEvent::Progress { file, fetched_bytes, total_bytes } => {
                Sent::Event(sse::data(&PullProgressEvent { file, fetched_bytes, total_bytes }))
            }
            PullEvent::Done(stored) => Sent::Last(sse::named("done", &PulledModelResponse::from(stored))),
        }
    }

    fn error(&mut self, error: &ApiError) -> Bytes {
        sse::problem(error, &self.request_id)
    }
}
