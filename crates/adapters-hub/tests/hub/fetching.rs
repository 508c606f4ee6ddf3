//! What is asked for, breaks that are taken up, and bytes that are not what was announced.

use std::fs;

use futures_util::StreamExt;
use ports::{ModelRepository, PullEvent, RepositoryError};
use rstest::rstest;
use test_support::HubFault;

use crate::support::{CONFIG, TOKENIZER, World, at, model, weights};

const NAME: &str = "org/name";
const WEIGHTS: &str = "model.safetensors";

#[tokio::test]
async fn a_model_lies_in_the_hubs_own_layout_with_no_file_that_is_not_needed() {
    let world = World::new();
    let content = weights(5000);
    let commit = world.hub.publish(
        NAME,
        &[
            ("config.json", CONFIG),
            ("tokenizer.json", TOKENIZER),
            ("chat_template.jinja", b"{{ messages }}"),
            (WEIGHTS, &content),
            ("pytorch_model.bin", b"a pickle"),
            ("onnx/model.safetensors", b"another"),
            ("README.md", b"hello"),
        ],
    );
    let stored = world.pull(&model(NAME)).await.unwrap();
    assert_eq!((&stored.commit, stored.folder.clone()), (&commit, world.folder(NAME).join("snapshots").join(&commit)));
    assert_eq!(fs::read(stored.folder.join(WEIGHTS)).unwrap(), content);
    assert_eq!(fs::read_to_string(world.folder(NAME).join("refs/main")).unwrap(), commit);
    let mut names: Vec<_> = fs::read_dir(&stored.folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["chat_template.jinja", "config.json", WEIGHTS, "tokenizer.json"]);
    let link = fs::read_link(stored.folder.join(WEIGHTS)).unwrap();
    assert!(link.starts_with("../../blobs") && link.file_name().unwrap().len() == 64, "{}", link.display());
    assert_eq!(stored.bytes, u64::try_from(content.len() + CONFIG.len() + TOKENIZER.len() + 14).unwrap());
    assert_eq!(fs::read_dir(world.folder(NAME).join("blobs")).unwrap().count(), 4);
}

#[tokio::test]
async fn the_index_decides_which_of_several_files_are_fetched() {
    let world = World::new();
    let index = br#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors"}}"#;
    let files: [(&str, &[u8]); 6] = [
        ("config.json", CONFIG),
        ("tokenizer.json", TOKENIZER),
        ("model.safetensors.index.json", index),
        ("model-1.safetensors", b"one"),
        ("model-2.safetensors", b"two"),
        ("consolidated.safetensors", b"the same again"),
    ];
    world.hub.publish(NAME, &files);
    let stored = world.pull(&model(NAME)).await.unwrap();
    assert!(stored.folder.join("model-2.safetensors").is_file());
    assert!(world.hub.fetches_of("consolidated.safetensors").is_empty());
}

#[tokio::test]
async fn a_list_of_several_pages_is_read_to_its_end_and_never_on_another_host() {
    let world = World::new();
    world.publish(NAME, &weights(100));
    world.hub.list_in_pages_of(1);
    world.hub.continue_lists_elsewhere();
    let error = world.pull(&model(NAME)).await.unwrap_err();
    assert!(matches!(&error, RepositoryError::Corrupt(told) if told.contains("another host")), "{error}");

    let world = World::new();
    world.publish(NAME, &weights(100));
    world.hub.list_in_pages_of(1);
    world.pull(&model(NAME)).await.unwrap();
    assert_eq!(world.hub.requests().iter().filter(|request| request.path.contains("/tree/")).count(), 4);
}

#[tokio::test]
async fn a_redirect_that_leads_nowhere_is_not_followed() {
    let world = World::new();
    world.publish(NAME, &weights(100));
    world.hub.fail("config.json", [HubFault::Status(302)]);
    let error = world.pull(&model(NAME)).await.unwrap_err();
    assert!(matches!(&error, RepositoryError::Unreachable(told) if told.contains("redirects")), "{error}");
}

#[tokio::test]
async fn a_second_fetch_asks_for_no_file_and_one_of_a_commit_for_nothing() {
    let world = World::new();
    let commit = world.publish(NAME, &weights(5000));
    world.pull(&model(NAME)).await.unwrap();
    let before = world.hub.requests().len();
    world.pull(&model(NAME)).await.unwrap();
    assert_eq!(world.hub.requests().len(), before + 1, "what main means now, and no more");
    world.pull(&at(NAME, &commit)).await.unwrap();
    assert_eq!(world.hub.requests().len(), before + 1);
}

#[tokio::test]
async fn a_new_commit_fetches_what_changed_and_keeps_the_old_one() {
    let world = World::new();
    let (old, content) = (world.publish(NAME, &weights(5000)), weights(6000));
    world.pull(&model(NAME)).await.unwrap();
    let new = world.publish(NAME, &content);
    assert_eq!(world.pull(&model(NAME)).await.unwrap().commit, new);
    assert_eq!(world.hub.fetches_of("config.json").len(), 1, "it did not change");
    assert!(world.repository.find(&at(NAME, &old)).is_some(), "whoever uses it still has it");
}

#[tokio::test]
async fn a_break_in_the_middle_is_taken_up_where_it_was() {
    let world = World::new();
    let content = weights(3 << 20);
    world.publish(NAME, &content);
    let breaks = [1_000_000, 0, 500_000].map(HubFault::BreakAfter);
    world.hub.fail(WEIGHTS, breaks);
    let stored = world.pull(&model(NAME)).await.unwrap();
    assert_eq!(fs::read(stored.folder.join(WEIGHTS)).unwrap(), content);
    let ranges: Vec<_> = world.hub.fetches_of(WEIGHTS).into_iter().map(|request| request.range).collect();
    let from = |bytes: usize| Some(format!("bytes={bytes}-"));
    assert_eq!(ranges, [None, from(1_000_000), from(1_000_000), from(1_500_000)]);
}

#[tokio::test]
async fn a_fetch_that_was_stopped_is_taken_up_by_the_next_one_also_of_another_process() {
    let world = World::new();
    let content = weights(4 << 20);
    world.publish(NAME, &content);
    world.hub.fail(WEIGHTS, [HubFault::StallAfter(2 << 20)]);
    let mut events = world.repository.pull(&model(NAME)).await.unwrap();
    while world.unfinished(NAME).first().is_none_or(|bytes| *bytes < 1 << 20) {
        tokio::time::timeout(std::time::Duration::from_millis(20), events.next()).await.ok();
    }
    assert!(world.repository.find(&model(NAME)).is_none(), "it is not here before it is whole");
    assert!(world.repository.list().await.unwrap().is_empty());
    drop(events);
    let stored = crate::support::pull(&world.another(), &model(NAME)).await.unwrap();
    assert_eq!(fs::read(stored.folder.join(WEIGHTS)).unwrap(), content);
    let second = world.hub.fetches_of(WEIGHTS).pop().unwrap().range.unwrap();
    assert!(second.trim_start_matches("bytes=").trim_end_matches('-').parse::<u64>().unwrap() >= 1 << 20, "{second}");
    assert!(world.unfinished(NAME).is_empty());
}

#[tokio::test]
async fn a_server_that_ignores_ranges_starts_over() {
    let world = World::new();
    let content = weights(2 << 20);
    world.publish(NAME, &content);
    world.hub.fail(WEIGHTS, [HubFault::BreakAfter(1_500_000), HubFault::IgnoreRange]);
    let stored = world.pull(&model(NAME)).await.unwrap();
    assert_eq!(fs::read(stored.folder.join(WEIGHTS)).unwrap(), content);
}

#[tokio::test]
async fn what_an_earlier_fetch_left_and_is_too_long_or_wrong_does_no_harm() {
    for leftover in [weights(9000), vec![0; 5000], vec![7; 100]] {
        let world = World::new();
        let content = weights(5000);
        world.publish(NAME, &content);
        world.pull(&model(NAME)).await.unwrap();
        let stored = world.repository.find(&model(NAME)).unwrap();
        let blob = fs::canonicalize(stored.folder.join(WEIGHTS)).unwrap();
        fs::remove_dir_all(world.folder(NAME).join("snapshots")).unwrap();
        fs::remove_file(&blob).unwrap();
        fs::write(format!("{}.incomplete", blob.display()), &leftover).unwrap();
        let stored = world.pull(&model(NAME)).await.unwrap();
        assert_eq!(fs::read(stored.folder.join(WEIGHTS)).unwrap(), content, "{}", leftover.len());
    }
}

#[rstest]
#[case(HubFault::OtherBytes, "digest")]
#[case(HubFault::Shorter, "4999 bytes")]
#[case(HubFault::Longer, "more than the 5000")]
#[tokio::test]
async fn what_is_not_what_was_announced_is_thrown_away_and_fetched_once_more(#[case] fault: HubFault, #[case] problem: &str) {
    let world = World::new();
    world.publish(NAME, &weights(5000));
    world.hub.fail(WEIGHTS, [fault]);
    world.pull(&model(NAME)).await.unwrap();
    assert_eq!(world.hub.fetches_of(WEIGHTS).len(), 2);

    let world = World::new();
    world.publish(NAME, &weights(5000));
    world.hub.fail(WEIGHTS, [fault, fault]);
    let error = world.pull(&model(NAME)).await.unwrap_err();
    assert!(matches!(&error, RepositoryError::Corrupt(told) if told.contains(problem) && told.contains(WEIGHTS)), "{error}");
    assert!(world.unfinished(NAME).is_empty() && world.repository.find(&model(NAME)).is_none());
    world.pull(&model(NAME)).await.unwrap();
}

#[tokio::test]
async fn a_small_file_is_checked_too() {
    let world = World::new();
    world.publish(NAME, &weights(10));
    world.hub.fail("tokenizer.json", [HubFault::OtherBytes, HubFault::OtherBytes]);
    let error = world.pull(&model(NAME)).await.unwrap_err();
    assert!(matches!(&error, RepositoryError::Corrupt(told) if told.contains("tokenizer.json")), "{error}");
}

#[tokio::test]
async fn a_hub_that_breaks_off_again_and_again_is_given_up() {
    let world = World::new();
    world.publish(NAME, &weights(5000));
    world.hub.fail(WEIGHTS, [HubFault::BreakAfter(100), HubFault::Status(503), HubFault::Status(403), HubFault::BreakAfter(0)]);
    let error = world.pull(&model(NAME)).await.unwrap_err();
    assert!(matches!(&error, RepositoryError::Unreachable(told) if told.contains("4 tries")), "{error}");
    assert!(!error.to_string().contains("secret"), "the links to large files are signed: {error}");
    assert_eq!(world.unfinished(NAME), [100], "what has come is kept");
    world.pull(&model(NAME)).await.unwrap();
}

#[tokio::test]
async fn a_hub_that_is_away_is_named() {
    let world = World::with(|config| config.endpoint = "http://127.0.0.1:1".parse().unwrap());
    let error = world.pull(&model(NAME)).await.unwrap_err();
    assert!(matches!(&error, RepositoryError::Unreachable(told) if told.contains("http://127.0.0.1:1")), "{error}");
}

#[tokio::test]
async fn progress_counts_every_byte_once_also_over_a_break() {
    let world = World::new();
    world.publish(NAME, &weights(3 << 20));
    world.hub.fail(WEIGHTS, [HubFault::BreakAfter(2 << 20)]);
    let events: Vec<_> = world.repository.pull(&model(NAME)).await.unwrap().map(Result::unwrap).collect().await;
    let Some(PullEvent::Done(stored)) = events.last() else { panic!("{events:?}") };
    for event in &events[..events.len() - 1] {
        let PullEvent::Progress { fetched_bytes, total_bytes, .. } = event else { panic!("{events:?}") };
        assert!(*total_bytes == stored.bytes && fetched_bytes <= total_bytes, "{events:?}");
    }
}

#[tokio::test]
async fn a_server_that_stops_ends_its_fetches_and_keeps_what_has_come() {
    let world = World::new();
    world.publish(NAME, &weights(4 << 20));
    world.hub.fail(WEIGHTS, [HubFault::StallAfter(2 << 20)]);
    let events = world.repository.pull(&model(NAME)).await.unwrap();
    while world.unfinished(NAME).first().is_none_or(|bytes| *bytes < 1 << 20) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    world.repository.shutdown();
    let last = events.collect::<Vec<_>>().await.pop().unwrap();
    assert!(matches!(&last, Err(RepositoryError::Unreachable(told)) if told.contains("stopping")), "{last:?}");
    assert_eq!(world.unfinished(NAME).len(), 1);
    assert!(world.pull(&model(NAME)).await.is_err());
}
