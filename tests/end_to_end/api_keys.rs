//! What a program may do with a key.

use chrono::{TimeDelta, Utc};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Caller, Server, eventually};

/// Makes a key, and answers its record and who calls with it.
async fn key_of(server: &Server, owner: &Caller, request: Value) -> (Value, Caller) {
    let made = owner.post("/auth/api-keys", &request).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let program = server.bearer(made.body["key"].as_str().unwrap());
    (made.body, program)
}

#[tokio::test]
async fn a_key_does_what_its_scopes_name_until_it_is_removed() {
    let server = Server::start(&[]);
    let ana = server.newcomer("ana").await;
    let (record, program) = key_of(&server, &ana, json!({"name": "backup", "scopes": ["text"]})).await;

    let made = program.post("/text_generations", &json!({"prompt": "By a program", "max_new_tokens": 3})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(ana.get(made.header("location")).await.body["prompt"], "By a program", "it is its owner's");
    // The owner is the admin; the key is not.
    assert_eq!(program.get("/users").await.status, StatusCode::FORBIDDEN);
    for (method, path) in [(Method::POST, "/auth/api-keys"), (Method::DELETE, "/users/me"), (Method::GET, "/auth/sessions")] {
        let answer = program.send(method.clone(), path, &json!({"name": "another"})).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path}: {answer:?}");
    }
    let (_, chatter) = key_of(&server, &ana, json!({"name": "chat", "scopes": ["chat"]})).await;
    assert_eq!(chatter.get("/text_generations").await.status, StatusCode::FORBIDDEN);
    let (_, manager) = key_of(&server, &ana, json!({"name": "manager", "scopes": ["admin"]})).await;
    assert_eq!(manager.get("/users").await.status, StatusCode::OK);

    let listed = ana.get("/auth/api-keys").await;
    assert_eq!(listed.body["items"].as_array().unwrap().len(), 3);
    assert!(listed.body["items"].as_array().unwrap().iter().any(|key| !key["last_used_at"].is_null()), "{}", listed.text);
    assert!(!listed.text.contains(record["key"].as_str().unwrap()), "a key is shown once");
    let path = format!("/auth/api-keys/{}", record["id"].as_str().unwrap());
    assert_eq!(ana.send(Method::DELETE, &path, &json!({})).await.status, StatusCode::NO_CONTENT);
    assert_eq!(program.get("/users/me").await.status, StatusCode::UNAUTHORIZED);
    assert!(!server.log().contains(record["key"].as_str().unwrap()));
}

#[tokio::test]
async fn a_key_ends_when_it_was_to_and_with_its_owner() {
    let server = Server::start(&[]);
    let admin = server.newcomer("admin").await;
    let ben = server.newcomer("ben").await;
    let expires_at = (Utc::now() + TimeDelta::seconds(2)).to_rfc3339();
    let (_, brief) = key_of(&server, &ben, json!({"name": "brief", "expires_at": expires_at})).await;
    let (_, lasting) = key_of(&server, &ben, json!({"name": "lasting"})).await;
    eventually("the key expires", async || (brief.get("/users/me").await.status == StatusCode::UNAUTHORIZED).then_some(())).await;

    let id = ben.get("/users/me").await.body["id"].as_str().unwrap().to_owned();
    assert_eq!(lasting.get("/users/me").await.status, StatusCode::OK);
    let disabled = admin.send(Method::PATCH, &format!("/users/{id}"), &json!({"disabled": true})).await;
    assert_eq!(disabled.status, StatusCode::OK, "{disabled:?}");
    let refused = lasting.get("/users/me").await.status;
    assert!(refused.is_client_error(), "{refused}");
}
