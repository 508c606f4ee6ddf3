//! The routes of existing services: a client moves over by changing only its base URL.

use ports::GenerationError;
use serde_json::{Value, json};

use crate::support::{self, PASSWORD, World};

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[actix_web::test]
async fn a_client_registers_signs_in_generates_and_reads_its_history_at_both_places() {
    for (auth, llm) in [("", ""), ("/api/auth", "/api/llm")] {
        let world = World::new().await;
        let account = json!({"username": "ana", "email": "ana@example.org", "password": PASSWORD});
        let registered = world.call_json("POST", &format!("{auth}/register"), None, account).await;
        assert_eq!(registered.status, 201, "{}", registered.body);
        let user = registered.json()["user"].clone();
        let expected = json!({"id": user["id"], "username": "ana", "email": "ana@example.org"});
        assert_eq!(registered.json(), json!({"message": "User created successfully", "user": expected}));

        let login = json!({"username": "ana", "password": PASSWORD});
        let signed_in = world.call_json("POST", &format!("{auth}/login"), None, login).await.json();
        assert_eq!((keys(&signed_in), &signed_in["token_type"]), (vec!["access_token", "token_type"], &json!("bearer")));
        let token = signed_in["access_token"].as_str();

        let request = json!({"prompt": "Once", "max_length": 50, "temperature": 0.5, "top_p": 0.9});
        let made = world.call_json("POST", &format!("{llm}/generate"), token, request).await;
        assert_eq!(made.status, 200, "{}", made.body);
        assert_eq!(made.json(), json!({"prompt": "Once", "generated_text": "Once there was a king"}));

        let history = world.call("GET", &format!("{llm}/history"), token).await.json();
        let item = json!({
            "id": history["historical_requests"][0]["id"], "userId": user["id"], "prompt": "Once",
            "generated_text": "Once there was a king", "max_length": 50, "temperature": 0.5, "top_p": 0.9,
        });
        assert_eq!(history, json!({"historical_requests": [item]}));
    }
}

#[actix_web::test]
async fn a_taken_name_or_email_is_a_400_and_a_wrong_password_a_401() {
    let world = World::new().await;
    let account = |name: &str| json!({"username": name, "email": "ana@example.org", "password": PASSWORD});
    assert_eq!(world.call_json("POST", "/register", None, account("ana")).await.status, 201);
    world.call_json("POST", "/register", None, account("ana")).await.expect_problem(400, "E008");
    world.call_json("POST", "/register", None, account("eve")).await.expect_problem(400, "E015");
    let login = json!({"username": "ana", "password": "wrong password"});
    world.call_json("POST", "/login", None, login).await.expect_problem(401, "E003");
}

#[actix_web::test]
async fn fields_that_the_server_does_not_know_are_ignored() {
    let world = World::new().await;
    let account = json!({"username": "ana", "password": PASSWORD, "confirm_password": PASSWORD});
    assert_eq!(world.call_json("POST", "/register", None, account).await.json()["user"]["email"], json!(null));
    let ana = world.sign_in("bea").await;
    let request = json!({"prompt": "Once", "colour": "red"});
    assert_eq!(world.call_json("POST", "/generate", ana.token(), request.clone()).await.status, 200);
    let stored = world.call_json("POST", "/generate-text", ana.token(), request).await;
    assert_eq!(stored.status, 201);
    let path = format!("/generated-text/{}", stored.json()["id"].as_str().unwrap());
    assert_eq!(world.call_json("PUT", &path, ana.token(), json!({"colour": "red"})).await.json(), stored.json());
}

#[actix_web::test]
async fn history_tells_the_total_length_also_of_a_text_that_asked_for_new_tokens() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let native = json!({"prompt": "Once upon a time", "max_new_tokens": 10});
    assert_eq!(world.call_json("POST", "/text_generations", ana.token(), native).await.status, 201);
    let history = world.call("GET", "/history", ana.token()).await.json();
    assert_eq!(history["historical_requests"][0]["max_length"], 14);
}

#[actix_web::test]
async fn a_stored_text_is_made_read_changed_and_removed_by_its_owner_alone() {
    let world = World::new().await;
    let (_admin, ana, eve) = (world.sign_in("admin").await, world.sign_in("ana").await, world.sign_in("eve").await);
    let made = world.call_json("POST", "/generate-text", ana.token(), json!({"prompt": "Once"})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let record = made.json();
    assert_eq!((&record["prompt"], &record["response"]), (&json!("Once"), &json!("Once there was a king")));
    assert_eq!((&record["user_id"], &record["generated_text"]), (&json!(ana.id), &record["response"]));
    let path = format!("/generated-text/{}", record["id"].as_str().unwrap());
    assert_eq!(world.call("GET", &path, ana.token()).await.json(), record);

    let changed = world.call_json("PUT", &path, ana.token(), json!({"response": "The end."})).await.json();
    assert_eq!((&changed["prompt"], &changed["response"]), (&json!("Once"), &json!("The end.")));
    world.call_json("PUT", &path, ana.token(), json!({"prompt": ""})).await.expect_problem(400, "E004");

    world.call("GET", &path, eve.token()).await.expect_problem(404, "E002");
    world.call_json("PUT", &path, eve.token(), json!({"response": "mine"})).await.expect_problem(404, "E002");
    world.call("DELETE", &path, eve.token()).await.expect_problem(404, "E002");
    assert_eq!(world.call("DELETE", &path, ana.token()).await.status, 204);
    world.call("GET", &path, ana.token()).await.expect_problem(404, "E002");
}

#[actix_web::test]
async fn a_provider_that_fails_in_whatever_way_is_a_502_at_generate_text() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let provider = "openai";
    // The status where the model runs here, and where it runs at a provider.
    let cases = [
        (GenerationError::ProviderFailed { provider, problem: "garbage".into() }, [502, 502], "E031"),
        (GenerationError::ProviderUnreachable { provider }, [502, 502], "E030"),
        (GenerationError::ProviderBusy { provider, retry_after_seconds: 3 }, [502, 502], "E042"),
        (GenerationError::DeadlineExceeded, [504, 502], "E026"),
        (GenerationError::ModelUnavailable("there is none".into()), [503, 502], "E028"),
        (GenerationError::Overloaded { retry_after_seconds: 3 }, [503, 503], "E025"),
        (GenerationError::ShuttingDown, [503, 503], "E027"),
        (GenerationError::InputRefused("flagged".into()), [400, 400], "E012"),
    ];
    for (place, llm) in ["bundled:fairy-tales", "openai:gpt-x"].into_iter().enumerate() {
        let moved = world.call_json("PUT", "/models/default", ana.token(), json!({ "llm": llm })).await;
        assert_eq!(moved.status, 200, "{}", moved.body);
        for (error, statuses, code) in cases.clone() {
            world.generator.refuse_with(Some(error));
            let answer = world.call_json("POST", "/generate-text", ana.token(), json!({"prompt": "Once"})).await;
            answer.expect_problem(statuses[place], code);
        }
    }
    world.generator.refuse_with(None);
    assert_eq!(world.call("GET", "/history", ana.token()).await.json(), json!({"historical_requests": []}));
}

#[actix_web::test]
async fn a_list_that_is_cut_says_so_and_one_that_is_whole_does_not() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    for texts in 0..=support::MAX_UNPAGED_RECORDS + 1 {
        let (all, history) =
            (world.call("GET", "/text_generations/all", ana.token()).await, world.call("GET", "/history", ana.token()).await);
        let listed = texts.min(support::MAX_UNPAGED_RECORDS);
        let history_items = history.json()["historical_requests"].as_array().unwrap().len();
        assert_eq!((all.json().as_array().unwrap().len(), history_items), (listed, listed));
        for answer in [all, history] {
            assert_eq!(answer.header("content-type"), "application/json");
            let cut = if texts > support::MAX_UNPAGED_RECORDS { "true" } else { "" };
            assert_eq!(answer.header("x-truncated"), cut, "{texts} texts");
        }
        let made = world.call_json("POST", "/generate", ana.token(), json!({"prompt": "Once"})).await;
        assert_eq!(made.status, 200);
    }
}
