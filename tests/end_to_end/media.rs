//! Pictures and speech: made, kept, handed out by signed links, and gone when they should be.

use std::io::Cursor;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use symphonia::core::audio::SampleBuffer;
use symphonia::core::codecs::DecoderOptions;
use symphonia::core::formats::FormatOptions;
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::probe::Hint;

use crate::picture_service::{a_jpeg, http, scripted};
use crate::support::{Answer, Caller, Server, eventually};

/// Seconds of sound, and how loud it is (1.0 being as loud as can be), as a decoder that is not ours hears them.
pub(crate) fn listen(bytes: Vec<u8>) -> (f64, f64) {
    let source = MediaSourceStream::new(Box::new(Cursor::new(bytes)), MediaSourceStreamOptions::default());
    let probe = symphonia::default::get_probe();
    let mut format = probe.format(&Hint::new(), source, &FormatOptions::default(), &MetadataOptions::default()).unwrap().format;
    let track = format.default_track().unwrap().clone();
    let mut decoder = symphonia::default::get_codecs().make(&track.codec_params, &DecoderOptions::default()).unwrap();
    let (mut samples, mut rate) = (Vec::new(), 1);
    while let Ok(packet) = format.next_packet() {
        let piece = decoder.decode(&packet).expect("every packet can be decoded");
        rate = piece.spec().rate;
        let mut buffer = SampleBuffer::<f32>::new(piece.capacity() as u64, *piece.spec());
        buffer.copy_interleaved_ref(piece);
        samples.extend_from_slice(buffer.samples());
    }
    let count = f64::from(u32::try_from(samples.len()).unwrap());
    let power: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    (count / f64::from(rate), (power / count).sqrt())
}

/// Follows a link as somebody who never signed in.
pub(crate) async fn fetch(url: &str) -> (StatusCode, String, Vec<u8>) {
    let response = reqwest::Client::builder().no_proxy().build().unwrap().get(url).send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let content_type = headers.get("content-type").map_or("", |value| value.to_str().unwrap()).to_owned();
    (status, content_type, response.bytes().await.unwrap().to_vec())
}

pub(crate) async fn speak(caller: &Caller, body: Value) -> Value {
    let answer = caller.post("/tts/generate", &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.body
}

/// Every file below a folder, by its path from there.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn eight_languages_become_mp3_that_anybody_with_the_link_can_hear() {
    let server = Server::start(&[]);
    let ana = server.newcomer("ana").await;
    for (voice, prompt) in [
        ("en", "Once upon a time there was a king who had three daughters."),
        ("es", "Érase una vez un rey que tenía tres hijas."),
        ("fr", "Il était une fois un roi qui avait trois filles."),
        ("de", "Es war einmal ein König, der hatte drei Töchter."),
        ("it", "C'era una volta un re che aveva tre figlie."),
        ("pt", "Era uma vez um rei que tinha três filhas."),
        ("ja", "むかしむかし、あるところに、おうさまがいました。"),
        ("zh-CN", "从前有一个国王，他有三个女儿。"),
    ] {
        let record = speak(&ana, json!({"prompt": prompt, "voice": voice})).await;
        assert_eq!((&record["status"], &record["prompt"], &record["voice"]), (&json!("done"), &json!(prompt), &json!(voice)));
        let (status, content_type, bytes) = fetch(record["download_url"].as_str().unwrap()).await;
        assert_eq!((status, content_type.as_str()), (StatusCode::OK, "audio/mpeg"), "{voice}");
        assert_eq!(record["size_bytes"], bytes.len());
        let (seconds, loudness) = listen(bytes);
        assert!((1.0..30.0).contains(&seconds) && loudness > 0.01, "{voice}: {seconds} s at {loudness}");
    }
    let history = ana.get("/tts?limit=5").await.body;
    assert_eq!(history["items"].as_array().unwrap().len(), 5);
    assert!(history["next_cursor"].is_string());
    let objects = server.folder.path().join("data/objects");
    let lines = eventually("the day's file has a line for each", async || {
        let name = files(&objects).into_iter().find(|name| name.contains("/tts/history/"))?;
        let text = std::fs::read_to_string(objects.join(name)).unwrap();
        (text.lines().count() == 8).then_some(text)
    })
    .await;
    assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["status"] == "done"), "{lines}");
}

#[tokio::test]
async fn a_text_becomes_opus_that_its_authors_decoder_hears_to_the_same_end() {
    let server = Server::start(&[]);
    let ana = server.newcomer("ana").await;
    let mut lengths = Vec::new();
    for (format, expected) in [("opus", "audio/ogg"), ("wav", "audio/wav")] {
        let record = speak(&ana, json!({"prompt": "Once upon a time there was a king.", "format": format})).await;
        let (status, content_type, bytes) = fetch(record["download_url"].as_str().unwrap()).await;
        assert_eq!((status, content_type.as_str()), (StatusCode::OK, expected));
        let (seconds, loudness) = listen(if format == "opus" { opusdec(&bytes) } else { bytes });
        assert!(loudness > 0.01, "{format}: {loudness}");
        lengths.push(seconds);
    }
    assert!((lengths[0] - lengths[1]).abs() < 0.001, "{lengths:?}");
}

/// What the program of Opus's authors makes of a file, as WAV.
fn opusdec(bytes: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (file, decoded) = (folder.path().join("sound.opus"), folder.path().join("sound.wav"));
    std::fs::write(&file, bytes).unwrap();
    let status = std::process::Command::new("opusdec").arg("--quiet").args([&file, &decoded]).status();
    assert!(status.expect("opusdec is installed (scripts/setup.sh sees to it)").success());
    std::fs::read(decoded).unwrap()
}

#[tokio::test]
async fn a_link_works_for_one_object_until_its_time_is_over_and_in_parts() {
    let server = Server::start(&[("SIGNED_URL_EXPIRE_SECONDS", "3")]);
    let ana = server.newcomer("ana").await;
    let record = speak(&ana, json!({"prompt": "Once upon a time", "format": "wav"})).await;
    let other = speak(&ana, json!({"prompt": "Another time"})).await;
    let path = format!("/tts/{}/download", record["id"].as_str().unwrap());
    assert_eq!(server.anonymous().get(&path).await.status, StatusCode::NOT_FOUND, "a link is the owner's to ask for");
    let link = ana.get(&path).await.body;
    let url = link["url"].as_str().unwrap();
    let (status, content_type, whole) = fetch(url).await;
    assert_eq!((status, content_type.as_str()), (StatusCode::OK, "audio/wav"));
    let ranged = reqwest::Client::builder().no_proxy().build().unwrap().get(url).header("range", "bytes=0-3");
    let part = ranged.send().await.unwrap();
    assert_eq!(
        (part.status(), part.headers()["content-range"].to_str().unwrap()),
        (StatusCode::PARTIAL_CONTENT, format!("bytes 0-3/{}", whole.len()).as_str())
    );
    assert_eq!(part.bytes().await.unwrap(), "RIFF");
    let elsewhere = url.replace(record["id"].as_str().unwrap(), other["id"].as_str().unwrap());
    let longer = url.replace("expires=1", "expires=2");
    let (head, signature) = url.split_once("signature=").unwrap();
    let digit = if signature.starts_with('0') { '1' } else { '0' };
    let changed = format!("{head}signature={digit}{}", &signature[1..]);
    for wrong in [&elsewhere, &longer, &changed, &url.replace("/objects/", "/objects/../"), &head.to_owned()] {
        let (status, _, body) = fetch(wrong).await;
        assert!(status.is_client_error() && !body.starts_with(b"RIFF"), "{wrong}: {status}");
    }
    eventually("its time is over", async || (fetch(url).await.0 == StatusCode::FORBIDDEN).then_some(())).await;
    let redirected = ana.request(Method::GET, &format!("{path}?redirect=true")).send().await.unwrap();
    assert_eq!(redirected.bytes().await.unwrap(), whole, "a client that follows needs no more than the path");
}

#[tokio::test]
async fn sound_streams_while_it_is_made_also_for_openais_clients() {
    let server = Server::start(&[]);
    let ana = server.newcomer("ana").await;
    let prompt = "Once upon a time there was a king who had three daughters. ".repeat(20);
    for (path, body) in [
        ("/tts/generate", json!({"prompt": prompt, "stream": true})),
        ("/v1/audio/speech", json!({"model": "tts-1", "voice": "alloy", "input": prompt})),
    ] {
        let response = ana.request(Method::POST, path).json(&body).send().await.unwrap();
        assert_eq!((response.status(), response.headers()["content-type"].to_str().unwrap()), (StatusCode::OK, "audio/mpeg"));
        let record = response.headers()["content-location"].to_str().unwrap().to_owned();
        let bytes = response.bytes().await.unwrap().to_vec();
        assert!(listen(bytes.clone()).0 > 30.0);
        let kept = ana.get(&record).await.body;
        assert_eq!((&kept["status"], &kept["size_bytes"]), (&json!("done"), &json!(bytes.len())));
    }
}

#[tokio::test]
async fn whoever_stops_listening_leaves_a_failed_record_and_no_object() {
    let server = Server::start(&[("MAX_SPEECH_CHARACTERS", "100000")]);
    let ana = server.newcomer("ana").await;
    let prompt = "Once upon a time there was a king who had three daughters. ".repeat(1500);
    let request = ana.request(Method::POST, "/tts/generate").json(&json!({"prompt": prompt, "stream": true}));
    let response = request.send().await.unwrap();
    let record = response.headers()["content-location"].to_str().unwrap().to_owned();
    let mut sound = response.bytes_stream();
    sound.next().await.unwrap().unwrap();
    drop(sound);
    let failed = eventually("the record fails", async || {
        let kept = ana.get(&record).await.body;
        (kept["status"] == "failed").then_some(kept)
    })
    .await;
    assert!(failed["download_url"].is_null() && failed["error"].as_str().unwrap().contains("went away"), "{failed}");
    let folder = server.folder.path().join("data/objects");
    eventually("nothing half-made is left", async || {
        let objects = files(&folder);
        objects.iter().all(|name| !name.contains("audio/") && !name.starts_with(".uploads")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_picture_of_a_provider_becomes_a_png_of_our_own() {
    let (told, asked) = std::sync::mpsc::channel();
    let provider = scripted(move |line| {
        told.send(line.to_owned()).unwrap();
        http("image/jpeg", &a_jpeg(300, 200))
    });
    let server = Server::start(&[("POLLINATIONS_BASE_URL", &provider)]);
    let ana = server.newcomer("ana").await;
    let body = json!({"prompt": "a lighthouse / in a storm?", "size": "256x128", "seed": 7});
    let made = ana.post("/image/generate", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.header("location"), format!("/image/{}", made.body["id"].as_str().unwrap()));
    let line = asked.recv().unwrap();
    assert!(line.starts_with("GET /prompt/a%20lighthouse%20%2F%20in%20a%20storm%3F?"), "{line}");
    assert!(line.contains("width=256&height=128&seed=7"), "{line}");
    let (status, content_type, png) = fetch(made.body["download_url"].as_str().unwrap()).await;
    assert_eq!((status, content_type.as_str()), (StatusCode::OK, "image/png"));
    let picture = image::load_from_memory_with_format(&png, image::ImageFormat::Png).unwrap();
    assert_eq!((picture.width(), picture.height()), (256, 128));
    let (status, content_type, webp) = fetch(made.body["thumbnail_url"].as_str().unwrap()).await;
    assert_eq!((status, content_type.as_str(), &webp[8..12]), (StatusCode::OK, "image/webp", b"WEBP".as_slice()));
    let openai = ana.post("/v1/images/generations", &json!({"prompt": "a cat", "model": "gpt-image-1", "size": "64x64"})).await;
    assert!(openai.body["data"][0]["b64_json"].as_str().unwrap().starts_with("iVBOR"), "{openai:?}");
    assert_eq!(ana.get("/image").await.body["items"].as_array().unwrap().len(), 2);
    assert_eq!(ana.get("/admin/images").await.body["items"].as_array().unwrap().len(), 2, "the first user is admin");
}

#[tokio::test]
async fn a_provider_that_is_down_or_sends_nonsense_leaves_a_failed_record_with_its_reason() {
    let nonsense = scripted(|_| http("image/png", b"<html>not a picture</html>"));
    let nowhere = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    for (url, status, reason) in [(&nonsense, 502, "answered badly"), (&nowhere, 503, "POLLINATIONS_BASE_URL")] {
        let server = Server::start(&[("POLLINATIONS_BASE_URL", url)]);
        let ana = server.newcomer("ana").await;
        let refused = ana.post("/image/generate", &json!({"prompt": "a cat"})).await;
        assert_eq!(refused.status.as_u16(), status, "{refused:?}");
        let record = &ana.get("/image").await.body["items"][0];
        assert_eq!((&record["status"], &record["download_url"]), (&json!("failed"), &Value::Null));
        assert!(record["error"].as_str().unwrap().contains(reason), "{record}");
        let outcome = if status == 502 { "answered" } else { "unreachable" };
        let counted =
            format!("tertulia_provider_requests_total{{provider=\"pollinations\",kind=\"image\",outcome=\"{outcome}\"}} 1");
        let metrics = server.anonymous().get("/metrics").await.text;
        assert!(metrics.contains(&counted), "{metrics}");
        let objects = server.folder.path().join("data/objects");
        eventually("nothing half-made is left", async || {
            let left = files(&objects);
            left.iter().all(|name| !name.contains("/image/original") && !name.contains("/image/thumbnail")).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn where_espeak_is_not_installed_everything_else_works() {
    let server = Server::start(&[("ESPEAK_PROGRAM", "/nowhere/espeak-ng")]);
    let ana = server.newcomer("ana").await;
    let refused = ana.post("/tts/generate", &json!({"prompt": "Hello"})).await;
    assert_eq!((refused.status, &refused.body["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("E028")), "{refused:?}");
    assert!(refused.body["detail"].as_str().unwrap().contains("apt-get install -y espeak-ng"), "{refused:?}");
    assert_eq!(ana.get("/readyz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_guests_recording_is_for_whoever_holds_its_identifier() {
    let server = Server::start(&[]);
    let (guest, ana) = (server.anonymous(), server.newcomer("ana").await);
    let record = speak(&guest, json!({"prompt": "Hello"})).await;
    let id = record["id"].as_str().unwrap();
    assert_eq!((id.len(), &record["user_id"]), (36 + 1 + 32, &Value::Null), "{record}");
    let link = record["download_url"].as_str().unwrap();
    assert!(
        link.contains(&id[..36]) && !link.contains(&id[36..]),
        "a link opens one object for a while, and nothing else: {link}"
    );
    assert!(!server.log().contains(&id[36..]), "nor does the log tell it");
    let path = format!("/tts/{id}");
    assert_eq!(ana.get(&path).await.body["prompt"], "Hello");
    assert_eq!(guest.get(&format!("/tts/{}", &id[..36])).await.status, StatusCode::NOT_FOUND);
    let of_ana = speak(&ana, json!({"prompt": "Mine"})).await;
    assert_eq!(guest.get(&format!("/tts/{}", of_ana["id"].as_str().unwrap())).await.status, StatusCode::NOT_FOUND);
    let removed = Answer::of(guest.request(Method::DELETE, &path)).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT, "{removed:?}");
    assert_eq!(fetch(record["download_url"].as_str().unwrap()).await.0, StatusCode::FORBIDDEN, "its link leads nowhere");
    let closed = Server::start(&[("GUEST_MEDIA", "false")]);
    assert_eq!(closed.anonymous().post("/tts/generate", &json!({"prompt": "Hello"})).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn with_an_account_go_its_objects() {
    let server = Server::start(&[]);
    let (admin, ana) = (server.newcomer("admin").await, server.newcomer("ana").await);
    speak(&admin, json!({"prompt": "Mine"})).await;
    let record = speak(&ana, json!({"prompt": "Hello"})).await;
    let export = ana.request(Method::GET, "/users/me/export").send().await.unwrap().bytes().await.unwrap();
    let holds = |name: &str| export.windows(name.len()).any(|window| window == name.as_bytes());
    let object = format!("{}/audio/output.mp3", record["id"].as_str().unwrap());
    assert!(holds("speeches.jsonl") && holds(&object), "the recording is in the archive");
    let removed = Answer::of(ana.request(Method::DELETE, "/users/me")).await;
    assert_eq!(removed.body["removed"]["speeches"], 1, "{removed:?}");
    let objects = server.folder.path().join("data/objects");
    eventually("only the admin's are left", async || {
        let left = files(&objects);
        let of_ana = left.iter().any(|name| name.contains(record["id"].as_str().unwrap()));
        (!of_ana && left.iter().filter(|name| name.contains("/history/")).count() <= 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn after_a_kill_in_the_middle_of_storing_no_record_claims_to_be_done_without_its_object() {
    killed_while_storing(&[], |server| server.folder.path().join("data/objects")).await;
}

/// Kills servers with these settings, whose objects are files below this folder, and looks at what the next one finds.
pub(crate) async fn killed_while_storing(settings: &[(&str, &str)], objects: impl Fn(&Server) -> PathBuf) {
    let settings = [settings, &[("MAX_SPEECH_PROCESSES", "4"), ("MAX_MEDIA_PER_USER", "24")]].concat();
    let mut folder = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let server = Server::start_in(folder, &settings);
        let ana = if round == 0 { server.newcomer("ana").await } else { server.sign_in("ana").await };
        let speaking: Vec<_> = (0..24)
            .map(|n| {
                let ana = ana.clone();
                let prompt = format!("Once upon a time, number {n}. ").repeat(10);
                tokio::spawn(
                    async move { ana.request(Method::POST, "/tts/generate").json(&json!({"prompt": prompt})).send().await },
                )
            })
            .collect();
        eventually("some are made and others are not", async || {
            let done = ana.get("/tts?limit=200").await.body["items"].as_array()?.iter().any(|item| item["status"] == "running");
            done.then_some(())
        })
        .await;
        tokio::time::sleep(std::time::Duration::from_millis(40 * round)).await;
        folder = server.kill();
        speaking.iter().for_each(tokio::task::JoinHandle::abort);
    }
    let server = Server::start_in(folder, &settings);
    let ana = server.sign_in("ana").await;
    let kept = ana.get("/tts?limit=200").await.body;
    let objects = objects(&server);
    let object_of = |record: &Value| {
        let name = format!("{}/audio/output.mp3", record["id"].as_str().unwrap());
        files(&objects).into_iter().find(|file| file.ends_with(&name))
    };
    let (mut done, mut failed) = (0, 0);
    for record in kept["items"].as_array().unwrap() {
        match record["status"].as_str().unwrap() {
            "done" => {
                let size =
                    std::fs::metadata(objects.join(object_of(record).expect("a done record has its object"))).unwrap().len();
                assert_eq!(record["size_bytes"], size);
                assert_eq!(fetch(record["download_url"].as_str().unwrap()).await.0, StatusCode::OK);
                done += 1;
            }
            "failed" => {
                eventually("a failed record has no object", async || object_of(record).is_none().then_some(())).await;
                failed += 1;
            }
            other => panic!("{other} after a restart: {record}"),
        }
    }
    assert!(failed > 0, "the kills hit something ({done} done)");
    speak(&ana, json!({"prompt": "Life goes on"})).await;
}
