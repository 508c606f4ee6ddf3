//! Named models in memory.

use async_trait::async_trait;
use domain::{ModelDefaults, ModelName, NamedModel, UserId};
use ports::{ModelStore, StoreError, UserModelDefaults};

use super::{FakeDatabase, Tables};

impl Tables {
    fn with_defaults_of(&self, user_id: UserId, model: &NamedModel) -> UserModelDefaults {
        let own = self.user_model_defaults.get(&(user_id, model.name.clone()));
        NamedModel { defaults: own.copied().unwrap_or(model.defaults), ..model.clone() }
    }
}

#[async_trait]
impl ModelStore for FakeDatabase {
    async fn list(&self) -> Result<Vec<NamedModel>, StoreError> {
        Ok(self.tables()?.models.values().cloned().collect())
    }

    async fn get(&self, name: &ModelName) -> Result<NamedModel, StoreError> {
        self.tables()?.models.get(name).cloned().ok_or(StoreError::NotFound)
    }

    async fn add(&self, model: NamedModel) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        if tables.models.contains_key(&model.name) {
            return Err(StoreError::Conflict { field: "name" });
        }
        tables.models.insert(model.name.clone(), model);
        Ok(())
    }

    async fn replace(&self, name: &ModelName, model: NamedModel) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        if !tables.models.contains_key(name) {
            return Err(StoreError::NotFound);
        }
        if model.name != *name && tables.models.contains_key(&model.name) {
            return Err(StoreError::Conflict { field: "name" });
        }
        tables.models.remove(name);
        let renamed = |(user_id, old): (UserId, ModelName)| (user_id, if old == *name { model.name.clone() } else { old });
        let kept = std::mem::take(&mut tables.user_model_defaults);
        tables.user_model_defaults = kept.into_iter().map(|(key, defaults)| (renamed(key), defaults)).collect();
        tables.models.insert(model.name.clone(), model);
        Ok(())
    }

    async fn remove(&self, name: &ModelName) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        tables.models.remove(name).ok_or(StoreError::NotFound)?;
        tables.user_model_defaults.retain(|(_, model), _| model != name);
        Ok(())
    }

    async fn list_for(&self, user_id: UserId) -> Result<Vec<UserModelDefaults>, StoreError> {
        let tables = self.tables()?;
        Ok(tables.models.values().map(|model| tables.with_defaults_of(user_id, model)).collect())
    }

    async fn get_for(&self, user_id: UserId, name: &ModelName) -> Result<UserModelDefaults, StoreError> {
        let tables = self.tables()?;
        tables.models.get(name).map(|model| tables.with_defaults_of(user_id, model)).ok_or(StoreError::NotFound)
    }

    async fn set_defaults(&self, user_id: UserId, name: &ModelName, defaults: ModelDefaults) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        if !tables.users.contains_key(&user_id) || !tables.models.contains_key(name) {
            return Err(StoreError::NotFound);
        }
        tables.user_model_defaults.insert((user_id, name.clone()), defaults);
        Ok(())
    }
}
