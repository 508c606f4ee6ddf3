//! Pictures and speech whose objects are in S3: a real server of its protocol, in this process. It answers on a thread of its own, since a
//! story waits for the binary to start, which asks it.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::media::{fetch, files, killed_while_storing, listen, speak};
use crate::support::{Answer, Server, eventually};

#[path = "../../crates/adapters-storage/tests/storage/loopback_s3.rs"]
mod loopback_s3;

use loopback_s3::{ACCESS_KEY, BUCKET, LoopbackS3, SECRET_KEY};

fn settings(s3: &LoopbackS3) -> [(&str, &str); 5] {
    [
        ("STORAGE", "s3"),
        ("S3_ENDPOINT", &s3.endpoint),
        ("S3_BUCKET", BUCKET),
        ("S3_ACCESS_KEY_ID", ACCESS_KEY),
        ("S3_SECRET_ACCESS_KEY", SECRET_KEY),
    ]
}

fn bucket(s3: &LoopbackS3) -> PathBuf {
    s3.place.path().join(BUCKET)
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_is_handed_out_by_the_bucket_and_goes_with_its_record() {
    let s3 = LoopbackS3::start().await;
    let server = Server::start(&settings(&s3));
    let ana = server.newcomer("ana").await;
    let (first, second) =
        (speak(&ana, json!({"prompt": "Once upon a time"})).await, speak(&ana, json!({"prompt": "The end"})).await);
    let url = first["download_url"].as_str().unwrap();
    assert!(url.starts_with(&s3.endpoint), "{url}");
    let (status, content_type, bytes) = fetch(url).await;
    assert_eq!((status, content_type.as_str(), &first["size_bytes"]), (StatusCode::OK, "audio/mpeg", &json!(bytes.len())));
    assert!(listen(bytes).1 > 0.01);
    let (head, signature) = url.split_once("Signature=").unwrap();
    let digit = if signature.starts_with('0') { '1' } else { '0' };
    for wrong in [format!("{head}Signature={digit}{}", &signature[1..]), url.replace(id(&first), id(&second))] {
        assert_eq!(fetch(&wrong).await.0, StatusCode::FORBIDDEN, "{wrong}");
    }
    let lines = async || {
        let name = files(&bucket(&s3)).into_iter().find(|name| name.contains("/tts/history/"))?;
        let text = std::fs::read_to_string(bucket(&s3).join(name)).ok()?;
        Some(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone()).collect::<Vec<_>>())
    };
    let both = [first["id"].clone(), second["id"].clone()];
    eventually("the history has a line for each", async || (lines().await? == both).then_some(())).await;
    let removed = Answer::of(ana.request(Method::DELETE, &format!("/tts/{}", id(&first)))).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT, "{removed:?}");
    assert_eq!(fetch(url).await.0, StatusCode::NOT_FOUND);
    eventually("its line goes too", async || (lines().await? == both[1..]).then_some(())).await;
    assert!(files(&bucket(&s3)).iter().all(|name| !name.contains(id(&first))), "nothing is left of it");
}

fn id(record: &Value) -> &str {
    record["id"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_no_record_claims_to_be_done_without_its_object_in_the_bucket() {
    let s3 = LoopbackS3::start().await;
    killed_while_storing(&settings(&s3), |_| bucket(&s3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_server_left_in_the_bucket_is_swept_away_at_the_next_start() {
    let s3 = LoopbackS3::start().await;
    let server = Server::start(&settings(&s3));
    let ana = server.newcomer("ana").await;
    let kept = speak(&ana, json!({"prompt": "Once upon a time"})).await;
    let folder = server.kill();
    let orphan = "requests/2026/01/01/0197a1b2-0000-7000-8000-0000000000ff/audio";
    std::fs::create_dir_all(bucket(&s3).join(orphan)).unwrap();
    let hours_ago = SystemTime::now() - Duration::from_hours(2);
    for name in ["output.mp3", "output.opus"] {
        std::fs::write(bucket(&s3).join(orphan).join(name), "half of it").unwrap();
    }
    let old = std::fs::File::options().write(true).open(bucket(&s3).join(orphan).join("output.mp3")).unwrap();
    old.set_modified(hours_ago).unwrap();
    let server = Server::start_in(folder, &settings(&s3));
    let orphans = || files(&bucket(&s3)).into_iter().filter(|name| name.starts_with(orphan)).collect::<Vec<_>>();
    eventually("the old one is gone", async || (orphans().len() < 2).then_some(())).await;
    assert_eq!(orphans(), [format!("{orphan}/output.opus")], "a young one may still get its record");
    let ana = server.sign_in("ana").await;
    let link = ana.get(&format!("/tts/{}/download", id(&kept))).await;
    assert_eq!(fetch(link.body["url"].as_str().unwrap()).await.0, StatusCode::OK, "what has a record stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_s3_is_away_or_refuses_the_key_the_settings_are_named_and_the_record_fails() {
    let s3 = LoopbackS3::start().await;
    let wrong_key = settings(&s3).map(|(name, value)| (name, if name == "S3_SECRET_ACCESS_KEY" { "another" } else { value }));
    let nowhere = settings(&s3).map(|(name, value)| (name, if name == "S3_ENDPOINT" { "http://127.0.0.1:9" } else { value }));
    for settings in [nowhere, wrong_key] {
        let server = Server::start(&settings);
        let ana = server.newcomer("ana").await;
        let refused = ana.post("/tts/generate", &json!({"prompt": "Hello"})).await;
        assert_eq!((refused.status, &refused.body["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("E032")), "{refused:?}");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains("S3_ENDPOINT") && detail.contains("S3_ACCESS_KEY_ID"), "{detail}");
        let record = ana.get("/tts").await.body["items"][0].clone();
        assert_eq!((&record["status"], &record["download_url"]), (&json!("failed"), &Value::Null), "{record}");
        assert!(!server.log().contains("another"), "no secret is logged");
    }
    assert_eq!(files(&bucket(&s3)), Vec::<String>::new(), "nothing came through");
}
