//! A text made again from its record.

use serde_json::json;
use test_support::Step;

use crate::support::World;

#[actix_web::test]
async fn a_replay_says_whether_the_text_is_the_same_and_what_it_was() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let made = world.call_json("POST", "/text_generations", ana.token(), json!({"prompt": "Once", "seed": 7})).await;
    let path = format!("{}/replay", made.header("location"));
    let replay = world.call("POST", &path, ana.token()).await;
    assert_eq!(replay.status, 200, "{}", replay.body);
    let expected = json!({
        "identical": true, "generated_text": "Once there was a king", "finish_reason": "stop", "duration_ms": 0,
        "usage": {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}, "record": made.json(),
    });
    assert_eq!(replay.json(), expected);
    world.generator.follow([Step::Text(" there were".into())]);
    let replay = world.call("POST", &path, ana.token()).await.json();
    assert_eq!((&replay["identical"], &replay["generated_text"]), (&json!(false), &json!("Once there were")));
}

#[actix_web::test]
async fn e043_a_text_that_was_edited_is_not_replayed() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let made = world.call_json("POST", "/text_generations", ana.token(), json!({"prompt": "Once"})).await;
    let path = made.header("location").to_owned();
    let edited = world.call_json("PATCH", &path, ana.token(), json!({"generated_text": "mine"})).await.json();
    assert_eq!(edited["edited"], true);
    let detail = world.call("POST", &format!("{path}/replay"), ana.token()).await.expect_problem(409, "E043");
    assert!(detail.contains("its words were changed after it was made"), "{detail}");
}
