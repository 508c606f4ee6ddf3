//! Fetching a model of the hub over HTTP.

use std::pin::Pin;

use actix_web::body::{BoxBody, MessageBody};
use ports::RepositoryError;
use serde_json::{Value, json};
use test_support::Gate;

use crate::support::{SignedIn, World, to, with_token};

async fn open(world: &World, user: &SignedIn) -> BoxBody {
    let request = with_token(to("POST", "/models/pull"), user.token()).set_json(json!({"llm": "gpt2"}));
    let response = world.open(request).await;
    assert_eq!(response.status(), 200);
    response.into_body()
}

async fn next(body: &mut BoxBody) -> Option<String> {
    let bytes = std::future::poll_fn(|context| Pin::new(&mut *body).poll_next(context)).await?;
    Some(String::from_utf8(bytes.unwrap().to_vec()).unwrap())
}

#[actix_web::test]
async fn a_fetch_tells_how_far_it_has_come_and_at_last_what_came() {
    let world = World::new().await;
    let admin = world.sign_in("admin").await;
    let answer = world.call_json("POST", "/models/pull", admin.token(), json!({"llm": "gpt2"})).await;
    assert_eq!(answer.header("content-type"), "text/event-stream; charset=utf-8");
    let (progress, done) = answer.body.split_once("event: done\ndata: ").unwrap();
    assert!(
        progress.ends_with("data: {\"file\":\"model.safetensors\",\"fetched_bytes\":500,\"total_bytes\":1000}\n\n"),
        "{progress}"
    );
    let done: Value = serde_json::from_str(done.trim_end()).unwrap();
    assert_eq!(done, json!({"name": "gpt2", "revision": "main", "commit": "0".repeat(40), "bytes": 1000}), "and no path");
    let audited = world.call("GET", "/admin/audit?action=model.fetched", admin.token()).await.json();
    assert_eq!(audited["items"][0]["subject"], "llm:gpt2");
}

#[actix_web::test]
async fn dropping_the_connection_stops_the_fetch() {
    let world = World::new().await;
    let admin = world.sign_in("admin").await;
    world.repository.wait_at(Gate::shut());
    let mut body = open(&world, &admin).await;
    next(&mut body).await.unwrap();
    next(&mut body).await.unwrap();
    assert_eq!(next(&mut body).await.unwrap(), ": still here\n\n");
    assert_eq!(world.repository.running(), 1);
    drop(body);
    assert_eq!(world.repository.running(), 0);
}

#[actix_web::test]
async fn an_error_on_the_way_is_the_last_event_and_tells_no_path() {
    for (error, code, told) in [
        (RepositoryError::Unreachable("the hub answers 503".into()), "E030", "the hub answers 503"),
        (RepositoryError::Corrupt("another digest".into()), "E031", "another digest"),
        (RepositoryError::Storage("/srv/models is full".into()), "E032", "disk"),
        (RepositoryError::Unsupported("bert cannot run here".into()), "E012", "bert cannot run here"),
    ] {
        let world = World::new().await;
        let admin = world.sign_in("admin").await;
        world.repository.fail_with(error);
        let answer = world.call_json("POST", "/models/pull", admin.token(), json!({"llm": "gpt2"})).await;
        let (_, problem) = answer.body.split_once("event: error\ndata: ").unwrap();
        let problem: Value = serde_json::from_str(problem.trim_end()).unwrap();
        assert_eq!(problem["code"], code);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(told) && !detail.contains("/srv"), "{detail}");
    }
}

#[actix_web::test]
async fn what_is_no_model_of_the_hub_is_refused_before_the_stream_begins() {
    let world = World::new().await;
    let admin = world.sign_in("admin").await;
    let pull = async |llm: &str| world.call_json("POST", "/models/pull", admin.token(), json!({"llm": llm})).await;
    assert!(pull("org/absent").await.expect_problem(404, "E001").contains("org/absent"));
    for llm in ["bundled:fairy-tales", "ollama:llama3.1:8b", "../../etc", ""] {
        pull(llm).await.expect_problem(400, "E012");
    }
}

#[actix_web::test]
async fn no_model_can_be_named_as_the_route_is() {
    let world = World::new().await;
    let admin = world.sign_in("admin").await;
    let body = json!({"llm": "gpt2"});
    assert_eq!(world.call_json("POST", "/models/tales", admin.token(), body).await.status, 201);
    let renamed = json!({"llm": "gpt2", "name": "pull"});
    world.call_json("PUT", "/models/tales", admin.token(), renamed).await.expect_problem(400, "E012");
}
