//! The stories of [`ports::ModelRepository`].

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use ports::{HubModel, ModelRepository, PullEvent, RepositoryError, StoredModel};

/// The repository under test: empty, over a hub that has the models `org/one` and `org/two`, both at `main`, and no other.
pub type Subject = Arc<dyn ModelRepository>;

fn model(repository: &str) -> HubModel {
    HubModel { repository: repository.to_owned(), revision: "main".to_owned() }
}

async fn events(repository: &Subject, model: &HubModel) -> Result<Vec<PullEvent>, RepositoryError> {
    repository.pull(model).await?.try_collect().await
}

async fn pulled(repository: &Subject, model: &HubModel) -> StoredModel {
    match events(repository, model).await.unwrap().pop() {
        Some(PullEvent::Done(stored)) => stored,
        other => panic!("a fetch ends with Done, not with {other:?}"),
    }
}

/// By its name, with what was learnt of it.
pub async fn a_model_that_was_fetched_is_found_and_listed(repository: &Subject) {
    let (one, two) = (model("org/one"), model("org/two"));
    assert_eq!(repository.find(&two), None);
    let second = pulled(repository, &two).await;
    let first = pulled(repository, &one).await;
    assert_eq!((&first.model, first.commit.len()), (&one, 40));
    assert_eq!(repository.find(&two), Some(second.clone()));
    assert_eq!(repository.list().await.unwrap(), [first, second], "sorted by name");
}

/// And never beyond the total; the end is the last event.
pub async fn progress_never_goes_back(repository: &Subject) {
    let events = events(repository, &model("org/one")).await.unwrap();
    let (end, progress) = events.split_last().unwrap();
    let mut last = 0;
    for event in progress {
        let PullEvent::Progress { fetched_bytes, total_bytes, .. } = event else { panic!("only the last is Done: {events:?}") };
        assert!((last..=*total_bytes).contains(fetched_bytes), "{events:?}");
        last = *fetched_bytes;
    }
    assert!(matches!(end, PullEvent::Done(stored) if stored.bytes >= last), "{events:?}");
}

/// The second answer is the first one.
pub async fn what_is_here_is_fetched_again_without_harm(repository: &Subject) {
    let one = model("org/one");
    assert_eq!(pulled(repository, &one).await, pulled(repository, &one).await);
    assert_eq!(repository.list().await.unwrap().len(), 1);
}

/// Both see it done.
pub async fn two_fetches_at_once_do_not_disturb_each_other(repository: &Subject) {
    let one = model("org/one");
    let (first, second) = tokio::join!(pulled(repository, &one), pulled(repository, &one));
    assert_eq!(first, second);
    assert_eq!(repository.find(&one), Some(first));
}

/// Whether the name, the revision or both are unknown.
pub async fn a_model_that_the_hub_does_not_have_is_not_found(repository: &Subject) {
    for unknown in [model("org/three"), HubModel { revision: "v9".to_owned(), ..model("org/one") }, model("../one")] {
        let error = events(repository, &unknown).await.unwrap_err();
        assert!(matches!(error, RepositoryError::NotFound(_)), "{unknown:?}: {error}");
        assert_eq!(repository.find(&unknown), None);
    }
}

/// Wherever it was.
pub async fn a_fetch_that_was_dropped_can_be_begun_again(repository: &Subject) {
    let one = model("org/one");
    drop(repository.pull(&one).await.unwrap().next().await);
    let unfinished = repository.pull(&one).await.unwrap();
    drop(unfinished);
    pulled(repository, &one).await;
}

/// Others stay.
pub async fn a_model_that_was_removed_is_gone(repository: &Subject) {
    let (one, two) = (model("org/one"), model("org/two"));
    pulled(repository, &one).await;
    let kept = pulled(repository, &two).await;
    repository.remove(&one).await.unwrap();
    assert_eq!(repository.find(&one), None);
    assert_eq!(repository.list().await.unwrap(), [kept]);
    assert!(matches!(repository.remove(&one).await, Err(RepositoryError::NotFound(_))));
}

/// Makes a test of every story, of what `$make` gives.
#[macro_export]
macro_rules! model_repository_contract {
    ($make:path) => {
        $crate::stories! {
            $make, model_repository,
            a_model_that_was_fetched_is_found_and_listed,
            progress_never_goes_back,
            what_is_here_is_fetched_again_without_harm,
            two_fetches_at_once_do_not_disturb_each_other,
            a_model_that_the_hub_does_not_have_is_not_found,
            a_fetch_that_was_dropped_can_be_begun_again,
            a_model_that_was_removed_is_gone,
        }
    };
}
