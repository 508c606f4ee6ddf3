//! The main job: a new user starts the server and generates text.

use std::process::Command;

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::databases::PostgresDatabase;
use crate::support::{PASSWORD, Server};

#[tokio::test]
async fn a_new_user_registers_signs_in_generates_and_reads_the_history() {
    the_story_of_a_new_user(&Server::start(&[])).await;
}

#[tokio::test]
async fn the_same_story_on_postgresql() {
    let database = PostgresDatabase::create();
    the_story_of_a_new_user(&Server::start(&[("DATABASE_URL", &database.url)])).await;
    // Two replicas over one database: what one keeps, the other knows.
    let replica = Server::start(&[("DATABASE_URL", &database.url), ("SECRET_KEY", SHARED_KEY)]);
    let other = Server::start(&[("DATABASE_URL", &database.url), ("SECRET_KEY", SHARED_KEY)]);
    let ana = replica.sign_in("ana").await;
    let mut ana_there = other.anonymous();
    ana_there.token = ana.token;
    assert_eq!(ana_there.get("/users/me").await.body["username"], "ana");
}

const SHARED_KEY: &str = "0123456789abcdef0123456789abcdef";

async fn the_story_of_a_new_user(server: &Server) {
    let anonymous = server.anonymous();
    assert_eq!(anonymous.get("/").await.body, json!({"status": "OK"}));

    let registered =
        anonymous.post("/users", &json!({"username": "ana", "password": PASSWORD, "email": "ana@example.org"})).await;
    assert_eq!(registered.status, StatusCode::CREATED, "{registered:?}");
    assert_eq!(registered.body["username"], "ana");
    assert_eq!(registered.body["role"], "admin", "the first to register");
    assert!(registered.body.get("password").is_none());
    let ana = server.sign_in("ana").await;
    assert_eq!(ana.get("/users/me").await.body["email"], "ana@example.org");

    let models = ana.get("/models").await.body;
    assert_eq!(models["items"][0]["name"], "default");
    assert_eq!(models["items"][0]["loaded"], true);
    let changed = ana.send(Method::PUT, "/models", &json!({"max_length": 40, "temperature": 0.5, "top_p": 0.9})).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");

    let made = ana.post("/text_generations", &json!({"prompt": "Once upon a time", "seed": 7})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.header("location"), format!("/text_generations/{}", made.body["id"].as_str().unwrap()));
    assert!(made.body["generated_text"].as_str().unwrap().starts_with("Once upon a time"));
    assert!(made.body["generated_text"].as_str().unwrap().len() > "Once upon a time".len());
    assert_eq!(made.body["parameters"]["temperature"], 0.5, "the user's own default applies");
    assert!(made.body["usage"]["total_tokens"].as_u64().unwrap() <= 40);
    assert_eq!(made.body["seed"], 7);

    let again = ana.post("/text_generations", &json!({"prompt": "Once upon a time", "seed": 7})).await;
    assert_eq!(again.body["generated_text"], made.body["generated_text"], "the same seed gives the same text");

    let newest_first = [&again.body["id"], &made.body["id"]];
    let list = ana.get("/text_generations?limit=1").await.body;
    assert_eq!(list["items"][0]["id"], *newest_first[0]);
    let next = ana.get(&format!("/text_generations?limit=1&cursor={}", list["next_cursor"].as_str().unwrap())).await.body;
    assert_eq!(next["items"][0]["id"], *newest_first[1]);
    assert_eq!(next["next_cursor"], json!(null));
    let all = ana.get("/text_generations/all").await.body;
    assert_eq!(all.as_array().unwrap().iter().map(|record| &record["id"]).collect::<Vec<_>>(), newest_first);

    let path = made.header("location");
    assert_eq!(ana.get(path).await.body, made.body);
    let edited = ana.send(Method::PATCH, path, &json!({"generated_text": "Once upon a time. The end."})).await;
    assert_eq!(edited.body["generated_text"], "Once upon a time. The end.");
    assert_eq!(ana.send(Method::DELETE, path, &json!({})).await.status, StatusCode::NO_CONTENT);
    assert_eq!(ana.get(path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_streamed_text_is_the_same_as_the_one_that_is_stored() {
    let server = Server::start(&[]);
    let ana = server.newcomer("ana").await;
    let mut events = ana.stream(json!({"prompt": "The king 👑 said", "max_new_tokens": 40, "seed": 3})).await;
    let (mut text, mut record) = (String::new(), None);
    while let Some(event) = events.next().await {
        match event.name.as_str() {
            "message" => text.push_str(event.data["text"].as_str().unwrap()),
            "done" => record = Some(event.data),
            other => panic!("{other}: {}", event.data),
        }
    }
    let record = record.expect("the last event is the record");
    assert_eq!(record["generated_text"].as_str().unwrap(), format!("The king 👑 said{text}"));
    assert_eq!(ana.get(&format!("/text_generations/{}", record["id"].as_str().unwrap())).await.body, record);
}

#[tokio::test]
async fn what_is_another_users_cannot_be_told_from_what_does_not_exist() {
    let server = Server::start(&[]);
    // The first account is the admin, who may read everything.
    server.newcomer("admin").await;
    let (ana, ben) = (server.newcomer("ana").await, server.newcomer("ben").await);
    let made = ana.post("/text_generations", &json!({"prompt": "A secret", "max_new_tokens": 4})).await;
    let path = made.header("location").to_owned();
    let absent = "/text_generations/00000000-0000-7000-8000-000000000000";
    for method in [Method::GET, Method::DELETE, Method::PATCH] {
        let body = json!({"generated_text": "mine now"});
        let (foreign, none) = (ben.send(method.clone(), &path, &body).await, ben.send(method.clone(), absent, &body).await);
        assert_eq!(foreign.status, StatusCode::NOT_FOUND, "{method}");
        assert_eq!(
            (foreign.body["code"].clone(), foreign.body["title"].clone()),
            (none.body["code"].clone(), none.body["title"].clone())
        );
    }
    assert_eq!(ben.get("/text_generations").await.body["items"], json!([]));
    assert_eq!(ana.get(&path).await.status, StatusCode::OK);
    let changed = ben.send(Method::PUT, "/models", &json!({"max_length": 9, "temperature": 0, "top_p": 0})).await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_ne!(ana.get("/models").await.body["items"][0]["max_length"], 9, "one user's change never touches another's");
}

#[tokio::test]
async fn the_documentation_needs_nothing_from_elsewhere() {
    let server = Server::start(&[]);
    let anonymous = server.anonymous();
    let document = anonymous.get("/openapi.json").await;
    assert!(document.body["paths"]["/text_generations"]["post"].is_object());
    for page in ["/docs", "/redoc"] {
        let answer = anonymous.get(page).await;
        assert_eq!(answer.status, StatusCode::OK, "{page}");
        assert!(answer.header("content-type").starts_with("text/html"));
        let links = linked_from(&answer.text);
        assert!(!links.is_empty(), "{page}: {}", answer.text);
        for link in links {
            let elsewhere = link.starts_with("http") || link.starts_with("//");
            assert!(!elsewhere, "{page} needs {link}");
            let path = if link.starts_with('/') { link.clone() } else { format!("/{}", link.trim_start_matches("./")) };
            assert_eq!(anonymous.get(&path).await.status, StatusCode::OK, "{page} needs {link}");
        }
    }
    assert_eq!(anonymous.get("/healthz").await.status, StatusCode::OK);
    assert_eq!(anonymous.get("/readyz").await.status, StatusCode::OK);
}

/// What a page loads from its `src` and `href` attributes.
fn linked_from(page: &str) -> Vec<String> {
    let of = |attribute: &'static str| page.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    of("src=\"").chain(of("href=\"")).filter(|link| !link.starts_with("data:")).collect()
}

/// The three commands that the server prints, run as they stand by a shell.
#[tokio::test]
async fn the_commands_that_the_server_suggests_work_as_they_stand() {
    let mut server = Server::start(&[]);
    let banner = server.banner();
    assert!(
        banner.contains("bundled:fairy-tales") && banner.contains(&server.folder.path().join("data").display().to_string()),
        "{banner}"
    );
    let commands: Vec<&str> = banner.lines().filter(|line| line.contains("curl ")).collect();
    assert_eq!(commands.len(), 3, "{banner}");
    let output = Command::new("bash").args(["-euc", &commands.join("\n")]).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && out.contains("\"generated_text\":\"Once upon a time"), "{out}\n{}", server.log());
}
