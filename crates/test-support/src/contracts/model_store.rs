//! The stories of [`ports::ModelStore`].

use domain::{LlmId, ModelDefaults, ModelName, NamedModel};
use ports::StoreError;

use super::{Stores, error_of};
use crate::builders::{a_model, a_user_id};

fn defaults(max_length: i64, temperature: f64, top_p: f64) -> ModelDefaults {
    ModelDefaults::new(max_length, temperature, top_p).unwrap()
}

fn name(name: &str) -> ModelName {
    ModelName::new(name).unwrap()
}

async fn with_models(stores: &Stores, names: &[&str]) {
    for name in names {
        stores.models.add(a_model(name)).await.unwrap();
    }
}

/// Also where it stands on a folder or another's server.
pub async fn a_model_comes_back_as_it_was_added(stores: &Stores) {
    for llm in ["bundled:fairy-tales", "gpt2", "hf:org/name@v1", "file:/ñ/a b", "openai:gpt-4o", "ollama:llama3.1:8b"] {
        let model = NamedModel {
            name: name(&llm.replace(['@', ' ', 'ñ'], "-")),
            llm: LlmId::parse(llm).unwrap(),
            defaults: defaults(1_048_576, 0.1 + 0.2, 1.0 / 3.0),
        };
        stores.models.add(model.clone()).await.unwrap();
        assert_eq!(stores.models.get(&model.name).await.unwrap(), model);
    }
}

/// It is an error, not an absence.
pub async fn a_model_that_is_not_there_is_not_found(stores: &Stores) {
    let nowhere = name("nowhere");
    let user = stores.add_a_user().await;
    assert_eq!(error_of(stores.models.get(&nowhere).await), StoreError::NotFound);
    assert_eq!(error_of(stores.models.get_for(user.id, &nowhere).await), StoreError::NotFound);
    assert_eq!(error_of(stores.models.remove(&nowhere).await), StoreError::NotFound);
    assert_eq!(error_of(stores.models.replace(&nowhere, a_model("elsewhere")).await), StoreError::NotFound);
    assert_eq!(stores.models.list().await.unwrap(), []);
}

/// Byte by byte, whatever the machine's language.
pub async fn models_are_listed_by_name(stores: &Stores) {
    with_models(stores, &["b", "a-b", "ab", "B", "a/b", "a"]).await;
    let expected = ["B", "a", "a-b", "a/b", "ab", "b"].map(a_model);
    assert_eq!(stores.models.list().await.unwrap(), expected);
    assert_eq!(stores.models.list_for(a_user_id()).await.unwrap(), expected);
}

/// And the first stays as it is.
pub async fn a_taken_name_is_a_conflict_when_a_model_is_added(stores: &Stores) {
    with_models(stores, &["a"]).await;
    let second = NamedModel { llm: LlmId::parse("gpt2").unwrap(), ..a_model("a") };
    assert_eq!(error_of(stores.models.add(second).await), StoreError::Conflict { field: "name" });
    assert_eq!(stores.models.list().await.unwrap(), [a_model("a")]);
}

/// And neither model changes.
pub async fn a_taken_name_is_a_conflict_when_a_model_is_renamed(stores: &Stores) {
    with_models(stores, &["a", "b"]).await;
    assert_eq!(error_of(stores.models.replace(&name("a"), a_model("b")).await), StoreError::Conflict { field: "name" });
    assert_eq!(stores.models.list().await.unwrap(), [a_model("a"), a_model("b")]);
}

/// Whole, under the same name or another.
pub async fn a_model_is_replaced(stores: &Stores) {
    with_models(stores, &["a"]).await;
    let same_name = NamedModel { llm: LlmId::parse("gpt2").unwrap(), defaults: defaults(1, 0.0, 0.0), ..a_model("a") };
    stores.models.replace(&name("a"), same_name.clone()).await.unwrap();
    assert_eq!(stores.models.list().await.unwrap().first(), Some(&same_name));
    let renamed = NamedModel { name: name("b"), ..same_name };
    stores.models.replace(&name("a"), renamed.clone()).await.unwrap();
    assert_eq!(stores.models.list().await.unwrap(), [renamed]);
}

/// And nobody else's.
pub async fn a_users_defaults_are_their_own(stores: &Stores) {
    with_models(stores, &["a", "b"]).await;
    let (user, other) = (stores.add_a_user().await, stores.add_a_user().await);
    let own = defaults(77, 1.5, 0.25);
    stores.models.set_defaults(user.id, &name("a"), own).await.unwrap();

    let with_own = NamedModel { defaults: own, ..a_model("a") };
    assert_eq!(stores.models.get_for(user.id, &name("a")).await.unwrap(), with_own);
    assert_eq!(stores.models.list_for(user.id).await.unwrap(), [with_own, a_model("b")]);
    assert_eq!(stores.models.get_for(other.id, &name("a")).await.unwrap(), a_model("a"));
    assert_eq!(stores.models.list_for(other.id).await.unwrap(), [a_model("a"), a_model("b")]);
    assert_eq!(stores.models.list().await.unwrap(), [a_model("a"), a_model("b")], "the model's own are as they were");
}

/// Not added beside.
pub async fn defaults_set_again_take_the_place_of_the_first(stores: &Stores) {
    with_models(stores, &["a"]).await;
    let user = stores.add_a_user().await;
    stores.models.set_defaults(user.id, &name("a"), defaults(10, 0.5, 0.5)).await.unwrap();
    let second = defaults(20, 2.0, 1.0);
    stores.models.set_defaults(user.id, &name("a"), second).await.unwrap();
    assert_eq!(stores.models.list_for(user.id).await.unwrap(), [NamedModel { defaults: second, ..a_model("a") }]);
}

/// One of them stays, and none fails.
pub async fn defaults_set_at_once_do_not_collide(stores: &Stores) {
    with_models(stores, &["a"]).await;
    let user = stores.add_a_user().await;
    let setting: Vec<_> = (1..=8)
        .map(|n| {
            let models = stores.models.clone();
            tokio::spawn(async move { models.set_defaults(user.id, &name("a"), defaults(n, 1.0, 1.0)).await })
        })
        .collect();
    for set in setting {
        set.await.unwrap().unwrap();
    }
    let kept = stores.models.get_for(user.id, &name("a")).await.unwrap().defaults;
    assert!((1..=8).contains(&kept.max_length));
}

/// Either may be gone.
pub async fn defaults_without_their_model_or_user_are_not_kept(stores: &Stores) {
    with_models(stores, &["a"]).await;
    let user = stores.add_a_user().await;
    let own = ModelDefaults::default();
    assert_eq!(error_of(stores.models.set_defaults(user.id, &name("b"), own).await), StoreError::NotFound);
    assert_eq!(error_of(stores.models.set_defaults(a_user_id(), &name("a"), own).await), StoreError::NotFound);
}

/// What a user set, they set for the model they know, whatever it is called next.
pub async fn users_defaults_stay_with_a_model_that_is_replaced_or_renamed(stores: &Stores) {
    with_models(stores, &["a"]).await;
    let user = stores.add_a_user().await;
    let own = defaults(77, 1.5, 0.25);
    stores.models.set_defaults(user.id, &name("a"), own).await.unwrap();
    stores.models.replace(&name("a"), NamedModel { defaults: defaults(5, 1.0, 1.0), ..a_model("a") }).await.unwrap();
    assert_eq!(stores.models.get_for(user.id, &name("a")).await.unwrap().defaults, own);
    stores.models.replace(&name("a"), a_model("b")).await.unwrap();
    assert_eq!(stores.models.get_for(user.id, &name("b")).await.unwrap().defaults, own);
}

/// A model of the same name that comes later is another one.
pub async fn a_removed_model_takes_users_defaults_with_it(stores: &Stores) {
    with_models(stores, &["a", "b"]).await;
    let user = stores.add_a_user().await;
    let own = defaults(77, 1.5, 0.25);
    for model in ["a", "b"] {
        stores.models.set_defaults(user.id, &name(model), own).await.unwrap();
    }
    stores.models.remove(&name("a")).await.unwrap();
    assert_eq!(error_of(stores.models.get(&name("a")).await), StoreError::NotFound);
    with_models(stores, &["a"]).await;
    assert_eq!(stores.models.get_for(user.id, &name("a")).await.unwrap(), a_model("a"));
    assert_eq!(stores.models.get_for(user.id, &name("b")).await.unwrap().defaults, own);
}

/// Makes a test of every story, of what `$make` gives.
#[macro_export]
macro_rules! model_store_contract {
    ($make:path) => {
        $crate::stories! {
            $make, model_store,
            a_model_comes_back_as_it_was_added,
            a_model_that_is_not_there_is_not_found,
            models_are_listed_by_name,
            a_taken_name_is_a_conflict_when_a_model_is_added,
            a_taken_name_is_a_conflict_when_a_model_is_renamed,
            a_model_is_replaced,
            a_users_defaults_are_their_own,
            defaults_set_again_take_the_place_of_the_first,
            defaults_set_at_once_do_not_collide,
            defaults_without_their_model_or_user_are_not_kept,
            users_defaults_stay_with_a_model_that_is_replaced_or_renamed,
            a_removed_model_takes_users_defaults_with_it,
        }
    };
}
