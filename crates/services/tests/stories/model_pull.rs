//! Fetching a model of the hub.

use std::sync::Arc;

use domain::AuditAction;
use futures_util::StreamExt;
use ports::{ModelRepository, PullEvent, RepositoryError};
use services::{AuditTrail, ModelPullService, ServiceError};
use test_support::{FakeClock, FakeDatabase, FakeModelRepository, InlineBackground};

use crate::support::Server;

fn service(repository: &Arc<FakeModelRepository>) -> (ModelPullService, Arc<FakeDatabase>) {
    let database = Arc::new(FakeDatabase::default());
    let audit = AuditTrail::new(database.clone(), Arc::new(FakeClock::default()), Arc::new(InlineBackground));
    (ModelPullService::new(repository.clone(), audit), database)
}

async fn actions(database: &FakeDatabase) -> Vec<AuditAction> {
    let events = ports::AuditLog::list(database, ports::AuditFilter::default(), None, 10).await.unwrap();
    events.into_iter().map(|event| event.entry.action).collect()
}

#[tokio::test]
async fn an_admin_fetches_a_model_and_the_audit_log_says_so() {
    let (server, repository) = (Server::start().await, Arc::new(FakeModelRepository::offering(["gpt2"])));
    let admin = server.newcomer("admin").await;
    let (pulls, database) = service(&repository);
    let events: Vec<_> = pulls.pull(&admin, "gpt2").await.unwrap().collect().await;
    let Some(Ok(PullEvent::Done(stored))) = events.last() else { panic!("{events:?}") };
    assert_eq!(repository.find(&stored.model).as_ref(), Some(stored));
    assert_eq!(actions(&database).await, [AuditAction::ModelFetched]);
}

#[tokio::test]
async fn nobody_else_fetches_and_nothing_else_is_fetched() {
    let (server, repository) = (Server::start().await, Arc::new(FakeModelRepository::offering(["gpt2"])));
    let (admin, ana) = (server.newcomer("admin").await, server.newcomer("ana").await);
    let (pulls, database) = service(&repository);
    assert_eq!(pulls.pull(&ana, "gpt2").await.err(), Some(ServiceError::Forbidden));
    for llm in ["bundled:fairy-tales", "openai:gpt-x", "ftp:x"] {
        assert!(matches!(pulls.pull(&admin, llm).await.err(), Some(ServiceError::Refused(_))), "{llm}");
    }
    let absent = pulls.pull(&admin, "org/absent").await.err();
    assert!(matches!(absent, Some(ServiceError::Repository(RepositoryError::NotFound(_)))));
    assert_eq!((repository.running(), actions(&database).await), (0, Vec::new()));
}

#[tokio::test]
async fn a_fetch_that_fails_is_no_fetched_model() {
    let (server, repository) = (Server::start().await, Arc::new(FakeModelRepository::offering(["gpt2"])));
    let admin = server.newcomer("admin").await;
    let (pulls, database) = service(&repository);
    repository.fail_with(RepositoryError::Unreachable("away".into()));
    let events: Vec<_> = pulls.pull(&admin, "gpt2").await.unwrap().collect().await;
    assert_eq!(events.last(), Some(&Err(ServiceError::Repository(RepositoryError::Unreachable("away".into())))));
    assert!(actions(&database).await.is_empty());
}
