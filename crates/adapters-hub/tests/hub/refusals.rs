//! Models that are not there, not for everybody, or cannot run here, and names that lead elsewhere.

use std::fs;

use ports::{ModelRepository, RepositoryError};
use rstest::rstest;

use crate::support::{CONFIG, TOKENIZER, World, at, model, weights};

const NAME: &str = "org/name";

#[tokio::test]
async fn a_model_that_is_not_there_says_what_to_do() {
    let world = World::new();
    let error = world.pull(&model("org/typo")).await.unwrap_err();
    let RepositoryError::NotFound(told) = &error else { panic!("{error}") };
    assert!(told.contains("org/typo") && told.contains("check the name") && told.contains("HF_TOKEN"), "{told}");
    world.publish(NAME, &weights(10));
    let error = world.pull(&at(NAME, "v9")).await.unwrap_err();
    assert!(matches!(&error, RepositoryError::NotFound(told) if told.contains("no revision v9")), "{error}");
    assert_eq!(fs::read_dir(world.folder(NAME)).map_or(0, Iterator::count), 0, "nothing is written");
}

#[tokio::test]
async fn a_private_model_opens_for_its_token_and_the_token_goes_to_no_other_host() {
    let world = World::with(|config| config.token = Some("hf_secret".to_owned().into()));
    world.publish(NAME, &weights(5000));
    world.hub.make_private(NAME, "hf_secret");
    world.pull(&model(NAME)).await.unwrap();
    for request in world.hub.requests() {
        assert_eq!(request.authorization.is_none(), request.to_second_host, "{request:?}");
    }
    assert!(world.hub.requests().iter().any(|request| request.to_second_host));
}

#[tokio::test]
async fn a_private_model_without_its_token_is_not_found_and_no_token_is_told() {
    for token in [None, Some("hf_wrong")] {
        let world = World::with(|config| config.token = token.map(|token| token.to_owned().into()));
        world.publish(NAME, &weights(10));
        world.hub.make_private(NAME, "hf_secret");
        let error = world.pull(&model(NAME)).await.unwrap_err();
        let RepositoryError::NotFound(told) = &error else { panic!("{error}") };
        let state = if token.is_some() { "HF_TOKEN does not open it" } else { "HF_TOKEN is not set" };
        assert!(told.contains("private") && told.contains(state) && !told.contains("hf_"), "{told}");
        world.hub.say_that_private_models_are_gated();
        let told = world.pull(&model(NAME)).await.unwrap_err().to_string();
        assert!(told.contains("accept its licence") && told.contains(NAME), "{told}");
    }
}

#[test]
fn a_token_that_no_header_may_hold_is_refused_without_being_told() {
    let world = World::new();
    let config = adapters_hub::HubConfig {
        endpoint: world.hub.url().parse().unwrap(),
        home: world.home.path().to_owned(),
        token: Some("hf_secret\n".to_owned().into()),
        max_model_bytes: 1,
        connect_timeout: std::time::Duration::from_secs(1),
        idle_timeout: std::time::Duration::from_secs(1),
        retries: adapters_hub::Retries::default(),
        check_config: std::sync::Arc::new(|_| Ok(())),
    };
    let error = adapters_hub::HubRepository::new(&config).map(drop).unwrap_err();
    assert!(error.contains("token") && !error.contains("hf_secret"), "{error}");
}

#[tokio::test]
async fn an_architecture_that_cannot_run_is_refused_before_any_weight_is_asked_for() {
    let world = World::new();
    let files: [(&str, &[u8]); 3] =
        [("config.json", br#"{"model_type": "bert"}"#), ("tokenizer.json", TOKENIZER), ("model.safetensors", b"weights")];
    world.hub.publish(NAME, &files);
    let error = world.pull(&model(NAME)).await.unwrap_err();
    assert!(matches!(&error, RepositoryError::Unsupported(told) if told.contains("bert") && told.contains(NAME)), "{error}");
    assert!(!world.hub.requests().iter().any(|request| request.path.contains("safetensors")), "{:?}", world.hub.requests());
    assert!(world.repository.find(&model(NAME)).is_none());
}

#[rstest]
#[case(&["config.json", "tokenizer.json", "pytorch_model.bin"], "a pickle (pytorch_model.bin)")]
#[case(&["config.json", "tokenizer.json", "model.gguf"], "neither model.safetensors nor")]
#[case(&["config.json", "vocab.json", "model.safetensors"], "no tokenizer.json")]
#[case(&["model.safetensors"], "no config.json")]
#[tokio::test]
async fn what_the_engine_cannot_read_is_refused_by_its_name(#[case] names: &[&str], #[case] problem: &str) {
    let world = World::new();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (*name, CONFIG)).collect();
    world.hub.publish(NAME, &files);
    let error = world.pull(&model(NAME)).await.unwrap_err();
    assert!(matches!(&error, RepositoryError::Unsupported(told) if told.contains(problem) && told.contains(NAME)), "{error}");
    assert!(world.hub.fetches_of("pytorch_model.bin").is_empty() && world.hub.fetches_of("model.safetensors").is_empty());
}

#[tokio::test]
async fn a_model_beyond_the_limit_is_refused_before_its_weights_are_asked_for() {
    let world = World::with(|config| config.max_model_bytes = 4000);
    world.publish(NAME, &weights(5000));
    let error = world.pull(&model(NAME)).await.unwrap_err();
    assert!(matches!(&error, RepositoryError::Unsupported(told) if told.contains("HF_MAX_MODEL_BYTES allows 4000")), "{error}");
    assert!(world.hub.fetches_of("model.safetensors").is_empty());
}

#[rstest]
#[case("../escaped.json")]
#[case("/etc/escaped.json")]
#[case("a/../../escaped.json")]
#[case("..\\escaped.json")]
#[tokio::test]
async fn a_list_with_a_hostile_name_is_refused_whole(#[case] name: &str) {
    let world = World::new();
    let files = [("config.json", CONFIG), ("tokenizer.json", TOKENIZER), ("model.safetensors", b"x"), (name, b"evil")];
    world.hub.publish(NAME, &files);
    let error = world.pull(&model(NAME)).await.unwrap_err();
    assert!(matches!(&error, RepositoryError::Corrupt(told) if told.contains("escaped.json")), "{error}");
    assert!(!world.hub.requests().iter().any(|request| request.path.contains("/resolve/")), "nothing is fetched");
}

#[rstest]
#[case("../model.safetensors")]
#[case("sub/model.safetensors")]
#[case("/etc/model.safetensors")]
#[case("absent.safetensors")]
#[case("pytorch_model.bin")]
#[tokio::test]
async fn an_index_that_leads_elsewhere_is_refused(#[case] name: &str) {
    let world = World::new();
    let index = format!(r#"{{"weight_map": {{"a": "{name}"}}}}"#);
    let files = [
        ("config.json", CONFIG),
        ("tokenizer.json", TOKENIZER),
        ("model.safetensors.index.json", index.as_bytes()),
        ("sub/model.safetensors", b"x"),
        ("pytorch_model.bin", b"x"),
    ];
    world.hub.publish(NAME, &files);
    let error = world.pull(&model(NAME)).await.unwrap_err();
    assert!(matches!(&error, RepositoryError::Corrupt(told) if told.contains("index.json")), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_that_may_not_be_written_is_named_with_what_to_do() {
    let world = World::new();
    world.publish(NAME, &weights(10));
    // A file where a folder should be refuses also who may write everywhere.
    fs::write(world.home.path().join("hub"), "").unwrap();
    let error = world.pull(&model(NAME)).await.unwrap_err();
    assert!(matches!(&error, RepositoryError::Storage(told) if told.contains(&*world.home.path().to_string_lossy())), "{error}");
}
