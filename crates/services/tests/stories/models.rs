//! Named models and everybody's own defaults for them.

use domain::{LlmId, ModelDefaults};
use services::{DefaultsChange, ModelSpec, ServiceError};

use crate::support::{Server, prompt};

fn spec(name: &str, llm: &str) -> ModelSpec {
    ModelSpec { name: name.into(), llm: llm.into(), max_length: None, temperature: None, top_p: None }
}

#[tokio::test]
async fn one_users_defaults_never_touch_anothers() {
    let server = Server::start().await;
    let (ana, bob) = (server.newcomer("ana").await, server.newcomer("bob").await);
    let change = DefaultsChange { name: None, max_length: 33, temperature: 0.0, top_p: 1.0 };
    server.models.set_defaults(&ana, change).await.unwrap();

    let text = server.texts.generate(&ana, prompt("Once upon")).await.unwrap();
    assert_eq!(text.parameters.length, domain::LengthLimit::Total(33));
    assert_eq!((text.parameters.temperature, text.parameters.top_p), (0.0, 1.0));
    let views = server.models.list(&bob).await.unwrap();
    assert_eq!(views[0].model.defaults, ModelDefaults::default());
    assert!(views[0].default);
}

#[tokio::test]
async fn defaults_out_of_range_and_for_unknown_models_are_refused() {
    let server = Server::start().await;
    let ana = server.newcomer("ana").await;
    let good = DefaultsChange { name: None, max_length: 33, temperature: 0.0, top_p: 1.0 };
    for bad in [
        DefaultsChange { max_length: 0, ..good.clone() },
        DefaultsChange { temperature: 2.5, ..good.clone() },
        DefaultsChange { top_p: -0.1, ..good.clone() },
    ] {
        assert!(matches!(server.models.set_defaults(&ana, bad).await, Err(ServiceError::Refused(_))));
    }
    for unknown in ["absent", "no name at all"] {
        let change = DefaultsChange { name: Some(unknown.into()), ..good.clone() };
        let error = server.models.set_defaults(&ana, change).await.unwrap_err();
        assert_eq!(error, ServiceError::ModelNotFound { name: unknown.into() });
    }
}

#[tokio::test]
async fn only_an_admin_adds_changes_and_removes_models() {
    let server = Server::start().await;
    let (admin, ana) = (server.newcomer("admin").await, server.newcomer("ana").await);
    let other = "openai:gpt-x";
    assert_eq!(server.models.add(&ana, spec("big", other)).await, Err(ServiceError::Forbidden));
    server.models.add(&admin, spec("big", other)).await.unwrap();
    assert_eq!(server.models.add(&admin, spec("big", other)).await, Err(ServiceError::ModelNameTaken { name: "big".into() }));
    assert_eq!(server.models.replace(&ana, "big".into(), spec("big", other)).await, Err(ServiceError::Forbidden));
    server.models.replace(&admin, "big".into(), spec("bigger", "ollama:llama3.1:8b")).await.unwrap();
    assert_eq!(server.models.remove(&ana, "bigger".into()).await, Err(ServiceError::Forbidden));
    server.models.remove(&admin, "bigger".into()).await.unwrap();
    assert_eq!(server.models.remove(&admin, "bigger".into()).await, Err(ServiceError::ModelNotFound { name: "bigger".into() }));
}

#[tokio::test]
async fn the_default_model_can_be_changed_but_not_renamed_or_removed() {
    let server = Server::start().await;
    let admin = server.newcomer("admin").await;
    let renamed = spec("other", "bundled:fairy-tales");
    assert_eq!(server.models.replace(&admin, "default".into(), renamed).await, Err(ServiceError::DefaultModel));
    assert_eq!(server.models.remove(&admin, "default".into()).await, Err(ServiceError::DefaultModel));
    let changed = spec("default", "ollama:llama3.1:8b");
    assert_eq!(server.models.replace(&admin, "default".into(), changed).await.unwrap().llm.backend(), "ollama");
}

#[tokio::test]
async fn a_change_of_what_stands_behind_a_name_leaves_its_defaults() {
    let server = Server::start().await;
    let admin = server.newcomer("admin").await;
    let tuned = ModelSpec { max_length: Some(64), temperature: Some(0.1), ..spec("big", "openai:gpt-x") };
    let added = server.models.add(&admin, tuned).await.unwrap();
    assert!((added.defaults.top_p - domain::ModelDefaults::default().top_p).abs() < f64::EPSILON);
    let moved = server.models.replace(&admin, "big".into(), spec("big", "ollama:phi4")).await.unwrap();
    assert_eq!(moved.defaults, added.defaults);
    let sharper = ModelSpec { top_p: Some(0.5), ..spec("big", "ollama:phi4") };
    let changed = server.models.replace(&admin, "big".into(), sharper).await.unwrap();
    assert_eq!((changed.defaults.max_length, changed.defaults.top_p), (64, 0.5));
    let absent = server.models.replace(&admin, "absent".into(), spec("absent", "ollama:phi4")).await;
    assert_eq!(absent, Err(ServiceError::ModelNotFound { name: "absent".into() }));
}

#[tokio::test]
async fn a_setting_that_is_given_wins_at_the_start_and_a_silent_one_leaves_what_an_admin_chose() {
    let server = Server::start().await;
    let admin = server.newcomer("admin").await;
    let fallback = LlmId::parse("bundled:fairy-tales").unwrap();
    server.models.replace(&admin, "default".into(), spec("default", "ollama:mine")).await.unwrap();
    assert_eq!(server.models.ensure_default(None, fallback.clone()).await.unwrap().llm.to_string(), "ollama:mine");
    let configured = LlmId::parse("openai:theirs").unwrap();
    assert_eq!(server.models.ensure_default(Some(configured.clone()), fallback).await.unwrap().llm, configured);
}

#[tokio::test]
async fn a_model_that_cannot_be_opened_says_why() {
    let server = Server::start().await;
    let admin = server.newcomer("admin").await;
    server.models.add(&admin, spec("absent", "file:/nowhere")).await.unwrap();
    let mut request = prompt("Once upon");
    request.model = Some("absent".into());
    let error = server.texts.generate(&admin, request).await.unwrap_err();
    assert!(matches!(error, ServiceError::Generation(ports::GenerationError::ModelUnavailable(_))), "{error}");
}
