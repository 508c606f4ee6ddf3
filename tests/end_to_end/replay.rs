//! A text is made again from its record, whatever the server is doing.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Caller, Server, eventually};

async fn replay(caller: &Caller, id: &Value) -> Value {
    let answer = caller.post(&format!("/text_generations/{}/replay", id.as_str().unwrap()), &json!({})).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.body
}

#[tokio::test]
async fn a_text_comes_out_the_same_also_after_a_restart_and_among_others() {
    let server = Server::start(&[]);
    let ana = server.newcomer("ana").await;
    let request = json!({
        "prompt": "Once upon a time", "max_new_tokens": 60, "temperature": 1.2, "top_p": 0.95, "top_k": 200, "min_p": 0.01,
        "repetition_penalty": 1.1, "frequency_penalty": 0.3, "logit_bias": {"13": -2.5}, "stop": ["The end"],
    });
    let record = ana.post("/text_generations", &request).await.body;
    assert_eq!(record["weights_digest"].as_str().unwrap().len(), 64);
    assert!(record["first_token_ms"].as_u64().unwrap() <= record["duration_ms"].as_u64().unwrap(), "{record}");

    let server = Server::start_in(server.kill(), &[]);
    let ana = server.sign_in("ana").await;
    let noise = json!({"prompt": "Far away", "max_new_tokens": 100, "temperature": 1.0});
    let others: Vec<_> = (0..4)
        .map(|_| {
            let (ana, noise) = (ana.clone(), noise.clone());
            tokio::spawn(async move { ana.post("/text_generations", &noise).await.status })
        })
        .collect();
    let replayed = replay(&ana, &record["id"]).await;
    assert_eq!(replayed["identical"], true, "{replayed}");
    assert_eq!((&replayed["record"], &replayed["usage"]), (&record, &record["usage"]));
    for other in others {
        assert_eq!(other.await.unwrap(), StatusCode::CREATED);
    }

    let path = format!("/text_generations/{}", record["id"].as_str().unwrap());
    ana.send(reqwest::Method::PATCH, &path, &json!({"generated_text": "mine"})).await;
    let refused = ana.post(&format!("{path}/replay"), &json!({})).await;
    assert_eq!((refused.status, &refused.body["code"]), (StatusCode::CONFLICT, &json!("E043")));
}

#[tokio::test]
async fn an_interrupted_text_is_made_to_its_end() {
    let server = Server::start(&[("STREAM_HEARTBEAT_SECONDS", "1")]);
    let ana = server.newcomer("ana").await;
    let mut events = ana.stream(json!({"prompt": "Once upon a time", "max_new_tokens": 300, "temperature": 1.0})).await;
    events.next().await.unwrap();
    drop(events);
    let record = eventually("the interrupted text is stored", async || {
        ana.get("/text_generations/all").await.body.as_array().unwrap().first().cloned()
    })
    .await;
    assert_eq!(record["finish_reason"], "interrupted");
    let replayed = replay(&ana, &record["id"]).await;
    assert_eq!(replayed["identical"], true, "{replayed}");
    assert_ne!(replayed["finish_reason"], "interrupted");
    let (kept, whole) = (record["generated_text"].as_str().unwrap(), replayed["generated_text"].as_str().unwrap());
    assert!(whole.len() > kept.len() && whole.starts_with(kept));
}
