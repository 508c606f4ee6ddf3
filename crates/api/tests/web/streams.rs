//! Texts piece by piece, as server-sent events.

use std::pin::Pin;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use ports::GenerationError;
use serde_json::{Value, json};
use test_support::{Gate, Step};

use crate::support::{PASSWORD, SignedIn, World, to, with_token};

async fn open(world: &World, user: &SignedIn) -> BoxBody {
    let request = with_token(to("POST", "/text_generations"), user.token());
    let response = world.open(request.set_json(json!({"prompt": "Once", "stream": true}))).await;
    assert_eq!(response.status(), 200);
    response.into_body()
}

async fn next(body: &mut BoxBody) -> Option<String> {
    let bytes = std::future::poll_fn(|context| Pin::new(&mut *body).poll_next(context)).await?;
    Some(String::from_utf8(bytes.unwrap().to_vec()).unwrap())
}

#[actix_web::test]
async fn the_pieces_of_a_text_are_followed_by_its_record() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let body = json!({"prompt": "Once", "stream": true, "seed": 7});
    let answer = world.call_json("POST", "/text_generations", ana.token(), body).await;
    assert_eq!(answer.header("content-type"), "text/event-stream; charset=utf-8");
    assert_eq!((answer.header("cache-control"), answer.header("x-accel-buffering")), ("no-store", "no"));
    let (pieces, record) = answer.body.split_once("event: done\ndata: ").unwrap();
    assert_eq!(pieces, "data: {\"text\":\" there\"}\n\ndata: {\"text\":\" was\"}\n\ndata: {\"text\":\" a king\"}\n\n");
    let record: Value = serde_json::from_str(record.strip_suffix("\n\n").unwrap()).unwrap();
    let path = format!("/text_generations/{}", record["id"].as_str().unwrap());
    assert_eq!(world.call("GET", &path, ana.token()).await.json(), record);
}

#[actix_web::test]
async fn who_waits_is_told_their_place_and_that_the_server_is_still_there() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let gate = Gate::shut();
    world.generator.follow([Step::Queued(3), Step::Queued(0), Step::Wait(gate.clone()), Step::Text(" there".into())]);
    let mut body = open(&world, &ana).await;
    assert_eq!(next(&mut body).await.unwrap(), ": X-Queue-Position: 3\n\n");
    assert_eq!(next(&mut body).await.unwrap(), ": X-Queue-Position: 0\n\n");
    assert_eq!(next(&mut body).await.unwrap(), ": still here\n\n");
    gate.let_one_through();
    assert_eq!(next(&mut body).await.unwrap(), "data: {\"text\":\" there\"}\n\n");
    assert!(next(&mut body).await.unwrap().starts_with("event: done\n"));
    assert_eq!(next(&mut body).await, None);
}

#[actix_web::test]
async fn a_client_who_goes_away_stops_the_generation_and_keeps_what_was_made() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    world.generator.follow([Step::Text(" there".into()), Step::Wait(Gate::shut())]);
    let mut body = open(&world, &ana).await;
    assert!(next(&mut body).await.unwrap().contains(" there"));
    assert_eq!(world.generator.open_streams(), 1);
    drop(body);
    assert_eq!((world.generator.open_streams(), world.generator.cancelled_streams()), (0, 1));
    let kept = world.call("GET", "/text_generations/all", ana.token()).await.json();
    assert_eq!((&kept[0]["generated_text"], &kept[0]["finish_reason"]), (&json!("Once there"), &json!("interrupted")));
}

#[actix_web::test]
async fn an_error_on_the_way_is_an_event_with_the_problem() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    world.generator.follow([Step::Text(" there".into()), Step::Fail(GenerationError::Failed("secret".into()))]);
    let answer = world.call_json("POST", "/text_generations", ana.token(), json!({"prompt": "Once", "stream": true})).await;
    assert_eq!(answer.status, 200);
    let (_, problem) = answer.body.split_once("event: error\ndata: ").unwrap();
    let problem: Value = serde_json::from_str(problem.trim_end()).unwrap();
    assert_eq!((&problem["code"], &problem["status"]), (&json!("E033"), &json!(500)));
    assert_eq!(problem["request_id"], answer.header("x-request-id"));
    assert!(!answer.body.contains("secret"));
}

#[actix_web::test]
async fn an_error_before_the_first_piece_is_an_ordinary_answer() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    world.generator.follow([Step::Fail(GenerationError::DeadlineExceeded)]);
    let answer = world.call_json("POST", "/text_generations", ana.token(), json!({"prompt": "Once", "stream": true})).await;
    answer.expect_problem(504, "E026");
}

/// Ways in which a caller loses the right by which they began something.
const ENDINGS: [&str; 6] = ["logout", "disable", "role", "password reset", "remove", "key"];

/// Somebody who began with a session, or for `key` with an API key, and how to end that.
struct Revoked {
    world: World,
    admin: SignedIn,
    ana: SignedIn,
    key_id: String,
}

impl Revoked {
    async fn to_be(how: &str) -> Self {
        let world = World::new().await;
        let (admin, mut ana) = (world.sign_in("admin").await, world.sign_in("ana").await);
        let key = world.call_json("POST", "/auth/api-keys", ana.token(), json!({"name": "a program"})).await.json();
        if how == "key" {
            key["key"].as_str().unwrap().clone_into(&mut ana.access_token);
        }
        world.generator.follow([Step::Text(" there".into()), Step::Wait(Gate::shut())]);
        Self { world, admin, ana, key_id: key["id"].as_str().unwrap().to_owned() }
    }

    async fn end(&self, how: &str) {
        let Self { world, admin, ana, key_id } = self;
        let account = format!("/users/{}", ana.id);
        let ended = match how {
            "logout" => world.call_json("POST", "/auth/logout", None, json!({"refresh_token": ana.refresh_token})).await,
            "disable" => world.call_json("PATCH", &account, admin.token(), json!({"disabled": true})).await,
            "role" => world.call_json("PATCH", &account, admin.token(), json!({"role": "admin"})).await,
            "remove" => world.call("DELETE", &account, admin.token()).await,
            "password reset" => {
                let issued = world.call("POST", &format!("{account}/password-reset"), admin.token()).await.json();
                let reset = json!({"code": issued["code"], "new_password": "another horse"});
                world.call_json("POST", "/auth/password-reset", None, reset).await
            }
            _ => {
                let tokens = world.post_form("/token", &[("username", "ana"), ("password", PASSWORD)]).await.json();
                world.call("DELETE", &format!("/auth/api-keys/{key_id}"), tokens["access_token"].as_str()).await
            }
        };
        assert!(ended.status.is_success(), "{how}: {}", ended.body);
    }

    async fn end_once_it_runs(&self, how: &str) {
        while self.world.generator.open_streams() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.end(how).await;
    }

    fn expect_a_free_place(&self, how: &str) {
        assert_eq!((self.world.generator.open_streams(), self.world.generator.cancelled_streams()), (0, 1), "{how}");
    }
}

#[actix_web::test]
async fn a_stream_is_cut_within_a_beat_after_its_caller_has_lost_the_right() {
    for how in ENDINGS {
        let revoked = Revoked::to_be(how).await;
        let mut body = open(&revoked.world, &revoked.ana).await;
        assert!(next(&mut body).await.unwrap().contains(" there"));
        revoked.end(how).await;
        let mut last = String::new();
        while let Some(event) = next(&mut body).await {
            last = event;
        }
        assert!(last.starts_with("event: error\n") && last.contains("[E010]"), "{how}: {last}");
        revoked.expect_a_free_place(how);
    }
}

#[actix_web::test]
async fn an_archive_breaks_off_within_a_beat_after_its_caller_has_lost_the_right() {
    for how in ["logout", "disable", "role", "password reset", "remove"] {
        let revoked = Revoked::to_be(how).await;
        let request = with_token(to("GET", "/users/me/export"), revoked.ana.token());
        let mut archive = revoked.world.open(request).await.into_body();
        let piece =
            async |archive: &mut BoxBody| std::future::poll_fn(|context| Pin::new(&mut *archive).poll_next(context)).await;
        assert!(piece(&mut archive).await.unwrap().is_ok());
        revoked.end(how).await;
        tokio::time::sleep(revoked.world.config.heartbeat).await;
        let mut broke_off = false;
        while let Some(piece) = piece(&mut archive).await {
            broke_off = piece.is_err();
        }
        assert!(broke_off, "{how}");
    }
}

#[actix_web::test]
async fn a_text_that_is_sent_whole_is_cut_like_a_stream() {
    for how in ENDINGS {
        let revoked = Revoked::to_be(how).await;
        let asking = revoked.world.call_json("POST", "/text_generations", revoked.ana.token(), json!({"prompt": "Once"}));
        let (answer, ()) = tokio::join!(asking, revoked.end_once_it_runs(how));
        answer.expect_problem(401, "E010");
        revoked.expect_a_free_place(how);
    }
}

#[actix_web::test]
async fn the_texts_of_existing_clients_are_cut_too() {
    for path in ["/generate", "/api/llm/generate", "/generate-text"] {
        let revoked = Revoked::to_be("logout").await;
        let asking = revoked.world.call_json("POST", path, revoked.ana.token(), json!({"prompt": "Once"}));
        let (answer, ()) = tokio::join!(asking, revoked.end_once_it_runs("logout"));
        answer.expect_problem(401, "E010");
        revoked.expect_a_free_place(path);
    }
}
