//! kill -9 in the middle of everything.

use serde_json::json;

use crate::support::Server;

#[tokio::test]
async fn after_a_kill_the_database_opens_and_no_record_claims_to_be_finished() {
    let server = Server::start(&[]);
    let ana = server.newcomer("ana").await;
    let finished = ana.post("/text_generations", &json!({"prompt": "A finished one", "max_new_tokens": 4})).await;
    let mut events = ana.stream(json!({"prompt": "Once upon a time", "max_new_tokens": 400, "seed": 1})).await;
    assert_eq!(events.next().await.unwrap().name, "message", "the generation is under way");
    let folder = server.kill();

    let server = Server::start_in(folder, &[]);
    let ana = server.sign_in("ana").await;
    let kept = ana.get("/text_generations").await.body;
    let (done, cut): (Vec<_>, Vec<_>) =
        kept["items"].as_array().unwrap().iter().partition(|record| record["finish_reason"] != "interrupted");
    assert_eq!(done.len(), 1, "{kept}");
    assert_eq!(done[0]["id"], finished.body["id"]);
    assert!(cut.iter().all(|record| record["prompt"] == "Once upon a time"), "{kept}");
    let again = ana.post("/text_generations", &json!({"prompt": "Life goes on", "max_new_tokens": 4})).await;
    assert_eq!(again.status, 201, "{again:?}");
}

#[tokio::test]
async fn whoever_was_signed_in_stays_signed_in_after_a_kill() {
    let server = Server::start(&[]);
    let ana = server.newcomer("ana").await;
    let folder = server.kill();
    let server = Server::start_in(folder, &[]);
    let mut back = server.anonymous();
    back.token = ana.token;
    assert_eq!(back.get("/users/me").await.body["username"], "ana");
}
