//! Whoever signs out takes along the pictures and recordings that they had begun.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::limits::log_in;
use crate::media::files;
use crate::picture_service::scripted;
use crate::support::{PASSWORD, Server, eventually};

/// Speaks English, and does not stop: after a WAV header that says 22,050 samples a second, a little silence ten times a second.
const ENDLESS: &str = r#"#!/bin/sh
if [ "$1" = --voices ]; then echo header; echo '5 en --/M English gmw/en'; exit; fi
cat > /dev/null
printf 'RIFF....WAVEfmt ....\001\000\001\000\042\126\000\000........data....'
while :; do head -c 44100 /dev/zero; sleep 0.1; done
"#;

#[tokio::test]
async fn a_sign_out_breaks_off_pictures_and_recordings_and_gives_their_tokens_back() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("endless");
    std::fs::write(&program, ENDLESS).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let never = scripted(|_| {
        std::thread::sleep(Duration::from_mins(10));
        Vec::new()
    });
    let server = Server::start_in(
        folder,
        &[
            ("STREAM_HEARTBEAT_SECONDS", "1"),
            ("ESPEAK_PROGRAM", program.to_str().unwrap()),
            ("POLLINATIONS_BASE_URL", &never),
            ("TOKENS_PER_DAY", "100000"),
        ],
    );
    server.newcomer("ana").await;
    let anonymous = server.anonymous();
    let signed_in = log_in(&anonymous, "ana", PASSWORD).await.body;
    let ana = server.bearer(signed_in["access_token"].as_str().unwrap());

    let streamed =
        ana.request(Method::POST, "/tts/generate").json(&json!({"prompt": "Hello", "stream": true})).send().await.unwrap();
    let mut sound = streamed.bytes_stream();
    sound.next().await.unwrap().unwrap();
    let whole: Vec<_> = [
        ("/tts/generate", json!({"prompt": "Hello"})),
        ("/image/generate", json!({"prompt": "a dragon"})),
        ("/v1/images/generations", json!({"prompt": "a dragon", "n": 2})),
    ]
    .map(|(path, body)| {
        let ana = ana.clone();
        tokio::spawn(async move { ana.post(path, &body).await })
    })
    .into();
    eventually("all of them are under way", async || {
        let lists = [ana.get("/tts").await.body, ana.get("/image").await.body];
        (lists.iter().map(|list| list["items"].as_array().unwrap().len()).sum::<usize>() == 4).then_some(())
    })
    .await;
    let log_out = anonymous.post("/auth/logout", &json!({"refresh_token": signed_in["refresh_token"]})).await;
    assert_eq!(log_out.status, StatusCode::NO_CONTENT);

    for answer in whole {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{answer:?}");
    }
    let last = loop {
        match sound.next().await {
            Some(Ok(_)) => {}
            last => break last,
        }
    };
    assert!(last.is_some_and(|last| last.is_err()), "half a recording does not look like a whole one");

    let ana = server.sign_in("ana").await;
    eventually("their records have failed", async || {
        let lists = [ana.get("/tts").await.body, ana.get("/image").await.body];
        let mut records = lists.iter().flat_map(|list| list["items"].as_array().unwrap());
        records.all(|record| record["status"] == "failed").then_some(())
    })
    .await;
    eventually("their tokens are given back", async || {
        let tokens = ana.get("/users/me/usage").await.body["tokens"].clone();
        (tokens["used"] == json!(0) && tokens["reserved"] == json!(0)).then_some(())
    })
    .await;
    let objects = server.folder.path().join("data/objects");
    eventually("nothing half-made is left", async || {
        let left = files(&objects);
        left.iter().all(|name| !name.contains("audio/") && !name.starts_with(".uploads")).then_some(())
    })
    .await;
}
