//! A chat whose model is somebody else's: answered and remembered, and a provider that takes its time and refuses then.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::backends::scripted_server::{self, Request, ScriptedServer, Step, openai};
use crate::support::{Answer, Caller, Server, eventually};

const STORY: &str = " there was a café in a town.";

/// A server whose model `story` is at this provider, and its admin.
async fn start(provider: &ScriptedServer, heartbeat_seconds: &str) -> (Server, Caller) {
    let base_url = format!("{}/v1", provider.url);
    let server = Server::start(&[
        ("OPENAI_BASE_URL", &base_url),
        ("OPENAI_API_KEY", "sk-hunter2"),
        ("PROVIDER_TIMEOUT_SECONDS", "30"),
        ("STREAM_HEARTBEAT_SECONDS", heartbeat_seconds),
    ]);
    let admin = server.newcomer("admin").await;
    assert_eq!(admin.post("/models/story", &json!({"llm": "openai:gpt-x"})).await.status, StatusCode::CREATED);
    (server, admin)
}

fn saying(message: &str) -> Value {
    json!({"message": message, "use_context": true, "model": "story", "max_new_tokens": 50})
}

/// Whether somebody is asked for an answer to this, as the last thing that was said.
fn asks(request: &Request, last: &str) -> bool {
    let messages = request.body["messages"].as_array();
    messages.and_then(|messages| messages.last()).is_some_and(|message| message["content"] == last)
}

/// A provider that answers as it should, but to `One`: of that it thinks until it is let on, and refuses it then, as often as it is asked.
async fn of_two_minds() -> (ScriptedServer, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let provider = ScriptedServer::start(move |request: &Request| {
        if !asks(request, "One") {
            return openai(request);
        }
        let refusal = scripted_server::answer("400 Bad Request", &json!({"error": {"message": "it had second thoughts"}}));
        [Step::Until(Arc::clone(&held))].into_iter().chain(refusal).collect()
    })
    .await;
    (provider, gate)
}

async fn contents(caller: &Caller, path: &str) -> Vec<String> {
    let page = caller.get(path).await;
    let messages = page.body["messages"].as_array().unwrap_or_else(|| panic!("{page:?}")).clone();
    messages.iter().map(|message| message["content"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_provider_is_given_the_conversation_and_its_answers_are_kept() {
    let provider = ScriptedServer::start(openai).await;
    let (_server, ana) = start(&provider, "1").await;
    for message in ["Once upon a time", "And then?"] {
        let told = Answer::of(ana.request(Method::POST, "/chat/stream").json(&saying(message))).await;
        assert_eq!(told.status, StatusCode::OK, "{told:?}");
        let said: String = told.text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!(said, format!("{STORY}[DONE]"));
    }
    let asked = provider.requests_to("POST /v1/chat/completions").pop().unwrap().body["messages"].clone();
    let turn = |role: &str, content: &str| json!({"role": role, "content": content});
    assert_eq!(asked, json!([turn("user", "Once upon a time"), turn("assistant", STORY), turn("user", "And then?")]));
    assert_eq!(contents(&ana, "/chat/history").await, ["Once upon a time", STORY, "And then?", STORY]);
}

#[tokio::test]
async fn what_was_acknowledged_stays_when_the_provider_refuses_after_the_connection_was_lost() {
    let (provider, gate) = of_two_minds().await;
    let (_server, ana) = start(&provider, "1").await;
    let response = ana.request(Method::POST, "/chat/stream").json(&saying("One")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "the provider is slow; they hear within a heartbeat that they are heard");
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    let (stream, question) = (header("x-stream-id"), header("x-user-message-id"));
    drop(response);
    gate.add_permits(10);
    let failed = eventually("the answer has failed", async || {
        let read = ana.get(&format!("/chat/streams/{stream}")).await;
        read.text.contains("event: error").then_some(read)
    })
    .await;
    assert!(!failed.text.contains("[DONE]"), "{failed:?}");
    let history = ana.get("/chat/history").await.body;
    let found = |name: &str| history["messages"][0][name].clone();
    assert_eq!((found("id"), found("content")), (json!(question), json!("One")), "{history}");
    assert_eq!(history["messages"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_stop_ends_what_a_provider_has_not_accepted_and_closes_its_connection() {
    let provider =
        ScriptedServer::start(|request: &Request| if asks(request, "One") { vec![Step::Hang] } else { openai(request) });
    let provider = provider.await;
    let (_server, ana) = start(&provider, "1").await;
    let response = ana.request(Method::POST, "/chat/stream").json(&saying("One")).send().await.unwrap();
    let stream = response.headers()["x-stream-id"].to_str().unwrap().to_owned();
    let stopped = ana.send(Method::DELETE, &format!("/chat/streams/{stream}"), &json!({})).await;
    assert_eq!(stopped.status, StatusCode::NO_CONTENT, "{stopped:?}");
    provider.abandoned(1).await;
    assert!(response.text().await.unwrap().ends_with("data: [DONE]\n\n"));
    assert_eq!(contents(&ana, "/chat/history").await, ["One", ""]);
}

#[tokio::test]
async fn a_question_that_is_refused_late_hides_nothing_that_was_said_meanwhile() {
    let (provider, gate) = of_two_minds().await;
    let (_server, ana) = start(&provider, "30").await;
    let conversation = ana.post("/conversations", &json!({"model": "story"})).await.header("location").to_owned();
    let messages = format!("{conversation}/messages");
    let (asking, path) = (ana.clone(), messages.clone());
    let first = tokio::spawn(async move { asking.post(&path, &json!({"content": "One", "max_new_tokens": 50})).await });
    provider.asked(1).await;
    let page = ana.get(&messages).await.body;
    let question = page["messages"][0]["id"].as_str().unwrap();
    let edited = ana.send(Method::PATCH, &format!("{messages}/{question}"), &json!({"content": "Two"})).await.body;
    let again = format!("{messages}/{}/regenerate", edited["id"].as_str().unwrap());
    assert_eq!(ana.post(&again, &json!({"max_new_tokens": 50})).await.status, StatusCode::CREATED);
    gate.add_permits(10);
    let refused = first.await.unwrap();
    assert!(refused.status.is_client_error() || refused.status.is_server_error(), "{refused:?}");
    assert_eq!(contents(&ana, &messages).await, ["Two", STORY]);
    let exported = ana.get(&format!("{conversation}/export")).await.body;
    assert_eq!(
        exported["conversations"][0]["messages"].as_array().unwrap().len(),
        2,
        "of what was refused nothing is left: {exported}"
    );
    assert_eq!(ana.post("/conversations/import", &exported).await.status, StatusCode::CREATED);
}
