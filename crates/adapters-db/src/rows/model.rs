//! Rows of `models` and `user_model_defaults`.

use diesel::{AsChangeset, Insertable, Queryable, Selectable};
use domain::{LlmId, ModelDefaults, ModelName, NamedModel, UserId};
use ports::StoreError;

use super::refused;
use crate::schema::{models, user_model_defaults};

const TABLE: &str = "models";

/// A named model as it is kept.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = models)]
pub(crate) struct ModelRow {
    name: String,
    llm: String,
    max_length: i64,
    temperature: f64,
    top_p: f64,
}

impl From<NamedModel> for ModelRow {
    fn from(model: NamedModel) -> Self {
        let DefaultsRow { max_length, temperature, top_p } = model.defaults.into();
        Self { name: model.name.as_str().to_owned(), llm: model.llm.to_string(), max_length, temperature, top_p }
    }
}

impl TryFrom<ModelRow> for NamedModel {
    type Error = StoreError;

    fn try_from(row: ModelRow) -> Result<Self, StoreError> {
        Ok(Self {
            name: ModelName::new(row.name).map_err(refused(TABLE))?,
            llm: LlmId::parse(&row.llm).map_err(refused(TABLE))?,
            defaults: ModelDefaults::new(row.max_length, row.temperature, row.top_p).map_err(refused(TABLE))?,
        })
    }
}

/// A set of defaults, as both tables keep it.
#[derive(Queryable, Selectable, AsChangeset, Clone, Copy)]
#[diesel(table_name = user_model_defaults)]
pub(crate) struct DefaultsRow {
    max_length: i64,
    temperature: f64,
    top_p: f64,
}

impl From<ModelDefaults> for DefaultsRow {
    fn from(defaults: ModelDefaults) -> Self {
        Self { max_length: i64::from(defaults.max_length), temperature: defaults.temperature, top_p: defaults.top_p }
    }
}

impl TryFrom<DefaultsRow> for ModelDefaults {
    type Error = StoreError;

    fn try_from(row: DefaultsRow) -> Result<Self, StoreError> {
        Self::new(row.max_length, row.temperature, row.top_p).map_err(refused("user_model_defaults"))
    }
}

/// One user's own defaults for a model, as they are kept.
#[derive(Insertable)]
#[diesel(table_name = user_model_defaults)]
pub(crate) struct UserModelDefaultsRow {
    user_id: String,
    model_name: String,
    max_length: i64,
    temperature: f64,
    top_p: f64,
}

impl UserModelDefaultsRow {
    /// The row for this user and model.
    pub(crate) fn new(user_id: UserId, model: &ModelName, defaults: ModelDefaults) -> Self {
        let DefaultsRow { max_length, temperature, top_p } = defaults.into();
        Self { user_id: user_id.to_string(), model_name: model.as_str().to_owned(), max_length, temperature, top_p }
    }
}
