//! Texts and their history.

use serde_json::json;

use crate::support::World;

#[actix_web::test]
async fn a_text_is_made_stored_and_found_again() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let request = json!({
        "prompt": "Once upon a time", "max_length": 120.0, "temperature": 0, "top_p": 1, "top_k": 40, "min_p": 0.1,
        "repetition_penalty": 1.1, "presence_penalty": -0.5, "frequency_penalty": 0.5, "logit_bias": {"464": -100}, "stop": "The end",
        "seed": 42,
    });
    let made = world.call_json("POST", "/text_generations", ana.token(), request).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let record = made.json();
    assert_eq!(record["generated_text"], "Once upon a time there was a king");
    assert_eq!((&record["model"], &record["seed"], &record["finish_reason"]), (&json!("default"), &json!(42), &json!("stop")));
    assert_eq!(record["usage"], json!({"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}));
    let parameters = json!({
        "max_length": 120, "temperature": 0.0, "top_p": 1.0, "top_k": 40, "min_p": 0.1, "repetition_penalty": 1.1,
        "presence_penalty": -0.5, "frequency_penalty": 0.5, "logit_bias": {"464": -100.0}, "stop": ["The end"],
    });
    assert_eq!(record["parameters"], parameters);
    assert_eq!((&record["llm"], &record["backend"]), (&json!("bundled:fairy-tales"), &json!("onnxruntime")));
    assert_eq!((&record["weights_digest"], &record["edited"]), (&json!("0".repeat(64)), &json!(false)));
    assert_eq!((&record["queued_ms"], &record["first_token_ms"], &record["duration_ms"]), (&json!(0), &json!(0), &json!(0)));
    assert_eq!((record.as_object().unwrap().len(), &record["truncated_tokens"]), (17, &json!(0)), "{record}");
    let found = world.call("GET", made.header("location"), ana.token()).await;
    assert_eq!(found.json(), record);
}

#[actix_web::test]
async fn what_a_request_leaves_out_comes_from_the_callers_defaults() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    world.call_json("PUT", "/models", ana.token(), json!({"max_length": 5, "temperature": 0.5, "top_p": 0.9})).await;
    let record = world.call_json("POST", "/text_generations", ana.token(), json!({"prompt": "Once upon a time"})).await.json();
    assert_eq!((&record["parameters"]["max_length"], &record["finish_reason"]), (&json!(5), &json!("length")));
    let new_tokens = json!({"prompt": "Once upon a time", "max_new_tokens": 2});
    let record = world.call_json("POST", "/text_generations", ana.token(), new_tokens).await.json();
    assert_eq!(record["parameters"]["max_new_tokens"], 2);
    assert_eq!(record["parameters"].get("max_length"), None);
}

#[actix_web::test]
async fn history_is_listed_newest_first_by_the_page_or_whole() {
    let world = World::new().await;
    let (ana, eve) = (world.sign_in("ana").await, world.sign_in("eve").await);
    for prompt in ["one", "two", "three"] {
        world.clock.advance(chrono::TimeDelta::seconds(1));
        world.call_json("POST", "/text_generations", ana.token(), json!({"prompt": prompt})).await;
    }
    let first = world.call("GET", "/text_generations?limit=2", ana.token()).await.json();
    let prompts = |page: &serde_json::Value| -> Vec<String> {
        page.as_array().unwrap().iter().map(|text| text["prompt"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(prompts(&first["items"]), ["three", "two"]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let last = world.call("GET", &format!("/text_generations?limit=2&cursor={cursor}"), ana.token()).await.json();
    assert_eq!((prompts(&last["items"]), &last["next_cursor"]), (vec!["one".to_owned()], &json!(null)));
    let all = world.call("GET", "/text_generations/all", ana.token()).await.json();
    assert_eq!(prompts(&all), ["three", "two", "one"]);
    assert_eq!(world.call("GET", "/text_generations/all", eve.token()).await.json(), json!([]));
}

#[actix_web::test]
async fn a_text_is_edited_by_put_or_patch_and_removed() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let made = world.call_json("POST", "/text_generations", ana.token(), json!({"prompt": "Once"})).await;
    let path = made.header("location").to_owned();
    let edited = world.call_json("PUT", &path, ana.token(), json!({"generated_text": "The end."})).await.json();
    assert_eq!((&edited["prompt"], &edited["generated_text"]), (&json!("Once"), &json!("The end.")));
    let edited = world.call_json("PATCH", &path, ana.token(), json!({"prompt": "Twice"})).await.json();
    assert_eq!((&edited["prompt"], &edited["generated_text"]), (&json!("Twice"), &json!("The end.")));
    world.call_json("PATCH", &path, ana.token(), json!({"prompt": ""})).await.expect_problem(400, "E004");
    world.call_json("PATCH", &path, ana.token(), json!({"seed": 1})).await.expect_problem(422, "E013");
    assert_eq!(world.call("DELETE", &path, ana.token()).await.status, 204);
    world.call("GET", &path, ana.token()).await.expect_problem(404, "E002");
}

#[actix_web::test]
async fn an_admin_reads_everybodys_texts() {
    let world = World::new().await;
    let (admin, ana) = (world.sign_in("admin").await, world.sign_in("ana").await);
    let made = world.call_json("POST", "/text_generations", ana.token(), json!({"prompt": "Once"})).await;
    assert_eq!(world.call("GET", made.header("location"), admin.token()).await.status, 200);
}

#[actix_web::test]
async fn a_prompt_that_does_not_fit_is_refused_with_its_counts_or_cut_where_that_is_asked_for() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let refused = json!({"prompt": "one two three four", "max_length": 4});
    let answer = world.call_json("POST", "/text_generations", ana.token(), refused).await;
    let detail = answer.expect_problem(400, "E014");
    assert!(detail.contains("4 tokens") && detail.contains("1024"), "{detail}");
    let cut = json!({"prompt": "one two three four", "max_length": 4, "truncate": "oldest"});
    let record = world.call_json("POST", "/text_generations", ana.token(), cut).await.json();
    assert_eq!((&record["truncated_tokens"], &record["usage"]["prompt_tokens"]), (&json!(1), &json!(3)));
    assert_eq!(record["prompt"], "one two three four", "the record keeps what was asked");
    for truncate in [json!("newest"), json!(true)] {
        let body = json!({"prompt": "one", "truncate": truncate});
        let detail = world.call_json("POST", "/text_generations", ana.token(), body).await.expect_problem(422, "E013");
        assert!(detail.contains("truncate"), "{detail}");
    }
}

#[actix_web::test]
async fn a_bias_must_name_tokens_and_small_numbers() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let biased = async |logit_bias| {
        let body = json!({"prompt": "one", "logit_bias": logit_bias});
        world.call_json("POST", "/text_generations", ana.token(), body).await
    };
    biased(json!({"464": 101})).await.expect_problem(400, "E012");
    let detail = biased(json!({"king": 1})).await.expect_problem(422, "E013");
    assert!(detail.contains("logit_bias"), "{detail}");
    assert_eq!(biased(json!(null)).await.status, 201);
}
