//! SIGTERM: the server ends in good order.

use std::time::Duration;

use serde_json::json;

use crate::support::Server;

#[tokio::test]
async fn an_idle_server_stops_at_once_when_told_to() {
    let mut server = Server::start(&[]);
    let (status, took) = server.stop();
    assert!(status.success(), "{}", server.log());
    assert!(took < Duration::from_secs(8), "it took {took:?}");
}

#[tokio::test]
async fn what_runs_when_the_server_is_told_to_stop_is_finished_or_kept_as_interrupted() {
    let mut server = Server::start(&[("SHUTDOWN_GRACE_SECONDS", "3")]);
    let ana = server.newcomer("ana").await;
    let mut events = ana.stream(json!({"prompt": "Once upon a time", "max_new_tokens": 450, "seed": 1})).await;
    assert_eq!(events.next().await.unwrap().name, "message");
    let reader = tokio::spawn(async move { while events.next().await.is_some() {} });
    let stopped = tokio::task::spawn_blocking(move || {
        let (status, took) = server.stop();
        (status, took, server)
    });
    let (status, took, mut server) = stopped.await.unwrap();
    assert!(status.success(), "{}", server.log());
    assert!(took < Duration::from_secs(3 + 5), "it took {took:?}");
    reader.await.unwrap();

    let folder = std::mem::replace(&mut server.folder, tempfile::tempdir().unwrap());
    let server = Server::start_in(folder, &[]);
    let kept = server.sign_in("ana").await.get("/text_generations").await.body;
    assert_eq!(kept["items"].as_array().unwrap().len(), 1, "{kept}\n{}", server.log());
    assert_eq!(kept["items"][0]["prompt"], "Once upon a time");
}
