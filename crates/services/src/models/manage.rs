//! An admin's work on the list of models.

use domain::{AuditAction, LlmId, ModelDefaults, ModelName, NamedModel, Refusal};
use ports::StoreError;

use super::{ModelService, llm_id, model_error, model_name};
use crate::audit::Actor;
use crate::{Caller, ServiceError};

/// A model as an admin describes it. Absent defaults stay as they are; those of a new model are [`ModelDefaults::default`].
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSpec {
    /// What it is to be asked for by.
    pub name: String,
    /// What stands behind the name; see [`LlmId`].
    pub llm: String,
    /// See [`ModelDefaults::max_length`].
    pub max_length: Option<i64>,
    /// See [`ModelDefaults::temperature`].
    pub temperature: Option<f64>,
    /// See [`ModelDefaults::top_p`].
    pub top_p: Option<f64>,
}

/// Where models are managed by their names, this one is something else.
const RESERVED_NAME: &str = "pull";

impl ModelSpec {
    fn check(self, fallback: ModelDefaults) -> Result<NamedModel, ServiceError> {
        let defaults = ModelDefaults::new(
            self.max_length.unwrap_or(i64::from(fallback.max_length)),
            self.temperature.unwrap_or(fallback.temperature),
            self.top_p.unwrap_or(fallback.top_p),
        )?;
        if self.name == RESERVED_NAME {
            return Err(Refusal::field("name", "must not be pull: POST /models/pull fetches models").into());
        }
        Ok(NamedModel { name: ModelName::new(self.name)?, llm: llm_id(&self.llm)?, defaults })
    }
}

impl ModelService {
    /// Adds a model. It is not loaded until it is asked for.
    pub async fn add(&self, caller: &Caller, spec: ModelSpec) -> Result<NamedModel, ServiceError> {
        caller.require_admin()?;
        let model = spec.check(ModelDefaults::default())?;
        let (this, actor) = (self.clone(), Actor::from(caller));
        let act = async move {
            this.store.add(model.clone()).await.map_err(|error| model_error(error, &model.name))?;
            this.audit.record(AuditAction::ModelAdded, actor, format!("model:{}", model.name), "").await;
            Ok(model)
        };
        let model = self.audit.see_through(act).await?;
        tracing::info!(admin_id = %caller.user.id, model = %model.name, llm = %model.llm, "model added");
        Ok(model)
    }

    /// Replaces a model; defaults that are not named stay. Generations that run on what stood behind the name before end there.
    pub async fn replace(&self, caller: &Caller, name: String, spec: ModelSpec) -> Result<NamedModel, ServiceError> {
        caller.require_admin()?;
        let name = model_name(name)?;
        let kept = self.store.get(&name).await.map_err(|error| model_error(error, &name))?;
        let model = spec.check(kept.defaults)?;
        if name == self.default_name && model.name != name {
            return Err(ServiceError::DefaultModel);
        }
        let (this, actor) = (self.clone(), Actor::from(caller));
        let act = async move {
            this.store.replace(&name, model.clone()).await.map_err(|error| match error {
                StoreError::Conflict { .. } => model_error(error, &model.name),
                other => model_error(other, &name),
            })?;
            this.audit.record(AuditAction::ModelChanged, actor, format!("model:{}", model.name), "").await;
            Ok(model)
        };
        let model = self.audit.see_through(act).await?;
        tracing::info!(admin_id = %caller.user.id, model = %model.name, llm = %model.llm, "model changed");
        Ok(model)
    }

    /// Removes a model, and everybody's defaults for it. Texts that were made with it stay.
    pub async fn remove(&self, caller: &Caller, name: String) -> Result<(), ServiceError> {
        caller.require_admin()?;
        let name = model_name(name)?;
        if name == self.default_name {
            return Err(ServiceError::DefaultModel);
        }
        let (this, actor, admin_id) = (self.clone(), Actor::from(caller), caller.user.id);
        let act = async move {
            this.store.remove(&name).await.map_err(|error| model_error(error, &name))?;
            tracing::info!(%admin_id, model = %name, "model removed");
            this.audit.record(AuditAction::ModelRemoved, actor, format!("model:{name}"), "").await;
            Ok(())
        };
        self.audit.see_through(act).await
    }

    /// Makes sure, at the start, that the default model exists, and that `configured` stands behind it where the setting was given; its
    /// defaults, and what an admin put there where the setting is silent, stay.
    pub async fn ensure_default(&self, configured: Option<LlmId>, fallback: LlmId) -> Result<NamedModel, ServiceError> {
        let name = &self.default_name;
        let kept = match self.store.get(name).await {
            Ok(model) => model,
            Err(StoreError::NotFound) => {
                let llm = configured.clone().unwrap_or(fallback);
                let model = NamedModel { name: name.clone(), llm, defaults: ModelDefaults::default() };
                match self.store.add(model).await {
                    // Another replica, starting at the same time, was first.
                    Ok(()) | Err(StoreError::Conflict { .. }) => {}
                    Err(error) => return Err(ServiceError::Store(error)),
                }
                self.store.get(name).await.map_err(|error| model_error(error, name))?
            }
            Err(error) => return Err(ServiceError::Store(error)),
        };
        let Some(llm) = configured.filter(|llm| *llm != kept.llm) else { return Ok(kept) };
        let changed = NamedModel { llm, ..kept };
        self.store.replace(name, changed.clone()).await.map_err(|error| model_error(error, name))?;
        Ok(changed)
    }
}
