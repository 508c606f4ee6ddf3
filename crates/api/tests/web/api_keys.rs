//! Keys by which programs call.

use serde_json::json;

use crate::support::World;

#[actix_web::test]
async fn a_key_is_shown_once_works_as_a_bearer_and_ends_when_its_owner_says_so() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let made = world.call_json("POST", "/auth/api-keys", ana.token(), json!({"name": "backup", "scopes": ["text"]})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let mut record = made.json();
    let key = record.as_object_mut().unwrap().remove("key").unwrap();
    let key = key.as_str();
    assert!(key.unwrap().starts_with(record["prefix"].as_str().unwrap()));
    assert_eq!((&record["name"], &record["scopes"]), (&json!("backup"), &json!(["text"])));
    assert_eq!((&record["expires_at"], &record["last_used_at"]), (&json!(null), &json!(null)));
    let text = world.call_json("POST", "/text_generations", key, json!({"prompt": "Once"})).await;
    assert_eq!(text.status, 201, "{}", text.body);
    let list = world.call("GET", "/auth/api-keys", ana.token()).await;
    assert!(!list.body.contains(key.unwrap()));
    assert_eq!(list.json()["items"][0]["last_used_at"], "2026-01-01T12:00:00Z");
    let path = format!("/auth/api-keys/{}", record["id"].as_str().unwrap());
    let eve = world.sign_in("eve").await;
    world.call("DELETE", &path, eve.token()).await.expect_problem(404, "E037");
    assert_eq!(world.call("DELETE", &path, ana.token()).await.status, 204);
    world.call("GET", "/text_generations", key).await.expect_problem(401, "E010");
}

#[actix_web::test]
async fn a_key_without_scopes_asked_for_has_all_but_admin() {
    let world = World::new().await;
    let admin = world.sign_in("admin").await;
    let made = world.call_json("POST", "/auth/api-keys", admin.token(), json!({"name": "all"})).await.json();
    assert_eq!(made["scopes"], json!(["text", "chat", "images", "speech"]));
    world.call("GET", "/users", made["key"].as_str()).await.expect_problem(403, "E022");
    let powerful = world.key_of(&admin, &["admin"]).await;
    assert_eq!(world.call("GET", "/users", Some(&powerful)).await.status, 200);
}

#[actix_web::test]
async fn a_key_stops_at_its_end_and_opens_nothing_that_is_a_persons() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let request = json!({"name": "short", "expires_at": "2026-01-01T13:01:00+01:00"});
    let made = world.call_json("POST", "/auth/api-keys", ana.token(), request).await.json();
    assert_eq!(made["expires_at"], "2026-01-01T12:01:00Z");
    let key = made["key"].as_str();
    world.call("DELETE", "/users/me", key).await.expect_problem(403, "E022");
    world.call_json("POST", "/auth/api-keys", key, json!({"name": "child"})).await.expect_problem(403, "E022");
    assert_eq!(world.call("GET", "/users/me", key).await.status, 200);
    world.clock.advance(chrono::TimeDelta::seconds(60));
    world.call("GET", "/users/me", key).await.expect_problem(401, "E010");
}

#[actix_web::test]
async fn a_key_that_makes_no_sense_is_refused() {
    let world = World::new().await;
    let (_admin, ana) = (world.sign_in("admin").await, world.sign_in("ana").await);
    for (request, status, code) in [
        (json!({"name": ""}), 400, "E012"),
        (json!({"name": "a", "scopes": []}), 400, "E012"),
        (json!({"name": "a", "scopes": ["everything"]}), 400, "E012"),
        (json!({"name": "a", "expires_at": "2025-12-31T00:00:00Z"}), 400, "E012"),
        (json!({"name": "a", "expires_at": "+12000-01-01T00:00:00Z"}), 400, "E012"),
        (json!({"name": "a", "expires_at": "tomorrow"}), 422, "E013"),
        (json!({"name": "a", "scopes": ["admin"]}), 403, "E022"),
        (json!({"scopes": ["text"]}), 422, "E013"),
    ] {
        world.call_json("POST", "/auth/api-keys", ana.token(), request).await.expect_problem(status, code);
    }
}
