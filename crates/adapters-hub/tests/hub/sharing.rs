//! Two fetches at once, other tools' caches, and removing.

use std::fs;
use std::time::Duration;

use futures_util::StreamExt;
use ports::{ModelRepository, RepositoryError};
use test_support::HubFault;

use crate::support::{World, at, model, pull, weights};

const NAME: &str = "org/name";
const WEIGHTS: &str = "model.safetensors";

#[tokio::test]
async fn two_fetches_of_one_model_share_the_work_in_one_process_and_in_two() {
    let world = World::new();
    world.publish(NAME, &weights(2 << 20));
    let (other, name) = (world.another(), model(NAME));
    let (first, second, third) = tokio::join!(world.pull(&name), world.pull(&name), pull(&other, &name));
    assert_eq!((first.as_ref(), second.as_ref()), (second.as_ref(), third.as_ref()));
    assert!(first.is_ok());
    assert_eq!(world.hub.fetches_of(WEIGHTS).len(), 1);
}

#[tokio::test]
async fn who_waits_takes_over_when_the_first_gives_up() {
    let world = World::new();
    world.publish(NAME, &weights(2 << 20));
    world.hub.fail(WEIGHTS, [HubFault::StallAfter(1 << 20)]);
    let mut first = world.repository.pull(&model(NAME)).await.unwrap();
    while world.hub.fetches_of(WEIGHTS).is_empty() {
        tokio::time::timeout(Duration::from_millis(10), first.next()).await.ok();
    }
    let (second, third) = (world.another(), model(NAME));
    let waiting = tokio::spawn(async move { pull(&second, &third).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished());
    drop(first);
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_model_that_another_tool_left_in_either_folder_is_used_as_it_is() {
    for place in ["hub", "."] {
        let world = World::new();
        let commit = world.publish(NAME, &weights(5000));
        let folder = world.home.path().join(place).join("models--org--name");
        let snapshot = folder.join("snapshots").join(&commit);
        fs::create_dir_all(&snapshot).unwrap();
        fs::create_dir_all(folder.join("refs")).unwrap();
        for (name, content) in [("config.json", "{}"), ("tokenizer.json", "{}"), (WEIGHTS, "x")] {
            fs::write(snapshot.join(name), content).unwrap();
        }
        fs::write(folder.join("refs/main"), &commit).unwrap();
        assert!(world.repository.find(&model(NAME)).is_some(), "{place}");
        assert_eq!(world.repository.list().await.unwrap().len(), 1);
        world.pull(&model(NAME)).await.unwrap();
        assert!(world.hub.fetches_of(WEIGHTS).is_empty(), "{place}");
        world.repository.remove(&model(NAME)).await.unwrap();
        assert!(!folder.exists(), "{place}");
    }
}

#[tokio::test]
async fn removing_a_revision_keeps_what_others_use() {
    let world = World::new();
    let old = world.publish(NAME, &weights(5000));
    world.pull(&at(NAME, &old)).await.unwrap();
    world.publish(NAME, &weights(6000));
    world.pull(&model(NAME)).await.unwrap();
    let blobs = || fs::read_dir(world.folder(NAME).join("blobs")).unwrap().count();
    assert_eq!(blobs(), 4, "the configuration and the tokenizer are the same file in both");
    world.repository.remove(&model(NAME)).await.unwrap();
    assert_eq!(blobs(), 3);
    let listed = world.repository.list().await.unwrap();
    assert_eq!(listed.iter().map(|stored| stored.model.clone()).collect::<Vec<_>>(), [at(NAME, &old)]);
    assert!(fs::read(listed[0].folder.join(WEIGHTS)).is_ok());
    world.repository.remove(&at(NAME, &old)).await.unwrap();
    assert!(!world.folder(NAME).exists());
}

#[tokio::test]
async fn a_commit_that_is_removed_by_its_name_goes_with_the_revisions_that_mean_it() {
    let world = World::new();
    let commit = world.publish(NAME, &weights(5000));
    world.pull(&model(NAME)).await.unwrap();
    world.repository.remove(&at(NAME, &commit)).await.unwrap();
    assert!(world.repository.find(&model(NAME)).is_none() && !world.folder(NAME).exists());
}

#[tokio::test]
async fn what_a_broken_fetch_left_can_be_removed() {
    let world = World::new();
    world.publish(NAME, &weights(5000));
    world.hub.fail(WEIGHTS, [0; 4].map(HubFault::BreakAfter));
    assert!(matches!(world.pull(&model(NAME)).await, Err(RepositoryError::Unreachable(_))));
    world.repository.remove(&model(NAME)).await.unwrap();
    assert!(!world.folder(NAME).exists());
    assert!(matches!(world.repository.remove(&model(NAME)).await, Err(RepositoryError::NotFound(_))));
}

#[tokio::test]
async fn a_reference_that_leads_out_of_the_cache_is_not_followed() {
    let world = World::new();
    let folder = world.folder(NAME);
    fs::create_dir_all(folder.join("refs")).unwrap();
    fs::write(folder.join("refs/main"), "../../../../elsewhere").unwrap();
    assert!(world.repository.find(&model(NAME)).is_none());
    for hostile in [model("../../x"), at(NAME, "../../x"), model("org--name")] {
        assert!(world.repository.find(&hostile).is_none());
        assert!(world.repository.remove(&hostile).await.is_err());
    }
    assert!(folder.exists());
}
