//! What the log says of a request, and what it must not say.

use std::io::Write;
use std::sync::{Arc, Mutex};

use ports::GenerationError;
use serde_json::{Value, json};
use tracing::subscriber::DefaultGuard;

use crate::support::{PASSWORD, World, to, with_token};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Keeps what this thread logs, at `debug` and above, until the guard is dropped.
    fn listen() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().json().with_max_level(tracing::Level::DEBUG).with_writer(move || writer.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines with this message.
    fn lines(&self, message: &str) -> Vec<Value> {
        let lines = self.text();
        let parsed = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        parsed.filter(|line| line["fields"]["message"] == message).collect()
    }
}

#[actix_web::test]
async fn a_request_has_one_line_with_its_name_its_caller_and_its_end() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let (log, _guard) = Log::listen();
    let request = with_token(to("GET", "/text_generations?limit=7"), ana.token());
    world.send(request.insert_header(("x-request-id", "trace-1"))).await;
    let lines = log.lines("request finished");
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    let span = &line["span"];
    assert_eq!(
        (&span["request_id"], &span["method"], &span["path"]),
        (&json!("trace-1"), &json!("GET"), &json!("/text_generations"))
    );
    assert_eq!(span["user_id"], ana.id);
    assert_eq!(line["fields"]["status"], 200);
    assert!(line["fields"]["duration_ms"].is_u64());
    assert!(!log.text().contains("limit=7"), "a query may hold a secret");
}

#[actix_web::test]
async fn no_password_token_or_text_is_logged() {
    let world = World::new().await;
    let (log, _guard) = Log::listen();
    let ana = world.sign_in("ana").await;
    world.call_json("POST", "/text_generations", ana.token(), json!({"prompt": "my diary"})).await;
    world.call_json("POST", "/text_generations", ana.token(), json!({"prompt": "my diary", "stream": true})).await;
    world.call_json("POST", "/text_generations", ana.token(), json!({"prompt": "my diary", "temperature": 9})).await;
    world.call_json("POST", "/users", None, json!({"username": "eve", "password": ["my diary"]})).await;
    world.call("GET", "/users/me", Some("forged-token")).await;
    let text = log.text();
    for secret in [PASSWORD, &ana.access_token, &ana.refresh_token, "forged-token", "diary", "king"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert_eq!(log.lines("request finished").len(), 7);
}

#[actix_web::test]
async fn a_cause_is_logged_once_inside_its_request() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    world.generator.refuse_with(Some(GenerationError::Failed("tensor 7 is bent".into())));
    let (log, _guard) = Log::listen();
    let answer = world.call_json("POST", "/text_generations", ana.token(), json!({"prompt": "Once"})).await;
    let lines = log.lines("request failed");
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&line["level"], &line["fields"]["cause"]), (&json!("ERROR"), &json!("tensor 7 is bent")));
    assert_eq!(line["span"]["request_id"], answer.header("x-request-id"));
    assert_eq!(log.text().matches("tensor 7").count(), 1);
}

#[actix_web::test]
async fn a_stream_that_its_client_breaks_off_is_told_apart() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let (log, _guard) = Log::listen();
    let request = with_token(to("POST", "/text_generations"), ana.token()).set_json(json!({"prompt": "Once", "stream": true}));
    drop(world.open(request).await);
    assert_eq!((log.lines("request finished").len(), log.lines("request broken off by its client").len()), (0, 1));
}
