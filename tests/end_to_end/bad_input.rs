//! Every row of the error table, over real HTTP.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Answer, Caller, PASSWORD, Server, eventually};

/// The body of an error is a problem of RFC 9457 that begins with its code and carries the request's id.
#[track_caller]
fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status.as_u16(), answer.body["code"].as_str()), (status, Some(code)), "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json", "{answer:?}");
    assert_eq!(answer.body["status"], status);
    assert!(answer.body["detail"].as_str().unwrap().starts_with(&format!("[{code}] ")), "{answer:?}");
    assert_eq!(answer.body["request_id"].as_str().unwrap(), answer.header("x-request-id"));
    assert!(answer.body["type"].is_string() && answer.body["title"].is_string(), "{answer:?}");
    let demands_credentials = status == 401;
    assert_eq!(answer.header("www-authenticate").starts_with("Bearer"), demands_credentials, "{answer:?}");
}

async fn form(caller: &Caller, body: &'static str) -> Answer {
    let request = caller.request(Method::POST, "/token").header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
    Answer::of(request).await
}

#[tokio::test]
async fn accounts_and_tokens() {
    let server = Server::start(&[]);
    let (admin, ben) = (server.newcomer("admin").await, server.newcomer("ben").await);
    let anonymous = server.anonymous();
    let register = async |body: Value| anonymous.post("/users", &body).await;

    // E003: wrong name or password. OAuth2's endpoint answers 400, the others 401.
    assert_problem(&form(&anonymous, "username=ben&password=wrong-password").await, 400, "E003");
    assert_problem(&form(&anonymous, "username=nobody&password=wrong-password").await, 400, "E003");
    let login = anonymous.post("/auth/login", &json!({"username": "ben", "password": "wrong-password"})).await;
    assert_problem(&login, 401, "E003");
    // E008: taken.
    let taken = register(json!({"username": "ben", "password": PASSWORD})).await;
    assert_problem(&taken, 400, "E008");
    assert_eq!(taken.body["detail"], "[E008] User with username ben already exists");
    // E010: no token, another's signature, and what is no token at all.
    assert_problem(&anonymous.get("/users/me").await, 401, "E010");
    for token in ["nonsense", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJiZW4ifQ.", ""] {
        let mut impostor = anonymous.clone();
        impostor.token = Some(token.to_owned());
        assert_problem(&impostor.get("/users/me").await, 401, "E010");
    }
    // E011: no such account, and none that is told of.
    let absent = "/users/00000000-0000-7000-8000-000000000000";
    assert_problem(&admin.send(Method::PATCH, absent, &json!({"disabled": true})).await, 404, "E011");
    // E022: known, and not allowed.
    assert_problem(&ben.get("/users").await, 403, "E022");
    // E009: disabled.
    let ben_id = ben.get("/users/me").await.body["id"].as_str().unwrap().to_owned();
    let disabled = admin.send(Method::PATCH, &format!("/users/{ben_id}"), &json!({"disabled": true})).await;
    assert_eq!(disabled.status, StatusCode::OK);
    assert_problem(&form(&anonymous, "username=ben&password=correct+horse+battery").await, 400, "E009");
    // E012: a username or password that breaks its own rule. 72 bytes are accepted, 73 are not cut.
    assert_problem(&register(json!({"username": "", "password": PASSWORD})).await, 400, "E012");
    assert_problem(&register(json!({"username": "c".repeat(65), "password": PASSWORD})).await, 400, "E012");
    assert_problem(&register(json!({"username": "cleo", "password": "1234567"})).await, 400, "E012");
    assert_problem(&register(json!({"username": "cleo", "password": "p".repeat(73)})).await, 400, "E012");
    assert_eq!(register(json!({"username": "cleo", "password": "p".repeat(72)})).await.status, StatusCode::CREATED);
    // E013: malformed; the field is named.
    for (body, field) in [
        (json!({"username": "dora"}), "password"),
        (json!({"username": 7, "password": PASSWORD}), "username"),
        (json!({"username": "dora", "password": PASSWORD, "colour": "red"}), "colour"),
    ] {
        let refused = register(body).await;
        assert_problem(&refused, 422, "E013");
        assert!(refused.body["detail"].as_str().unwrap().contains(field), "{refused:?}");
    }
}

#[tokio::test]
async fn texts_and_models() {
    let server = Server::start(&[("MAX_PROMPT_CHARACTERS", "3000"), ("MAX_BODY_BYTES", "20000")]);
    let ana = server.newcomer("ana").await;
    let generate = async |body: Value| ana.post("/text_generations", &body).await;

    // E001: no such model.
    assert_problem(&generate(json!({"prompt": "x", "model": "no-such-model"})).await, 404, "E001");
    // E002: no such text.
    assert_problem(&ana.get("/text_generations/00000000-0000-7000-8000-000000000000").await, 404, "E002");
    // E004: nothing to begin with.
    for prompt in ["", "  ", "\n\t"] {
        assert_problem(&generate(json!({"prompt": prompt})).await, 400, "E004");
    }
    // E005, E006, E007: out of range, and the ends of the ranges, which are legal.
    for (field, code, beyond, legal) in [
        ("max_length", "E005", vec![json!(0), json!(-1), json!(99_999_999)], vec![json!(20)]),
        ("max_new_tokens", "E005", vec![json!(0)], vec![json!(1)]),
        ("temperature", "E006", vec![json!(-0.1), json!(2.1)], vec![json!(0), json!(2)]),
        ("top_p", "E007", vec![json!(-0.1), json!(1.1)], vec![json!(0), json!(1)]),
    ] {
        let with = |value: Value| {
            let mut body = json!({"prompt": "Once upon a time"});
            if field != "max_length" {
                body["max_new_tokens"] = json!(2);
            }
            body[field] = value;
            body
        };
        for value in beyond {
            assert_problem(&generate(with(value)).await, 400, code);
        }
        for value in legal {
            assert_eq!(generate(with(value.clone())).await.status, StatusCode::CREATED, "{field} {value}");
        }
    }
    // E012: every other parameter.
    for body in [
        json!({"prompt": "x", "seed": -1}),
        json!({"prompt": "x", "stop": ["a", "b", "c", "d", "e"]}),
        json!({"prompt": "x", "max_length": 10, "max_new_tokens": 10}),
    ] {
        assert_problem(&generate(body).await, 400, "E012");
    }
    // E013: malformed.
    let refused = generate(json!({"prompt": "x", "temperature": "hot"})).await;
    assert_problem(&refused, 422, "E013");
    assert!(refused.body["detail"].as_str().unwrap().contains("temperature"));
    let broken = ana.request(Method::POST, "/text_generations").header(CONTENT_TYPE, "application/json").body("{\"prompt\": ");
    assert_problem(&Answer::of(broken).await, 422, "E013");
    for list in ["/text_generations?limit=0", "/text_generations?limit=201", "/text_generations?cursor=nonsense"] {
        assert!(ana.get(list).await.status.is_client_error(), "{list}");
    }
    // E014: too many characters, and too many tokens, with the counts.
    assert_problem(&generate(json!({"prompt": "x".repeat(3001)})).await, 400, "E014");
    let no_room = generate(json!({"prompt": "Once upon a time there was a king", "max_length": 3})).await;
    assert_problem(&no_room, 400, "E014");
    assert!(no_room.body["detail"].as_str().unwrap().contains("tokens"), "{no_room:?}");
    // E016, E023: names of models.
    assert_problem(&ana.send(Method::DELETE, "/models/default", &json!({})).await, 400, "E023");
    let spec = |llm: &str| json!({"name": "mine", "llm": llm, "max_length": 50, "temperature": 1.0, "top_p": 1.0});
    assert_eq!(ana.post("/models/mine", &spec("file:/nowhere")).await.status, StatusCode::CREATED);
    assert_problem(&ana.post("/models/mine", &spec("file:/nowhere")).await, 409, "E016");
    // E028: a model that cannot be opened, which only its use can tell.
    let unavailable = generate(json!({"prompt": "x", "model": "mine"})).await;
    assert_problem(&unavailable, 503, "E028");
    assert!(!unavailable.header("retry-after").is_empty());
    // What was refused is not in the history.
    let kept = ana.get("/text_generations?limit=200").await.body;
    assert!(kept["items"].as_array().unwrap().iter().all(|record| record["prompt"] == "Once upon a time"), "{kept}");
}

#[tokio::test]
async fn the_web_itself() {
    let server = Server::start(&[("MAX_BODY_BYTES", "2000"), ("BODY_TIMEOUT_SECONDS", "1")]);
    let ana = server.newcomer("ana").await;
    // E017: no such session.
    assert_problem(
        &ana.send(Method::DELETE, "/auth/sessions/00000000-0000-7000-8000-000000000000", &json!({})).await,
        404,
        "E017",
    );
    // E018: no such path.
    assert_problem(&ana.get("/no/such/path").await, 404, "E018");
    // E019: the path knows other methods.
    let refused = ana.send(Method::DELETE, "/token", &json!({})).await;
    assert_problem(&refused, 405, "E019");
    assert_eq!(refused.header("allow"), "POST");
    // E020: too large, announced or not.
    let large = json!({"prompt": "x".repeat(3000)});
    assert_problem(&ana.post("/text_generations", &large).await, 413, "E020");
    // E021: another type, another encoding.
    let text = ana.request(Method::POST, "/text_generations").header(CONTENT_TYPE, "text/plain").body("Once upon a time");
    assert_problem(&Answer::of(text).await, 415, "E021");
    let json_token = ana.request(Method::POST, "/token").json(&json!({"username": "ana"}));
    assert_problem(&Answer::of(json_token).await, 415, "E021");
    // E024: the only admin stays.
    let me = ana.get("/users/me").await.body["id"].as_str().unwrap().to_owned();
    assert_problem(&ana.send(Method::PATCH, &format!("/users/{me}"), &json!({"role": "user"})).await, 400, "E024");
    // E035: a body that does not arrive.
    let (url, token) = (server.url.clone(), ana.token.clone().unwrap());
    let answer = tokio::task::spawn_blocking(move || slow_body(&url, &token)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("E035"), "{answer}");
}

/// Announces a body, sends a part of it, and waits.
fn slow_body(url: &str, token: &str) -> String {
    let mut socket = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let head = format!(
        "POST /text_generations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: 100\r\nConnection: close\r\n\r\n{{\"prompt\": "
    );
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn overload() {
    let server = Server::start(&[("MAX_RUNNING_GENERATIONS", "1"), ("MAX_QUEUED_GENERATIONS", "1")]);
    let ana = server.newcomer("ana").await;
    let long = json!({"prompt": "Once upon a time", "max_new_tokens": 450, "seed": 1});
    let mut streams = Vec::new();
    let mut refused = None;
    // One runs and one waits; who comes now is refused. Those that end meanwhile make room, so a few tries may be needed.
    for _ in 0..20 {
        let mut body = long.clone();
        body["stream"] = json!(true);
        let response = ana.request(Method::POST, "/text_generations").json(&body).send().await.unwrap();
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            refused = Some(response);
            break;
        }
        streams.push(response);
    }
    // E025: overloaded, with the time to come back.
    let refused = refused.expect("a queue of one overflows");
    assert!(refused.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() >= 1);
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["code"], "E025");
    let accepted = streams.len();
    drop(streams);
    let stored = eventually("what was accepted is stored", async || {
        let list = ana.get("/text_generations").await.body;
        let count = list["items"].as_array().unwrap().len();
        (count >= 1).then_some(count)
    })
    .await;
    assert!(stored <= accepted, "what was refused stored nothing");
}
