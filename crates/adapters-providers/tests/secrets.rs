//! The key goes to its provider and nowhere else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapters_providers::Providers;
use adapters_providers::media::{MediaLimits, OpenAiImages, OpenAiSpeech, Places};
use domain::{AudioFormat, ImageSize, Pitch, Seed, Speed, VoiceName};
use ports::{ImageGenerator, ImageRequest, SpeechRequest, SpeechSynthesizer};
use secrecy::SecretString;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use support::scripted_server::{Request, ScriptedServer, Step, answer, bytes, event, event_stream, head};
use support::{KEY, chat, config, generate, open, providers};

/// All that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// A provider that says the key back in every way it can.
fn parrot(request: &Request) -> Vec<Step> {
    let key = request.header("authorization").unwrap().trim_start_matches("Bearer ").to_owned();
    let escaped = key.replace('-', "\\u002d");
    match request.number % 8 {
        0 => answer("401 Unauthorized", &json!({"error": {"message": format!("{key} is wrong")}})),
        1 => answer("500 Internal Server Error", &json!({"error": {"message": format!("{key} broke"), "code": key}})),
        2 => vec![head("500 Internal Server Error", ""), bytes(format!("<p>{key}</p>"))],
        3 => vec![head("400 Bad Request", ""), bytes(format!("{{\"error\": \"{escaped}\"}}"))],
        4 => vec![head("307 Temporary Redirect", &format!("location: http://127.0.0.1:9/{key}\r\n"))],
        5 => vec![event_stream(), event(&json!({"error": {"message": key}}))],
        6 => vec![event_stream(), bytes(format!("data: {key}\n\n"))],
        _ => vec![bytes(format!("{key}\r\n"))],
    }
}

fn a_picture() -> ImageRequest {
    ImageRequest { prompt: "my diary".into(), size: ImageSize::default(), seed: Seed::new(1).unwrap(), provider_model: None }
}

fn a_recording() -> SpeechRequest {
    SpeechRequest {
        text: "my diary".into(),
        voice: VoiceName::default(),
        format: AudioFormat::Mp3,
        speed: Speed::default(),
        pitch: Pitch::default(),
        provider_model: None,
    }
}

#[tokio::test]
async fn the_key_is_in_no_error_and_in_no_log() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let server = ScriptedServer::start(parrot).await;
    let providers = providers(&server);
    let model = open(&providers, "openai:gpt-x").await;
    for _ in 0..8 {
        let error = generate(&model, chat("my diary")).await.end.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    let others = support::providers(&server);
    let limits = MediaLimits { deadline: Duration::from_secs(5), places: Places::new(1, 0) };
    let images = OpenAiImages::new(others.openai_endpoint(), "gpt-image-1".into(), limits.clone());
    let speech = OpenAiSpeech::new(others.openai_endpoint(), "tts-1".into(), limits);
    for _ in 0..8 {
        let told = format!("{:?}", images.generate(a_picture()).await.map(drop).unwrap_err());
        assert!(!told.contains("hunter2"), "{told}");
        let told = format!("{:?}", speech.synthesize(a_recording()).await.map(drop).unwrap_err());
        assert!(!told.contains("hunter2"), "{told}");
    }
    let sent = server.requests();
    assert!(sent.len() >= 8 && sent.iter().all(|request| request.header("authorization").unwrap().contains(KEY)));
    let config = config(&server.url);
    assert!(!format!("{config:?}").contains("hunter2"));
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("openai") || log.contains("hyper"), "something was logged: {log}");
    assert!(!log.contains("hunter2") && !log.contains("diary"), "{log}");
}

#[test]
fn a_key_that_cannot_be_sent_is_refused_by_the_setting_and_not_repeated() {
    let mut config = config("http://127.0.0.1:9");
    config.openai.api_key = Some(SecretString::from("sk-hunter2\nX-Evil: 1"));
    let problem = Providers::new(config).err().unwrap();
    assert!(problem.contains("OPENAI_API_KEY") && !problem.contains("hunter2"), "{problem}");
}
