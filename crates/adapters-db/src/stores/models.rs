//! Named models, and users' defaults for them, in the database.

use async_trait::async_trait;
use diesel::dsl::{AsSelect, auto_type};
use diesel::prelude::*;
use diesel::{delete, insert_into, update};
use domain::{ModelDefaults, ModelName, NamedModel, UserId};
use ports::{ModelStore, StoreError, UserModelDefaults};

use crate::connection::MultiBackend;
use crate::rows::{DefaultsRow, ModelRow, UserModelDefaultsRow};
use crate::schema::{models, user_model_defaults};
use crate::{DbConnection, DbPool};

/// Keeps models in the tables `models` and `user_model_defaults`.
#[derive(Debug, Clone)]
pub struct DbModelStore {
    pool: DbPool,
}

impl DbModelStore {
    /// Keeps them in this pool's database.
    pub const fn new(pool: DbPool) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl ModelStore for DbModelStore {
    async fn list(&self) -> Result<Vec<NamedModel>, StoreError> {
        let all = |connection: &mut DbConnection| {
            Ok(models::table.order(models::name).select(ModelRow::as_select()).load::<ModelRow>(connection)?)
        };
        self.pool.read(all).await?.into_iter().map(NamedModel::try_from).collect()
    }

    async fn get(&self, name: &ModelName) -> Result<NamedModel, StoreError> {
        let name = name.as_str().to_owned();
        let one = move |connection: &mut DbConnection| {
            Ok(models::table.find(name).select(ModelRow::as_select()).first::<ModelRow>(connection)?)
        };
        self.pool.read(one).await?.try_into()
    }

    async fn add(&self, model: NamedModel) -> Result<(), StoreError> {
        self.pool
            .write(|connection| {
                insert_into(models::table).values(ModelRow::from(model)).execute(connection)?;
                Ok(())
            })
            .await
    }

    async fn replace(&self, name: &ModelName, model: NamedModel) -> Result<(), StoreError> {
        let name = name.as_str().to_owned();
        let changed = self
            .pool
            .write(move |connection| {
                // Users' defaults follow a new name by themselves: ON UPDATE CASCADE.
                let columns = (
                    models::name.eq(model.name.as_str().to_owned()),
                    models::llm.eq(model.llm.to_string()),
                    models::max_length.eq(i64::from(model.defaults.max_length)),
                    models::temperature.eq(model.defaults.temperature),
                    models::top_p.eq(model.defaults.top_p),
                );
                Ok(update(models::table.find(name)).set(columns).execute(connection)?)
            })
            .await?;
        if changed == 0 { Err(StoreError::NotFound) } else { Ok(()) }
    }

    async fn remove(&self, name: &ModelName) -> Result<(), StoreError> {
        let name = name.as_str().to_owned();
        let removed = self.pool.write(|connection| Ok(delete(models::table.find(name)).execute(connection)?)).await?;
        if removed == 0 { Err(StoreError::NotFound) } else { Ok(()) }
    }

    async fn list_for(&self, user_id: UserId) -> Result<Vec<UserModelDefaults>, StoreError> {
        let all = move |connection: &mut DbConnection| Ok(with_defaults_of(user_id.to_string()).load(connection)?);
        self.pool.read(all).await?.into_iter().map(with_own_defaults).collect()
    }

    async fn get_for(&self, user_id: UserId, name: &ModelName) -> Result<UserModelDefaults, StoreError> {
        let name = name.as_str().to_owned();
        let one = move |connection: &mut DbConnection| {
            Ok(with_defaults_of(user_id.to_string()).filter(models::name.eq(name)).first(connection)?)
        };
        with_own_defaults(self.pool.read(one).await?)
    }

    async fn set_defaults(&self, user_id: UserId, name: &ModelName, defaults: ModelDefaults) -> Result<(), StoreError> {
        let row = UserModelDefaultsRow::new(user_id, name, defaults);
        self.pool.write(move |connection| Ok(put(connection, &row, defaults.into())?)).await
    }
}

/// Every model beside this user's own defaults for it, where there are any; sorted by name.
#[auto_type(no_type_alias)]
fn with_defaults_of(user_id: String) -> _ {
    let own = user_model_defaults::model_name.eq(models::name).and(user_model_defaults::user_id.eq(user_id));
    let columns: (AsSelect<ModelRow, MultiBackend>, AsSelect<Option<DefaultsRow>, MultiBackend>) =
        (ModelRow::as_select(), Option::<DefaultsRow>::as_select());
    models::table.left_join(user_model_defaults::table.on(own)).order(models::name).select(columns)
}

fn with_own_defaults((model, own): (ModelRow, Option<DefaultsRow>)) -> Result<UserModelDefaults, StoreError> {
    let model = NamedModel::try_from(model)?;
    let defaults = own.map_or(Ok(model.defaults), ModelDefaults::try_from)?;
    Ok(NamedModel { defaults, ..model })
}

/// Adds a user's defaults or replaces them, in one statement: two requests of the same user at once must not collide. Both databases
/// know `ON CONFLICT`, but diesel writes it only for a connection whose kind it knows.
fn put(connection: &mut DbConnection, row: &UserModelDefaultsRow, defaults: DefaultsRow) -> QueryResult<()> {
    let key = (user_model_defaults::user_id, user_model_defaults::model_name);
    let insert = insert_into(user_model_defaults::table).values(row).on_conflict(key).do_update().set(defaults);
    match connection {
        DbConnection::Postgres(postgres) => insert.execute(postgres),
        DbConnection::Sqlite(sqlite) => insert.execute(sqlite),
    }
    .map(drop)
}
