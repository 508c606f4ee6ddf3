//! Each row of the error table of the contract (`api.md`, *Conventions*), by its code and by its status.

use actix_web::test::TestRequest;
use ports::GenerationError;
use serde_json::json;

use crate::support::{MAX_PROMPT_CHARACTERS, PASSWORD, World, to, with_token};

async fn refused_text(body: serde_json::Value, status: u16, code: &str) -> String {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let answer = world.call_json("POST", "/text_generations", ana.token(), body).await;
    let history = world.call("GET", "/text_generations/all", ana.token()).await;
    assert_eq!(history.body, "[]", "what is refused leaves no record");
    answer.expect_problem(status, code)
}

#[actix_web::test]
async fn e001_model_configuration_not_found() {
    let detail = refused_text(json!({"prompt": "Once", "model": "nobody"}), 404, "E001").await;
    assert_eq!(detail, "[E001] Model configuration not found");
    refused_text(json!({"prompt": "Once", "model": "not a name"}), 404, "E001").await;
    let world = World::new().await;
    let admin = world.sign_in("admin").await;
    for path in ["/models/%FF", "/models/%00", "/models/..%2F..%2Fetc"] {
        world.call("DELETE", path, admin.token()).await.expect_problem(404, "E001");
    }
}

#[actix_web::test]
async fn e002_text_generation_not_found_also_for_another_users() {
    let world = World::new().await;
    let _admin = world.sign_in("admin").await;
    let (ana, eve) = (world.sign_in("ana").await, world.sign_in("eve").await);
    let made = world.call_json("POST", "/text_generations", ana.token(), json!({"prompt": "Once"})).await;
    let path = format!("/text_generations/{}", made.json()["id"].as_str().unwrap());
    let nobodys = format!("/text_generations/{}", eve.id);
    for (path, method) in [(&path, "GET"), (&path, "DELETE"), (&nobodys, "GET")] {
        let detail = world.call(method, path, eve.token()).await.expect_problem(404, "E002");
        assert_eq!(detail, "[E002] Text generation not found");
    }
    let edit = world.call_json("PATCH", &path, eve.token(), json!({"prompt": "mine"})).await;
    edit.expect_problem(404, "E002");
}

#[actix_web::test]
async fn e003_incorrect_username_or_password_is_400_at_token_and_401_at_login() {
    let world = World::new().await;
    world.sign_in("ana").await;
    for (username, password) in [("ana", "wrong password"), ("nobody", PASSWORD)] {
        let answer = world.post_form("/token", &[("username", username), ("password", password)]).await;
        assert_eq!(answer.expect_problem(400, "E003"), "[E003] Incorrect username or password");
        let answer = world.call_json("POST", "/auth/login", None, json!({"username": username, "password": password})).await;
        answer.expect_problem(401, "E003");
    }
}

#[actix_web::test]
async fn e004_prompt_cannot_be_empty() {
    let detail = refused_text(json!({"prompt": " \n"}), 400, "E004").await;
    assert_eq!(detail, "[E004] Prompt cannot be empty");
}

#[actix_web::test]
async fn e005_max_length_out_of_range() {
    let detail = refused_text(json!({"prompt": "Once", "max_length": 0}), 400, "E005").await;
    assert!(detail.contains("max_length"), "{detail}");
    let detail = refused_text(json!({"prompt": "Once", "max_new_tokens": -1}), 400, "E005").await;
    assert!(detail.contains("max_new_tokens"), "{detail}");
}

#[actix_web::test]
async fn e006_temperature_out_of_range() {
    for temperature in [-0.1, 2.1] {
        let detail = refused_text(json!({"prompt": "Once", "temperature": temperature}), 400, "E006").await;
        assert!(detail.contains("temperature"), "{detail}");
    }
}

#[actix_web::test]
async fn e007_top_p_out_of_range() {
    let detail = refused_text(json!({"prompt": "Once", "top_p": 1.01}), 400, "E007").await;
    assert!(detail.contains("top_p"), "{detail}");
}

#[actix_web::test]
async fn e008_user_with_username_already_exists() {
    let world = World::new().await;
    world.sign_in("johndoe").await;
    let again = world.call_json("POST", "/users", None, json!({"username": "johndoe", "password": PASSWORD})).await;
    assert_eq!(again.expect_problem(400, "E008"), "[E008] User with username johndoe already exists");
}

#[actix_web::test]
async fn e009_user_account_is_inactive() {
    let world = World::new().await;
    let (admin, ana) = (world.sign_in("admin").await, world.sign_in("ana").await);
    let disabled = world.call_json("PATCH", &format!("/users/{}", ana.id), admin.token(), json!({"disabled": true})).await;
    assert_eq!(disabled.status, 200);
    let answer = world.post_form("/token", &[("username", "ana"), ("password", PASSWORD)]).await;
    assert_eq!(answer.expect_problem(400, "E009"), "[E009] User account is inactive");
    let answer = world.call_json("POST", "/auth/login", None, json!({"username": "ana", "password": PASSWORD})).await;
    answer.expect_problem(401, "E009");
    world.call("GET", "/users/me", ana.token()).await.expect_problem(401, "E010");
}

#[actix_web::test]
async fn e010_invalid_or_expired_token() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    world.call("GET", "/users/me", None).await.expect_problem(401, "E010");
    let answer = world.call("GET", "/users/me", Some("forged")).await;
    assert_eq!(answer.expect_problem(401, "E010"), "[E010] Invalid or expired token");
    world.clock.advance(chrono::TimeDelta::seconds(901));
    world.call("GET", "/users/me", ana.token()).await.expect_problem(401, "E010");
    let form = [("grant_type", "refresh_token"), ("refresh_token", "forged")];
    world.post_form("/token", &form).await.expect_problem(400, "E010");
}

#[actix_web::test]
async fn e011_user_not_found() {
    let world = World::new().await;
    let admin = world.sign_in("admin").await;
    let nobody = format!("/users/{}", uuid::Uuid::now_v7());
    let answer = world.call("DELETE", &nobody, admin.token()).await;
    assert_eq!(answer.expect_problem(404, "E011"), "[E011] User not found");
}

#[actix_web::test]
async fn status_400_for_a_value_out_of_range_or_a_business_rule() {
    let detail = refused_text(json!({"prompt": "Once", "stop": ["a", "b", "c", "d", "e"]}), 400, "E012").await;
    assert!(detail.contains("stop"), "{detail}");
    let detail = refused_text(json!({"prompt": "é".repeat(MAX_PROMPT_CHARACTERS + 1)}), 400, "E014").await;
    assert!(detail.contains("101") && detail.contains("100"), "{detail}");
    let detail = refused_text(json!({"prompt": "one two three", "max_length": 3}), 400, "E014").await;
    assert!(detail.contains("3 tokens"), "a prompt that leaves no room is told with its token counts: {detail}");
}

#[actix_web::test]
async fn status_403_for_what_only_an_admin_may_do() {
    let world = World::new().await;
    let (_admin, ana) = (world.sign_in("admin").await, world.sign_in("ana").await);
    world.call("GET", "/users", ana.token()).await.expect_problem(403, "E022");
}

#[actix_web::test]
async fn status_404_for_a_path_that_is_nobodys() {
    let world = World::new().await;
    for path in ["/nowhere", "/users/me/you", "/docs/nowhere.js", "//"] {
        world.call("GET", path, None).await.expect_problem(404, "E018");
    }
}

#[actix_web::test]
async fn status_405_for_a_method_that_the_path_does_not_know() {
    let world = World::new().await;
    let answer = world.call("DELETE", "/token", None).await;
    answer.expect_problem(405, "E019");
    assert_eq!(answer.header("allow"), "POST");
    let answer = world.call("POST", "/users/me", None).await;
    answer.expect_problem(405, "E019");
    assert_eq!(answer.header("allow"), "GET, PATCH, DELETE, HEAD");
    let answer = world.call("PUT", "/text_generations/all", None).await;
    answer.expect_problem(405, "E019");
    assert_eq!(answer.header("allow"), "GET, HEAD", "a literal path is nobody's identifier");
}

#[actix_web::test]
async fn status_409_for_a_taken_email_or_model_name() {
    let world = World::new().await;
    let register = |name: &str| json!({"username": name, "password": PASSWORD, "email": "ana@example.org"});
    assert_eq!(world.call_json("POST", "/users", None, register("ana")).await.status, 201);
    world.call_json("POST", "/users", None, register("eve")).await.expect_problem(409, "E015");
    let tokens = world.post_form("/token", &[("username", "ana"), ("password", PASSWORD)]).await.json();
    let model = json!({"llm": "gpt2"});
    let answer = world.call_json("POST", "/models/default", tokens["access_token"].as_str(), model).await;
    answer.expect_problem(409, "E016");
}

#[actix_web::test]
async fn status_413_for_a_body_that_is_too_large() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let long = json!({"prompt": "a".repeat(world.config.json_body_bytes)});
    let answer = world.call_json("POST", "/text_generations", ana.token(), long).await;
    let detail = answer.expect_problem(413, "E020");
    assert!(detail.contains("4096"), "{detail}");
}

#[actix_web::test]
async fn status_415_for_a_content_type_that_is_not_read() {
    let world = World::new().await;
    let body = json!({"username": "ana", "password": PASSWORD}).to_string();
    let bare = || to("POST", "/users").set_payload(body.clone());
    let requests: [TestRequest; 4] = [
        bare(),
        bare().insert_header(("content-type", "text/plain")),
        bare().insert_header(("content-type", "application/json; charset=latin1")),
        bare().insert_header(("content-type", "application/json")).insert_header(("content-encoding", "gzip")),
    ];
    for request in requests {
        world.send(request).await.expect_problem(415, "E021");
    }
    world.call_json("POST", "/token", None, json!({})).await.expect_problem(415, "E021");
    let utf8 = bare().insert_header(("content-type", "Application/JSON; charset=\"UTF-8\""));
    assert_eq!(world.send(utf8).await.status, 201);
}

#[actix_web::test]
async fn status_422_for_a_malformed_body_names_the_field() {
    let cases = [
        (json!({"prompt": "Once", "temperature": "hot"}), "temperature"),
        (json!({"prompt": "Once", "max_length": 1.5}), "max_length: invalid type: floating point"),
        (json!({"prompt": "Once", "max_lenght": 10}), "max_lenght"),
        (json!({"prompt": "Once", "stop": [1]}), "stop"),
        (json!({}), "prompt"),
        (json!([]), "object"),
    ];
    for (body, named) in cases {
        let detail = refused_text(body, 422, "E013").await;
        assert!(detail.contains(named), "{detail}");
    }
}

#[actix_web::test]
async fn status_422_for_a_malformed_query_or_path_names_the_field() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    for (path, named) in [
        ("/text_generations?limit=ten", "limit"),
        ("/text_generations?cursor=garbage", "cursor"),
        ("/text_generations?offset=10", "offset"),
        ("/text_generations/not-an-id", "id"),
    ] {
        let detail = world.call("GET", path, ana.token()).await.expect_problem(422, "E013");
        assert!(detail.contains(named), "{detail}");
    }
    world.call("GET", "/text_generations?limit=0", ana.token()).await.expect_problem(400, "E012");
    let detail = world.post_form("/token", &[("username", "ana")]).await.expect_problem(422, "E013");
    assert!(detail.contains("password"), "{detail}");
}

#[actix_web::test]
async fn status_502_503_and_504_for_what_the_server_stands_on() {
    let cases = [
        (GenerationError::ProviderFailed { provider: "openai", problem: "secret".into() }, 502, "E031"),
        (GenerationError::Overloaded { retry_after_seconds: 7 }, 503, "E025"),
        (GenerationError::ShuttingDown, 503, "E027"),
        (GenerationError::ProviderUnreachable { provider: "openai" }, 503, "E030"),
        (GenerationError::DeadlineExceeded, 504, "E026"),
        (GenerationError::Failed("secret".into()), 500, "E033"),
    ];
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    for (error, status, code) in cases {
        world.generator.refuse_with(Some(error));
        for stream in [false, true] {
            let body = json!({"prompt": "Once", "stream": stream});
            let answer = world.call_json("POST", "/text_generations", ana.token(), body).await;
            let detail = answer.expect_problem(status, code);
            assert!(!detail.contains("secret"), "{detail}");
            assert!(code != "E025" || answer.header("retry-after") == "7");
        }
    }
    assert_eq!(world.call("GET", "/text_generations/all", ana.token()).await.body, "[]");
}

#[actix_web::test]
async fn status_503_for_too_many_sign_ins_at_once() {
    let world = World::new().await;
    world.hasher.set_overloaded(true);
    let answer = world.post_form("/token", &[("username", "ana"), ("password", PASSWORD)]).await;
    answer.expect_problem(503, "E025");
}

#[actix_web::test]
async fn a_stranger_gets_401_whatever_else_is_wrong() {
    let world = World::new().await;
    for request in [
        to("POST", "/text_generations").set_payload("not json"),
        to("POST", "/text_generations").set_payload("x".repeat(10_000)).insert_header(("content-type", "application/json")),
        to("GET", "/text_generations?limit=ten"),
        to("GET", "/text_generations/not-an-id"),
    ] {
        world.send(with_token(request, Some("forged"))).await.expect_problem(401, "E010");
    }
}

#[actix_web::test]
async fn a_user_gets_403_at_an_admins_route_whatever_else_is_wrong() {
    let world = World::new().await;
    let (_admin, ana) = (world.sign_in("admin").await, world.sign_in("ana").await);
    let request = with_token(to("PATCH", "/users/not-an-id").set_payload("not json"), ana.token());
    world.send(request).await.expect_problem(403, "E022");
}
