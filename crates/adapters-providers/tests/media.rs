//! Pictures and speech of scripted providers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::time::Duration;

use adapters_providers::http::breaker::BreakerConfig;
use adapters_providers::http::{BaseUrl, Endpoint, EndpointConfig, HttpLimits};
use adapters_providers::media::{Gtts, GttsPace, MediaLimits, OpenAiImages, OpenAiSpeech, Places, Pollinations, PollinationsApi};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::{AudioFormat, ImageSize, Pitch, Seed, Speed, VoiceName};
use futures_util::{StreamExt, TryStreamExt};
use ports::{GenerationError, ImageGenerator, ImageRequest, SpeechRequest, SpeechSynthesizer};
use secrecy::SecretString;
use serde_json::json;
use support::scripted_server::{Request, ScriptedServer, Step, answer, bytes, head};
use support::{KEY, config, providers};

fn limits() -> MediaLimits {
    MediaLimits { deadline: Duration::from_secs(5), places: Places::new(2, 2) }
}

fn endpoint(server: &ScriptedServer, provider: &'static str, key: Option<&str>) -> Endpoint {
    let base_url = BaseUrl::parse(&server.url).unwrap();
    let api_key = key.map(SecretString::from);
    let config = EndpointConfig { provider, base_url, api_key, headers: Vec::new(), limits: config(&server.url).limits };
    Endpoint::new(providers(server).http_client(), config).unwrap()
}

fn a_dragon() -> ImageRequest {
    ImageRequest {
        prompt: "a dragon & a / knight?".into(),
        size: ImageSize::new(640, 480).unwrap(),
        seed: Seed::new((1 << 31) + 5).unwrap(),
        provider_model: None,
    }
}

fn says(text: &str, voice: &str) -> SpeechRequest {
    SpeechRequest {
        text: text.into(),
        voice: VoiceName::new(voice).unwrap(),
        format: AudioFormat::Mp3,
        speed: Speed::default(),
        pitch: Pitch::default(),
        provider_model: None,
    }
}

fn sends(content_type: &'static str, body: &'static [u8]) -> impl Fn(&Request) -> Vec<Step> + Send + Sync {
    move |_| vec![head("200 OK", &format!("content-type: {content_type}\r\n")), bytes(body)]
}

#[tokio::test]
async fn pollinations_is_asked_by_either_of_its_interfaces() {
    let server = ScriptedServer::start(sends("image/jpeg", b"a picture")).await;
    for (api, key, folder) in [(PollinationsApi::Prompt, None, "prompt"), (PollinationsApi::Image, Some(KEY), "image")] {
        let pollinations = Pollinations::new(endpoint(&server, "pollinations", key), api, limits());
        let request = ImageRequest { provider_model: Some("flux".into()), ..a_dragon() };
        assert_eq!(pollinations.generate(request).await.unwrap(), "a picture");
        let asked = server.requests().pop().unwrap();
        let expected = format!(
            "GET /{folder}/a%20dragon%20&%20a%20%2F%20knight%3F?width=640&height=480&seed=5&nologo=true&private=true&model=flux"
        );
        assert_eq!(asked.line, expected);
        assert_eq!(asked.header("authorization"), key.map(|key| format!("Bearer {key}")).as_deref());
    }
}

#[tokio::test]
async fn what_is_no_picture_or_too_much_of_one_is_a_bad_answer() {
    for script in [
        Box::new(sends("text/html", b"<html>")) as Box<dyn Fn(&Request) -> Vec<Step> + Send + Sync>,
        Box::new(|_: &Request| answer("500 Internal Server Error", &json!({"error": "x"}))),
        Box::new(|_: &Request| vec![head("200 OK", "content-type: image/png\r\n"), bytes(vec![0; 33 << 20])]),
    ] {
        let server = ScriptedServer::start(script).await;
        let pollinations = Pollinations::new(endpoint(&server, "pollinations", None), PollinationsApi::Prompt, limits());
        let failed = pollinations.generate(a_dragon()).await.unwrap_err();
        assert!(matches!(failed, GenerationError::ProviderFailed { provider: "pollinations", .. }), "{failed}");
    }
}

#[tokio::test]
async fn a_provider_that_is_away_is_told_with_the_setting_to_change() {
    let server = ScriptedServer::start(|_: &Request| vec![Step::Reset]).await;
    let nowhere = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let config = |provider| EndpointConfig {
        provider,
        base_url: BaseUrl::parse(&nowhere).unwrap(),
        api_key: None,
        headers: Vec::new(),
        limits: config(&server.url).limits,
    };
    let at = |provider| Endpoint::new(providers(&server).http_client(), config(provider)).unwrap();
    let pollinations = Pollinations::new(at("pollinations"), PollinationsApi::Prompt, limits());
    let Err(GenerationError::ModelUnavailable(told)) = pollinations.generate(a_dragon()).await else { panic!() };
    assert!(told.contains("POLLINATIONS_BASE_URL") && told.contains("IMAGE_BACKEND"), "{told}");
    let gtts = Gtts::new(at("gtts"), GttsPace::Normal, limits());
    let Err(GenerationError::ModelUnavailable(told)) = gtts.synthesize(says("Hello", "en")).await.map(drop) else { panic!() };
    assert!(told.contains("GTTS_BASE_URL") && told.contains("SPEECH_BACKEND"), "{told}");
}

#[tokio::test]
async fn openai_is_asked_for_a_picture_in_the_answer() {
    let server = ScriptedServer::start(|_: &Request| {
        answer("200 OK", &json!({"created": 1, "data": [{"b64_json": STANDARD.encode("a picture")}]}))
    })
    .await;
    let images = OpenAiImages::new(providers(&server).openai_endpoint(), "gpt-image-1".into(), limits());
    assert_eq!(images.generate(a_dragon()).await.unwrap(), "a picture");
    let asked = server.requests().pop().unwrap();
    assert_eq!(
        (asked.line.as_str(), asked.header("authorization")),
        ("POST /v1/images/generations", Some(format!("Bearer {KEY}").as_str()))
    );
    assert_eq!(asked.body, json!({"model": "gpt-image-1", "prompt": "a dragon & a / knight?", "n": 1, "size": "1536x1024"}));
    images.generate(ImageRequest { provider_model: Some("sd".into()), ..a_dragon() }).await.unwrap();
    let asked = server.requests().pop().unwrap().body;
    assert_eq!((&asked["size"], &asked["response_format"]), (&json!("640x480"), &json!("b64_json")));
}

#[tokio::test]
async fn a_link_in_place_of_a_picture_is_not_followed() {
    for data in [json!([{"url": "http://169.254.169.254/secret"}]), json!([]), json!([{"b64_json": "***"}])] {
        let server = ScriptedServer::start(move |_: &Request| answer("200 OK", &json!({"data": data}))).await;
        let images = OpenAiImages::new(providers(&server).openai_endpoint(), "dall-e-3".into(), limits());
        let failed = images.generate(a_dragon()).await.unwrap_err();
        assert!(matches!(failed, GenerationError::ProviderFailed { .. }), "{failed}");
    }
}

#[tokio::test]
async fn openai_speech_flows_while_it_comes() {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let until = std::sync::Arc::clone(&gate);
    let server = ScriptedServer::start(move |_: &Request| {
        vec![head("200 OK", "content-type: audio/mpeg\r\n"), bytes("once "), Step::Until(until.clone()), bytes("upon")]
    })
    .await;
    let speech = OpenAiSpeech::new(providers(&server).openai_endpoint(), "tts-1".into(), limits());
    let request = SpeechRequest { format: AudioFormat::Opus, speed: Speed::new(2.0).unwrap(), ..says("Hello", "en") };
    let mut sound = speech.synthesize(request).await.unwrap();
    assert_eq!(sound.next().await.unwrap().unwrap(), "once ");
    gate.add_permits(1);
    assert_eq!(sound.next().await.unwrap().unwrap(), "upon");
    assert!(sound.next().await.is_none());
    let asked = server.requests().pop().unwrap().body;
    assert_eq!(asked, json!({"model": "tts-1", "input": "Hello", "voice": "alloy", "response_format": "opus", "speed": 2.0}));
}

#[tokio::test]
async fn a_long_text_is_spoken_by_google_in_pieces_that_are_joined() {
    let server = ScriptedServer::start(|request: &Request| {
        vec![head("200 OK", "content-type: audio/mpeg\r\n"), bytes(format!("[{}]", request.number))]
    })
    .await;
    let text = "Once upon a time there was a king. ".repeat(6);
    for (pace, speed) in [(GttsPace::Normal, "ttsspeed=1&"), (GttsPace::Slow, "ttsspeed=0.24&")] {
        let before = server.requests().len();
        let gtts = Gtts::new(endpoint(&server, "gtts", None), pace, limits());
        let pieces: Vec<_> = gtts.synthesize(says(&text, "zh-cn")).await.unwrap().try_collect().await.unwrap();
        let expected = [0, 1, 2].map(|number| format!("[{}]", before + number)).concat();
        assert_eq!(pieces.concat(), expected.as_bytes());
        let asked = server.requests().pop().unwrap().line;
        assert!(asked.starts_with("GET /translate_tts?ie=UTF-8&client=tw-ob&tl=zh-CN&") && asked.contains(speed), "{asked}");
        assert!(asked.contains("q=Once+upon+a+time+there+was+a+king.+Once"), "{asked}");
    }
    let gtts = Gtts::new(endpoint(&server, "gtts", None), GttsPace::Normal, limits());
    let refused = gtts.synthesize(says("Hello", "klingon")).await.map(drop);
    assert_eq!(refused, Err(GenerationError::Unsupported { field: "voice" }));
}

#[tokio::test]
async fn a_piece_that_fails_ends_the_sound_with_an_error() {
    let server = ScriptedServer::start(|request: &Request| match request.number {
        0 => vec![head("200 OK", "content-type: audio/mpeg\r\n"), bytes("first")],
        _ => answer("429 Too Many Requests", &json!({})),
    })
    .await;
    let gtts = Gtts::new(endpoint(&server, "gtts", None), GttsPace::Normal, limits());
    let mut sound = gtts.synthesize(says(&"Once upon a time. ".repeat(10), "en")).await.unwrap();
    assert_eq!(sound.next().await.unwrap().unwrap(), "first");
    assert!(matches!(sound.next().await, Some(Err(GenerationError::ProviderBusy { provider: "gtts", .. }))));
    assert!(sound.next().await.is_none(), "nothing follows");
}

#[tokio::test]
async fn a_reader_who_does_not_read_keeps_no_call_and_no_place() {
    let server =
        ScriptedServer::start(|_: &Request| vec![head("200 OK", "content-type: audio/mpeg\r\n"), bytes("once "), Step::Hang])
            .await;
    let tight = MediaLimits { deadline: Duration::from_millis(500), places: Places::new(1, 0) };
    let speech = OpenAiSpeech::new(providers(&server).openai_endpoint(), "tts-1".into(), tight);
    let unread = speech.synthesize(says("Hello", "en")).await.unwrap();
    server.abandoned(1).await;
    drop(speech.synthesize(says("Hello", "en")).await.unwrap());
    let pieces: Vec<_> = unread.collect().await;
    assert!(pieces.last().is_some_and(Result::is_err), "nobody takes half of it for the whole: {pieces:?}");
}

#[tokio::test]
async fn a_key_that_is_refused_is_told_by_its_setting_and_a_request_by_the_providers_reasons() {
    let server = ScriptedServer::start(|request: &Request| match request.number {
        0 | 1 => answer("401 Unauthorized", &json!({"error": {"message": format!("Incorrect API key provided: {KEY}")}})),
        _ => answer("400 Bad Request", &json!({"error": {"message": "Your prompt was rejected by our safety system."}})),
    })
    .await;
    let speech = OpenAiSpeech::new(providers(&server).openai_endpoint(), "tts-1".into(), limits());
    let pollinations = Pollinations::new(endpoint(&server, "pollinations", Some(KEY)), PollinationsApi::Image, limits());
    let refused = [
        (speech.synthesize(says("Hello", "es")).await.map(drop).unwrap_err(), "OPENAI_API_KEY"),
        (pollinations.generate(a_dragon()).await.map(drop).unwrap_err(), "POLLINATIONS_API_KEY"),
    ];
    for (error, setting) in refused {
        let GenerationError::ProviderFailed { problem, .. } = &error else { panic!("{error:?}") };
        assert!(problem.contains(setting) && !format!("{error:?}").contains(KEY), "{problem}");
    }
    assert_eq!(server.requests()[0].body["voice"], "alloy", "a language is none of its voices");
    let error = speech.synthesize(says("Hello", "en")).await.map(drop).unwrap_err();
    let GenerationError::InputRefused(told) = &error else { panic!("{error:?}") };
    assert!(told.contains("rejected by our safety system"), "{told}");
}

#[tokio::test]
async fn a_provider_that_never_answers_is_left_alone_after_a_while() {
    let server = ScriptedServer::start(|_: &Request| vec![Step::Hang]).await;
    let short = MediaLimits { deadline: Duration::from_secs(1), ..limits() };
    let limits =
        HttpLimits { breaker: BreakerConfig { failures_to_open: 2, ..BreakerConfig::default() }, ..config(&server.url).limits };
    let base_url = BaseUrl::parse(&server.url).unwrap();
    let endpoint = EndpointConfig { provider: "pollinations", base_url, api_key: None, headers: Vec::new(), limits };
    let endpoint = Endpoint::new(providers(&server).http_client(), endpoint).unwrap();
    let pollinations = Pollinations::new(endpoint, PollinationsApi::Prompt, short);
    for _ in 0..4 {
        assert!(matches!(pollinations.generate(a_dragon()).await, Err(GenerationError::ModelUnavailable(_))));
    }
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn whoever_goes_away_closes_the_connection_and_frees_the_place() {
    let server =
        ScriptedServer::start(|_: &Request| vec![head("200 OK", "content-type: audio/mpeg\r\n"), bytes("once "), Step::Hang])
            .await;
    let tight = MediaLimits { places: Places::new(1, 0), ..limits() };
    let speech = OpenAiSpeech::new(providers(&server).openai_endpoint(), "tts-1".into(), tight);
    let mut sound = speech.synthesize(says("Hello", "en")).await.unwrap();
    sound.next().await.unwrap().unwrap();
    let second = speech.synthesize(says("Hello", "en")).await.map(drop);
    assert!(matches!(second, Err(GenerationError::Overloaded { .. })), "{second:?}");
    drop(sound);
    server.abandoned(1).await;
    assert!(speech.synthesize(says("Hello", "en")).await.is_ok());
}
