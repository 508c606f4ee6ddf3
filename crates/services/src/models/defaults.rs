//! A user's own defaults for a model.

use domain::{ModelDefaults, NamedModel};

use super::{ModelService, ModelView, model_error, model_name};
use crate::{Caller, ServiceError};

/// New defaults of the caller's own.
#[derive(Debug, Clone, PartialEq)]
pub struct DefaultsChange {
    /// Which model; the default one if absent.
    pub name: Option<String>,
    /// See [`ModelDefaults::max_length`].
    pub max_length: i64,
    /// See [`ModelDefaults::temperature`].
    pub temperature: f64,
    /// See [`ModelDefaults::top_p`].
    pub top_p: f64,
}

impl ModelService {
    /// All models, with the defaults that apply for the caller.
    pub async fn list(&self, caller: &Caller) -> Result<Vec<ModelView>, ServiceError> {
        let models = self.store.list_for(caller.user.id).await.map_err(ServiceError::Store)?;
        Ok(models.into_iter().map(|model| self.view(model)).collect())
    }

    /// Sets the caller's own defaults for a model. Nobody else's change.
    pub async fn set_defaults(&self, caller: &Caller, change: DefaultsChange) -> Result<NamedModel, ServiceError> {
        let defaults = ModelDefaults::new(change.max_length, change.temperature, change.top_p)?;
        let name = change.name.map_or_else(|| Ok(self.default_name.clone()), model_name)?;
        let model = self.store.get(&name).await.map_err(|error| model_error(error, &name))?;
        self.store.set_defaults(caller.user.id, &name, defaults).await.map_err(|error| model_error(error, &name))?;
        Ok(NamedModel { defaults, ..model })
    }
}
