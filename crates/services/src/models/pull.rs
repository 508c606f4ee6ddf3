//! An admin fetches a model of the Hugging Face hub to this machine.

use std::sync::Arc;

use domain::{AuditAction, LlmId, Refusal};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use ports::{HubModel, ModelRepository, PullEvent};

use super::llm_id;
use crate::{AuditTrail, Caller, ServiceError};

/// How far a fetch has come, until it is [`PullEvent::Done`]. **Dropping it stops the fetch**; what has come is kept.
pub type PullPieces = BoxStream<'static, Result<PullEvent, ServiceError>>;

/// The use case of fetching models.
#[derive(Clone)]
pub struct ModelPullService {
    repository: Arc<dyn ModelRepository>,
    audit: AuditTrail,
}

impl ModelPullService {
    /// Fetches into this repository.
    pub fn new(repository: Arc<dyn ModelRepository>, audit: AuditTrail) -> Self {
        Self { repository, audit }
    }

    /// Fetches a model, or what is missing of it, so that a named model can stand on it. `llm` is as in `LLM_ID`: `gpt2`,
    /// `hf:ORG/NAME@REVISION`. Refused for anybody but an admin, and for what is no model of the hub.
    pub async fn pull(&self, caller: &Caller, llm: &str) -> Result<PullPieces, ServiceError> {
        caller.require_admin()?;
        let llm = llm_id(llm)?;
        let Some(model) = HubModel::of(&llm) else {
            return Err(Refusal::field("llm", "must be a model of the hub, as in gpt2 or hf:ORG/NAME@REVISION").into());
        };
        tracing::info!(admin_id = %caller.user.id, %llm, "a model is being fetched");
        let events = self.repository.pull(&model).await?;
        let (audit, caller) = (self.audit.clone(), Arc::new(caller.clone()));
        let noted = events.then(move |event| {
            let (audit, caller, llm) = (audit.clone(), Arc::clone(&caller), llm.clone());
            async move {
                if let Ok(PullEvent::Done(stored)) = &event {
                    note(&audit, &caller, &llm, stored).await;
                }
                event.map_err(ServiceError::from)
            }
        });
        Ok(noted.boxed())
    }
}

async fn note(audit: &AuditTrail, caller: &Caller, llm: &LlmId, stored: &ports::StoredModel) {
    tracing::info!(admin_id = %caller.user.id, %llm, commit = stored.commit, bytes = stored.bytes, "model fetched");
    let detail = format!("commit {}, {} bytes", stored.commit, stored.bytes);
    audit.record(AuditAction::ModelFetched, caller.into(), format!("llm:{llm}"), &detail).await;
}
