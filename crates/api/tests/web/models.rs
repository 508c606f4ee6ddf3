//! Named models and everybody's own defaults.

use serde_json::json;

use crate::support::World;

#[actix_web::test]
async fn one_users_defaults_never_touch_anothers() {
    let world = World::new().await;
    let (ana, eve) = (world.sign_in("ana").await, world.sign_in("eve").await);
    let change = json!({"max_length": 120, "temperature": 0.5, "top_p": 0.9});
    let changed = world.call_json("PUT", "/models", ana.token(), change).await;
    assert_eq!(changed.status, 200);
    let expected = json!({"name": "default", "llm": "bundled:fairy-tales", "max_length": 120, "temperature": 0.5, "top_p": 0.9});
    assert_eq!(changed.json(), expected);
    let of_ana = world.call("GET", "/models", ana.token()).await.json();
    let of_eve = world.call("GET", "/models", eve.token()).await.json();
    assert_eq!(of_ana["items"][0]["max_length"], 120);
    assert_eq!(of_eve["items"][0]["max_length"], 200);
}

#[actix_web::test]
async fn a_list_of_models_tells_what_runs_each_and_what_is_known_of_it() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let list = world.call("GET", "/models", ana.token()).await.json();
    let expected = json!({"items": [{
        "name": "default", "llm": "bundled:fairy-tales", "backend": "onnxruntime", "context_length": 1024, "loaded": false,
        "default": true, "max_length": 200, "temperature": 0.8, "top_p": 0.95,
    }], "next_cursor": null});
    assert_eq!(list, expected);
}

#[actix_web::test]
async fn defaults_out_of_range_are_refused_by_their_own_codes() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    for (change, status, code) in [
        (json!({"max_length": 0, "temperature": 0.5, "top_p": 0.9}), 400, "E005"),
        (json!({"max_length": 10, "temperature": 2.5, "top_p": 0.9}), 400, "E006"),
        (json!({"max_length": 10, "temperature": 0.5, "top_p": -1}), 400, "E007"),
        (json!({"max_length": 10, "temperature": 0.5, "top_p": 1, "name": "nobody"}), 404, "E001"),
        (json!({"max_length": 10, "temperature": 0.5}), 422, "E013"),
    ] {
        world.call_json("PUT", "/models", ana.token(), change).await.expect_problem(status, code);
    }
}

#[actix_web::test]
async fn an_admin_adds_changes_and_removes_a_model_whose_name_has_a_slash() {
    let world = World::new().await;
    let admin = world.sign_in("admin").await;
    let path = "/models/org/tales";
    let added = world.call_json("POST", path, admin.token(), json!({"llm": "org/tales", "top_p": 0.5})).await;
    assert_eq!(added.status, 201, "{}", added.body);
    let expected = json!({"name": "org/tales", "llm": "org/tales", "max_length": 200, "temperature": 0.8, "top_p": 0.5});
    assert_eq!(added.json(), expected);
    let body = json!({"name": "tales", "llm": "ollama:llama3.1:8b"});
    let changed = world.call_json("PUT", "/models/org%2Ftales", admin.token(), body).await;
    let expected = json!({"name": "tales", "llm": "ollama:llama3.1:8b", "max_length": 200, "temperature": 0.8, "top_p": 0.5});
    assert_eq!((changed.status.as_u16(), changed.json()), (200, expected), "what is not named stays");
    assert_eq!(world.call("DELETE", "/models/tales", admin.token()).await.status, 204);
    world.call("DELETE", "/models/tales", admin.token()).await.expect_problem(404, "E001");
}

#[actix_web::test]
async fn the_default_model_stays_and_a_name_is_not_contradicted() {
    let world = World::new().await;
    let admin = world.sign_in("admin").await;
    world.call("DELETE", "/models/default", admin.token()).await.expect_problem(400, "E023");
    let renamed = json!({"name": "other", "llm": "gpt2"});
    world.call_json("PUT", "/models/default", admin.token(), renamed.clone()).await.expect_problem(400, "E023");
    world.call_json("POST", "/models/tales", admin.token(), renamed).await.expect_problem(400, "E012");
    let nonsense = json!({"llm": "ftp:nowhere"});
    world.call_json("POST", "/models/tales", admin.token(), nonsense).await.expect_problem(400, "E012");
}
