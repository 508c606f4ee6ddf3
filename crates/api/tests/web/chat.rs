//! Chat: an answer as lines of text, taken up, stopped; conversations, branches, files.

use actix_web::test::read_body;
use ports::GenerationError;
use serde_json::{Value, json};
use test_support::{Gate, Step};

use crate::support::{Answer, SignedIn, World, to, with_token};

async fn say(world: &World, user: &SignedIn, message: &str) -> Answer {
    world.call_json("POST", "/chat/stream", user.token(), json!({"message": message, "use_context": true})).await
}

/// Takes an answer up.
async fn resume(world: &World, user: &SignedIn, stream: &str, last: Option<&str>) -> Answer {
    let request = with_token(to("GET", &format!("/chat/streams/{stream}")), user.token());
    world.send(last.into_iter().fold(request, |request, last| request.insert_header(("Last-Event-ID", last)))).await
}

/// The fields of this name, in their order.
fn fields<'a>(answer: &'a str, name: &str) -> Vec<&'a str> {
    answer.lines().filter_map(|line| line.strip_prefix(name)).collect()
}

#[actix_web::test]
async fn an_answer_is_plain_text_in_lines_that_any_client_can_read() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    world.generator.follow([Step::Text(" there".into()), Step::Text(" was\n\na king\n[DONE]".into())]);
    let answer = say(&world, &ana, "Once").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/event-stream; charset=utf-8");
    let stream = answer.header("x-stream-id");
    let expected = [" there", " was", "", "a king", "[DO", "NE]", "[DONE]"];
    assert_eq!(fields(&answer.body, "data: "), expected, "{}", answer.body);
    let ids: Vec<String> = (1..=4).map(|number| format!("{stream}:{number}")).collect();
    assert_eq!(fields(&answer.body, "id: "), ids);
    assert!(answer.body.ends_with("data: [DONE]\n\n"));
    let told = |name: &str| answer.header(&format!("x-context-{name}")).to_owned();
    assert_eq!((told("messages-used"), told("messages-dropped"), told("prompt-tokens")), ("1".into(), "0".into(), "2".into()));

    let history = world.call("GET", "/chat/history?limit=50", ana.token()).await.json();
    let messages = history["messages"].as_array().unwrap();
    assert_eq!((messages.len(), &history["next_cursor"]), (2, &Value::Null));
    assert_eq!((&messages[0]["role"], &messages[0]["content"]), (&json!("user"), &json!("Once")));
    assert_eq!(messages[1]["content"], " there was\n\na king\n[DONE]");
    assert_eq!((&messages[1]["role"], &messages[1]["status"]), (&json!("assistant"), &json!("done")));
    assert_eq!(messages[1]["id"], answer.header("x-assistant-message-id"));
    assert!(messages[0]["created_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(world.call("DELETE", "/chat/history", ana.token()).await.status, 204);
    assert_eq!(world.call("GET", "/chat/history", ana.token()).await.json()["messages"], json!([]));
}

#[actix_web::test]
async fn what_is_lost_is_taken_up_after_the_last_event_that_arrived() {
    let world = World::new().await;
    let (ana, ben) = (world.sign_in("ana").await, world.sign_in("ben").await);
    let whole = say(&world, &ana, "Once").await;
    let stream = whole.header("x-stream-id").to_owned();
    assert_eq!(resume(&world, &ana, &stream, None).await.body, whole.body);
    let events: Vec<&str> = whole.body.split_inclusive("\n\n").collect();
    for seen in 1..events.len() {
        let last = fields(events[seen - 1], "id: ")[0];
        assert_eq!(resume(&world, &ana, &stream, Some(last)).await.body, events[seen..].concat());
    }
    let end = fields(events[events.len() - 1], "id: ")[0];
    assert_eq!(resume(&world, &ana, &stream, Some(end)).await.status, 204);
    resume(&world, &ben, &stream, None).await.expect_problem(404, "E046");
    for wrong in ["", "7", &format!("{stream}:x"), "00000000-0000-7000-8000-000000000000:1"] {
        resume(&world, &ana, &stream, Some(wrong)).await.expect_problem(422, "E013");
    }
    resume(&world, &ana, "00000000-0000-7000-8000-000000000000", None).await.expect_problem(404, "E046");
}

#[actix_web::test]
async fn an_error_on_the_way_is_the_last_event_and_one_before_is_an_ordinary_one() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    world.generator.follow([Step::Text(" there".into()), Step::Fail(GenerationError::DeadlineExceeded)]);
    let answer = say(&world, &ana, "Once").await;
    let stream = answer.header("x-stream-id");
    let (before, problem) = answer.body.split_once(&format!("id: {stream}:2\nevent: error\ndata: ")).unwrap();
    assert_eq!(before, format!("id: {stream}:1\ndata:  there\n\n"));
    let problem: Value = serde_json::from_str(problem.trim_end()).unwrap();
    assert_eq!((problem["code"].as_str(), problem["status"].as_u64()), (Some("E026"), Some(504)));
    assert_eq!(problem["request_id"], answer.header("x-request-id"));
    let again = resume(&world, &ana, stream, Some(&format!("{stream}:1"))).await;
    assert!(again.body.contains("event: error") && again.body.contains("[E026]"), "{}", again.body);

    world.generator.refuse_with(Some(GenerationError::Overloaded { retry_after_seconds: 3 }));
    let refused = say(&world, &ana, "Again").await;
    refused.expect_problem(503, "E025");
    assert_eq!(refused.header("retry-after"), "3");
    let history = world.call("GET", "/chat/history", ana.token()).await.json();
    assert_eq!(history["messages"].as_array().unwrap().len(), 2, "what is refused stores nothing");
    say(&world, &ana, " ").await.expect_problem(400, "E004");
    say(&world, &ana, &"x".repeat(101)).await.expect_problem(400, "E014");
    let unknown = json!({"message": "Once", "use_context": true, "tempature": 1});
    world.call_json("POST", "/chat/stream", ana.token(), unknown).await.expect_problem(422, "E013");
}

#[actix_web::test]
async fn a_stop_ends_an_answer_and_keeps_what_was_said() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    world.generator.follow([Step::Text(" there".into()), Step::Wait(Gate::shut())]);
    let request = with_token(to("POST", "/chat/stream"), ana.token()).set_json(json!({"message": "Once"}));
    let response = world.open(request).await;
    let stream = response.headers().get("x-stream-id").unwrap().to_str().unwrap().to_owned();
    let path = format!("/chat/streams/{stream}");
    let (stopped, body) = tokio::join!(world.call("DELETE", &path, ana.token()), read_body(response));
    assert_eq!(stopped.status, 204);
    assert!(body.ends_with(b"data: [DONE]\n\n"));
    let history = world.call("GET", "/chat/history", ana.token()).await.json();
    assert_eq!(history["messages"][1]["status"], "interrupted");
}

#[actix_web::test]
async fn many_conversations_live_side_by_side() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let setup =
        json!({"system_prompt": "Be kind", "parameters": {"temperature": 0.5, "stop": "x"}, "memory": "newest", "pinned": true});
    let made = world.call_json("POST", "/conversations", ana.token(), setup).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let path = made.header("location").to_owned();
    let said =
        world.call_json("POST", &format!("{path}/messages"), ana.token(), json!({"content": "Once upon", "seed": 7})).await;
    assert_eq!(said.status, 201, "{}", said.body);
    let said = said.json();
    assert_eq!(said["assistant_message"]["content"], " there was a king");
    assert_eq!(said["usage"], json!({"prompt_tokens": 6, "completion_tokens": 3, "total_tokens": 9}));
    assert_eq!(said["context"], json!({"messages_used": 1, "messages_dropped": 0, "prompt_tokens": 6}));
    let used = world.generator.requests().pop().unwrap().parameters;
    assert_eq!((used.temperature, used.seed.get(), used.stop.as_slice()), (0.5, 7, ["x".to_owned()].as_slice()));

    let listed = world.call("GET", "/conversations?search=KING&pinned=true", ana.token()).await.json();
    assert_eq!(listed["items"][0]["title"], "Once upon");
    assert_eq!(listed["items"][0]["parameters"], json!({"temperature": 0.5, "stop": ["x"]}));
    let change = json!({"title": "Kings", "system_prompt": null, "pinned": false});
    let changed = world.call_json("PATCH", &path, ana.token(), change).await.json();
    assert_eq!(
        (&changed["title"], &changed["system_prompt"], &changed["memory"]),
        (&json!("Kings"), &Value::Null, &json!("newest"))
    );
    world.call("GET", &format!("/conversations?search={}", "x".repeat(201)), ana.token()).await.expect_problem(400, "E012");
    world.call_json("POST", "/conversations", ana.token(), json!({"title": "x".repeat(201)})).await.expect_problem(400, "E012");
    let odd = json!({"parameters": {"temperature": 9}});
    world.call_json("POST", "/conversations", ana.token(), odd).await.expect_problem(400, "E006");
    assert_eq!(world.call("DELETE", &path, ana.token()).await.status, 204);
    world.call("GET", &path, ana.token()).await.expect_problem(404, "E044");
}

#[actix_web::test]
async fn a_message_is_edited_and_answered_again_and_every_branch_can_be_gone_back_to() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let first = say(&world, &ana, "Once").await;
    let conversation = format!("/conversations/{}", first.header("x-conversation-id"));
    let messages = format!("{conversation}/messages");
    let (question, answer) = (first.header("x-user-message-id"), first.header("x-assistant-message-id"));
    let again = world.call_json("POST", &format!("{messages}/{answer}/regenerate"), ana.token(), json!({"seed": 2})).await;
    assert_eq!(again.status, 201, "{}", again.body);
    let again = again.json()["assistant_message"]["id"].as_str().unwrap().to_owned();
    let listed = world.call("GET", &messages, ana.token()).await.json();
    assert_eq!(listed["messages"][1]["siblings"], json!([answer, again]));

    let edited =
        world.call_json("PATCH", &format!("{messages}/{question}"), ana.token(), json!({"content": "Twice"})).await.json();
    assert_eq!((&edited["content"], &edited["parent_id"]), (&json!("Twice"), &Value::Null));
    assert_eq!(edited["siblings"], json!([question, edited["id"]]));
    let path = format!("{messages}/{}/regenerate", edited["id"].as_str().unwrap());
    let streamed = world.call_json("POST", &path, ana.token(), json!({"stream": true})).await;
    assert!(streamed.body.ends_with("data: [DONE]\n\n"), "{}", streamed.body);
    let back = world.call_json("PATCH", &conversation, ana.token(), json!({"active_message_id": question})).await.json();
    assert_eq!(back["active_message_id"], again, "at what was said last there");
    let leaf = format!("{messages}?leaf={}", edited["id"].as_str().unwrap());
    assert_eq!(world.call("GET", &leaf, ana.token()).await.json()["messages"][0]["content"], "Twice");
    let nowhere = format!("{messages}/00000000-0000-7000-8000-000000000000");
    world.call_json("PATCH", &nowhere, ana.token(), json!({"content": "x"})).await.expect_problem(404, "E045");
}

#[actix_web::test]
async fn conversations_are_taken_along_and_brought_in() {
    let world = World::new().await;
    let (ana, ben) = (world.sign_in("ana").await, world.sign_in("ben").await);
    let first = say(&world, &ana, "Once").await;
    world.call_json("POST", "/conversations", ana.token(), json!({"title": "Empty"})).await;
    let all = world.call("GET", "/conversations/export", ana.token()).await;
    assert_eq!(all.header("content-disposition"), "attachment; filename=\"conversations.json\"");
    let titles: Vec<Value> = all.json()["conversations"].as_array().unwrap().iter().map(|kept| kept["title"].clone()).collect();
    assert_eq!(titles, [json!("Once"), json!("Empty")], "as they were begun");
    let one =
        world.call("GET", &format!("/conversations/{}/export", first.header("x-conversation-id")), ana.token()).await.json();
    assert_eq!(one["conversations"][0]["active_message_id"], first.header("x-assistant-message-id"));
    assert_eq!(one["conversations"], json!([all.json()["conversations"][0]]));
    let brought = world.call_json("POST", "/conversations/import", ben.token(), one.clone()).await;
    assert_eq!(brought.status, 201, "{}", brought.body);
    let id = brought.json()["items"][0]["id"].as_str().unwrap().to_owned();
    let copy = world.call("GET", &format!("/conversations/{id}/export?format=json"), ben.token()).await.json();
    let contents = |file: &Value| {
        let messages = file["conversations"][0]["messages"].as_array().unwrap().clone();
        messages.into_iter().map(|message| message["content"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(contents(&copy), contents(&one));
    let markdown = world.call("GET", &format!("/conversations/{id}/export?format=markdown"), ben.token()).await;
    assert_eq!(markdown.header("content-type"), "text/markdown; charset=utf-8");
    let expected = "# Once\n\n## User, 2026-01-01 12:00:00 UTC\n\nOnce\n\n\
                    ## Assistant, 2026-01-01 12:00:00 UTC\n\n there was a king\n";
    assert_eq!(markdown.body, expected);
    let whole = world.call("GET", "/conversations/export?format=markdown", ana.token()).await.body;
    assert_eq!(whole, format!("{expected}\n# Empty\n"));
    world
        .call("GET", "/conversations/00000000-0000-7000-8000-000000000000/export", ana.token())
        .await
        .expect_problem(404, "E044");
    let nobody = world.sign_in("nobody").await;
    assert_eq!(world.call("GET", "/conversations/export", nobody.token()).await.json(), json!({"conversations": []}));
    let wrong = json!({"conversations": [{"messages": [{"role": "user", "content": "a", "parent_id": "9"}]}]});
    world.call_json("POST", "/conversations/import", ben.token(), wrong).await.expect_problem(400, "E012");
    let many = json!({"conversations": vec![json!({}); 6]});
    world.call_json("POST", "/conversations/import", ben.token(), many).await.expect_problem(400, "E012");
}

#[actix_web::test]
async fn a_user_has_a_number_of_conversations_and_an_import_is_kept_whole_or_not_at_all() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let import = async |count: usize| {
        world.call_json("POST", "/conversations/import", ana.token(), json!({"conversations": vec![json!({}); count]})).await
    };
    let kept = async || world.call("GET", "/conversations", ana.token()).await.json()["items"].as_array().unwrap().len();
    assert_eq!(import(5).await.status, 201);
    let refused = import(4).await;
    refused.expect_problem(400, "E012");
    assert!(refused.body.contains("more than 8"), "{}", refused.body);
    assert_eq!(kept().await, 5);
    assert_eq!(import(3).await.status, 201);
    world.call_json("POST", "/conversations", ana.token(), json!({})).await.expect_problem(400, "E012");
    assert_eq!(say(&world, &ana, "Once").await.status, 200, "the default conversation is had in any case");
}
