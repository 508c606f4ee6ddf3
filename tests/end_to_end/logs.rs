//! What is logged, and what never is.

use serde_json::{Value, json};

use crate::support::{Answer, PASSWORD, Server, eventually};

#[tokio::test]
async fn every_request_is_logged_with_its_id_and_nothing_secret_ever_is() {
    let server = Server::start(&[("LOG_FORMAT", "json"), ("LOG_LEVEL", "debug"), ("LOG_FILE", "server.log")]);
    let ana = server.newcomer("ana").await;
    let request = ana.request(reqwest::Method::POST, "/text_generations").header("X-Request-Id", "my-own-id-1234");
    let body = json!({"prompt": "My diary of 1987", "max_new_tokens": 8});
    let made = Answer::of(request.json(&body)).await;
    assert_eq!(made.header("x-request-id"), "my-own-id-1234", "a caller's own valid id is kept");

    let log = server.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_request = lines.iter().find(|line| line.to_string().contains("my-own-id-1234") && line.to_string().contains("201"));
    let of_request = of_request.expect("the response is logged").to_string();
    assert!(of_request.contains("POST") && of_request.contains("/text_generations"), "{of_request}");
    let token = ana.token.as_deref().unwrap();
    let generated = made.body["generated_text"].as_str().unwrap();
    for secret in [PASSWORD, token, "My diary", generated] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    // The file is written by a thread of its own.
    let file = server.folder.path().join("server.log");
    eventually("the request is in the file", async || {
        std::fs::read_to_string(&file).unwrap().contains("my-own-id-1234").then_some(())
    })
    .await;
}

#[tokio::test]
async fn logs_can_be_turned_off() {
    let server = Server::start(&[("DISABLE_LOGGERS", "true")]);
    server.newcomer("ana").await;
    assert_eq!(server.log(), "");
}

/// What `logrotate` does: the file is moved away, and SIGHUP says so.
#[tokio::test]
async fn a_log_file_that_was_moved_away_is_opened_again_on_sighup() {
    let server = Server::start(&[("LOG_FILE", "server.log")]);
    let (file, rotated) = (server.folder.path().join("server.log"), server.folder.path().join("server.log.1"));
    server.anonymous().get("/before").await;
    eventually("it is logged", async || std::fs::read_to_string(&file).unwrap().contains("/before").then_some(())).await;
    std::fs::rename(&file, &rotated).unwrap();
    server.signal("-HUP");
    eventually("the file is there again", async || file.exists().then_some(())).await;
    server.anonymous().get("/after").await;
    eventually("it is logged there", async || std::fs::read_to_string(&file).unwrap().contains("/after").then_some(())).await;
    assert!(!std::fs::read_to_string(&rotated).unwrap().contains("/after"));
}
