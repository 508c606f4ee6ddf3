//! Where named models, and users' defaults for them, are kept.

use async_trait::async_trait;
use domain::{ModelDefaults, ModelName, NamedModel, UserId};

use crate::StoreError;

/// A model with the defaults that apply for one user: their own, or the model's where they have none.
pub type UserModelDefaults = NamedModel;

/// Keeps named models. There are few (an admin adds each), so lists are whole, sorted by name.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ModelStore: Send + Sync {
    /// All models with their own defaults.
    async fn list(&self) -> Result<Vec<NamedModel>, StoreError>;

    /// One model with its own defaults.
    async fn get(&self, name: &ModelName) -> Result<NamedModel, StoreError>;

    /// Adds a model. Fails with `Conflict {field: "name"}`.
    async fn add(&self, model: NamedModel) -> Result<(), StoreError>;

    /// Replaces the model of this name with another, whose name may differ. Users' own defaults stay with it. Fails with `NotFound`, or
    /// with `Conflict {field: "name"}` where the new name is taken.
    async fn replace(&self, name: &ModelName, model: NamedModel) -> Result<(), StoreError>;

    /// Removes a model and all users' defaults for it.
    async fn remove(&self, name: &ModelName) -> Result<(), StoreError>;

    /// All models with the defaults that apply for this user.
    async fn list_for(&self, user_id: UserId) -> Result<Vec<UserModelDefaults>, StoreError>;

    /// One model with the defaults that apply for this user.
    async fn get_for(&self, user_id: UserId, name: &ModelName) -> Result<UserModelDefaults, StoreError>;

    /// Sets one user's own defaults for a model; `NotFound` if the model or the user is gone.
    async fn set_defaults(&self, user_id: UserId, name: &ModelName, defaults: ModelDefaults) -> Result<(), StoreError>;
}
