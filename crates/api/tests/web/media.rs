//! Pictures and speech over the web: shapes, links and errors.

use ports::GenerationError;
use serde_json::json;

use crate::support::{Settings, World, to, with_token};

#[actix_web::test]
async fn a_picture_has_the_shape_of_the_contract() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let body = json!({"prompt": "A dragon", "size": "64x128", "seed": 7});
    let made = world.call_json("POST", "/image/generate", ana.token(), body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let image = made.json();
    let id = image["id"].as_str().unwrap();
    assert_eq!(made.header("location"), format!("/image/{id}"));
    for (field, expected) in [
        ("status", json!("done")),
        ("prompt", json!("A dragon")),
        ("model", json!("pollinations")),
        ("size", json!("64x128")),
        ("seed", json!(7)),
        ("content_type", json!("image/png")),
        ("user_id", json!(ana.id)),
    ] {
        assert_eq!(image[field], expected, "{field}");
    }
    let read = world.call("GET", &format!("/image/{id}"), ana.token()).await.json();
    assert_eq!(read, image);
    let listed = world.call("GET", "/image", ana.token()).await.json();
    assert_eq!(listed, json!({"items": [image], "next_cursor": null}));
    let thumbnail = world.call("GET", image["thumbnail_url"].as_str().unwrap(), None).await;
    assert_eq!((thumbnail.header("content-type"), thumbnail.body.as_str()), ("image/webp", "WEBP"));
    assert_eq!(world.call("DELETE", &format!("/image/{id}"), ana.token()).await.status, 204);
    world.call("GET", &format!("/image/{id}"), ana.token()).await.expect_problem(404, "E047");
    assert_eq!(world.storage.keys(), Vec::<String>::new());
}

#[actix_web::test]
async fn a_link_is_answered_with_what_a_player_needs() {
    let world = World::new().await;
    let record = world.call_json("POST", "/tts/generate", None, json!({"prompt": "Once"})).await.json();
    let link = record["download_url"].as_str().unwrap();
    let whole = world.call("GET", link, None).await;
    assert_eq!((whole.status.as_u16(), whole.body.as_str()), (200, "once upon a time"));
    let (etag, length) = (whole.header("etag").to_owned(), whole.header("content-length").to_owned());
    assert_eq!((whole.header("content-type"), whole.header("accept-ranges"), length.as_str()), ("audio/mpeg", "bytes", "16"));
    assert!(whole.header("cache-control").starts_with("private, max-age="));
    let head = world.call("HEAD", link, None).await;
    assert_eq!((head.status.as_u16(), head.header("etag")), (200, etag.as_str()));
    let asked = async |range: &str, version: &str| {
        world.send(to("GET", link).insert_header(("range", range)).insert_header(("if-range", version))).await
    };
    let part = asked("bytes=5-8", &etag).await;
    assert_eq!((part.status.as_u16(), part.header("content-range"), part.body.as_str()), (206, "bytes 5-8/16", "upon"));
    assert_eq!(asked("bytes=5-8", "\"older\"").await.status, 200, "of another version a part would not fit");
    let outside = asked("bytes=16-", &etag).await;
    assert_eq!((outside.status.as_u16(), outside.header("content-range")), (416, "bytes */16"));
}

#[actix_web::test]
async fn a_link_that_is_not_ours_opens_nothing() {
    let world = World::new().await;
    let record = world.call_json("POST", "/tts/generate", None, json!({"prompt": "Once"})).await.json();
    let link = record["download_url"].as_str().unwrap();
    for wrong in
        [link.replace("output", "other"), link.replace("expires=1", "expires=2"), link.replace("signature=", "signature=0")]
    {
        world.call("GET", &wrong, None).await.expect_problem(403, "E049");
    }
    for wrong in ["/objects/a?expires=1&signature=", "/objects/..%2Fsecret?expires=9999999999&signature=00"] {
        world.call("GET", wrong, None).await.expect_problem(403, "E049");
    }
    world.call("GET", link.split('?').next().unwrap(), None).await.expect_problem(422, "E013");
    world.clock.advance(chrono::TimeDelta::minutes(15));
    world.call("GET", link, None).await.expect_problem(403, "E049");
}

#[actix_web::test]
async fn a_download_is_a_link_or_a_redirect_to_it() {
    let world = World::new().await;
    let record = world.call_json("POST", "/tts/generate", None, json!({"prompt": "Once"})).await.json();
    let path = format!("/tts/{}/download", record["id"].as_str().unwrap());
    let link = world.call("GET", &path, None).await.json();
    assert_eq!((&link["url"], &link["expires_at"]), (&record["download_url"], &json!("2026-01-01T12:15:00Z")));
    let redirect = world.call("GET", &format!("{path}?redirect=true"), None).await;
    assert_eq!((redirect.status.as_u16(), redirect.header("location")), (307, link["url"].as_str().unwrap()));
    world.call("GET", &format!("{path}?redirect=perhaps"), None).await.expect_problem(422, "E013");
    world.call("GET", "/tts/nonsense/download", None).await.expect_problem(422, "E013");
}

#[actix_web::test]
async fn whatever_goes_wrong_is_told_with_its_code() {
    let world = World::new().await;
    for (body, status, code) in [
        (json!({"prompt": ""}), 400, "E004"),
        (json!({"prompt": "a".repeat(101)}), 400, "E014"),
        (json!({"prompt": "a", "voice": "klingon"}), 400, "E029"),
        (json!({"prompt": "a", "format": "flac"}), 400, "E012"),
        (json!({"prompt": "a", "speed": 9}), 400, "E012"),
        (json!({"prompt": "a", "colour": "red"}), 422, "E013"),
        (json!({}), 422, "E013"),
    ] {
        world.call_json("POST", "/tts/generate", None, body).await.expect_problem(status, code);
    }
    for (error, status, code) in [
        (GenerationError::Overloaded { retry_after_seconds: 7 }, 503, "E025"),
        (GenerationError::ModelUnavailable("set IMAGE_BACKEND".into()), 503, "E028"),
        (GenerationError::ProviderFailed { provider: "pollinations", problem: "a secret".into() }, 502, "E031"),
        (GenerationError::DeadlineExceeded, 504, "E026"),
    ] {
        world.image_generator.draw(Err(error));
        let detail = world.call_json("POST", "/image/generate", None, json!({"prompt": "a"})).await.expect_problem(status, code);
        assert!(!detail.contains("secret"), "{detail}");
    }
    world.storage.set_down(true);
    world.call_json("POST", "/tts/generate", None, json!({"prompt": "a"})).await.expect_problem(503, "E032");
}

#[actix_web::test]
async fn guests_can_be_kept_out_and_a_bad_token_makes_no_guest() {
    let world = World::with(Settings { allows_guests: false, ..Settings::default() }).await;
    world.call_json("POST", "/tts/generate", None, json!({"prompt": "Once"})).await.expect_problem(401, "E010");
    let world = World::new().await;
    let request = with_token(to("POST", "/tts/generate"), Some("nonsense")).set_json(json!({"prompt": "Once"}));
    world.send(request).await.expect_problem(401, "E010");
    assert_eq!(world.synthesizer.requests().len(), 0);
}

#[actix_web::test]
async fn openais_clients_get_pictures_and_speech_in_their_own_shapes() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let body = json!({"model": "dall-e-3", "prompt": "A dragon", "n": 2, "quality": "hd", "user": "x"});
    let links = world.call_json("POST", "/v1/images/generations", ana.token(), body).await.json();
    assert_eq!((links["data"].as_array().unwrap().len(), &links["created"]), (2, &json!(1_767_268_800)));
    assert!(links["data"][0]["url"].as_str().unwrap().starts_with("/objects/requests/"), "{links}");
    let body = json!({"model": "gpt-image-1", "prompt": "A dragon", "size": "auto"});
    let bytes = world.call_json("POST", "/v1/images/generations", ana.token(), body).await.json();
    assert_eq!(bytes["data"][0]["b64_json"], "UE5HIDEwMjR4MTAyNCBhIHBpY3R1cmU=", "PNG 1024x1024 a picture");
    let body = json!({"model": "tts-1", "voice": "nova", "input": "Once", "response_format": "wav", "speed": 2});
    let sound = world.call_json("POST", "/v1/audio/speech", ana.token(), body).await;
    assert_eq!(
        (sound.status.as_u16(), sound.header("content-type"), sound.body.as_str()),
        (200, "audio/wav", "once upon a time")
    );
    assert_eq!(world.synthesizer.requests()[0].speed.get().to_string(), "2");
    let refused = json!({"model": "tts-1", "voice": "nova", "input": "Once", "instructions": "whisper"});
    let refused = world.call_json("POST", "/v1/audio/speech", ana.token(), refused).await;
    assert_eq!(refused.json()["error"]["param"], "instructions");
    assert_eq!(world.call("GET", "/image", ana.token()).await.json()["items"].as_array().unwrap().len(), 3);
}
