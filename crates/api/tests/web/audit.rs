//! An admin's look at the audit log.

use serde_json::{Value, json};

use crate::support::{PASSWORD, World, to};

fn actions(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|event| event["action"].as_str().unwrap()).collect()
}

#[actix_web::test]
async fn who_did_what_from_where_is_listed_newest_first_and_by_filter() {
    let world = World::new().await;
    let admin = world.sign_in("admin").await;
    let login = to("POST", "/auth/login").peer_addr("192.0.2.7:4711".parse().unwrap());
    world.send(login.set_json(json!({"username": "admin", "password": "a guess"}))).await.expect_problem(401, "E003");
    let page = world.call("GET", "/admin/audit", admin.token()).await.json();
    assert_eq!(actions(&page), ["session.sign_in_failed", "session.signed_in", "account.registered"]);
    let failed = &page["items"][0];
    assert_eq!((&failed["sequence"], &failed["actor"], &failed["subject"]), (&json!(3), &json!(null), &json!("admin")));
    assert_eq!((&failed["address"], &failed["previous_hash"]), (&json!("192.0.2.7"), &page["items"][1]["hash"]));
    assert!(!page.to_string().contains(PASSWORD) && !page.to_string().contains("a guess"));
    let of_action = world.call("GET", "/admin/audit?action=session.signed_in", admin.token()).await.json();
    assert_eq!(actions(&of_action), ["session.signed_in"]);
    let of_actor = world.call("GET", &format!("/admin/audit?actor={}", admin.id), admin.token()).await.json();
    assert_eq!(actions(&of_actor), ["session.signed_in", "account.registered"]);
    let of_subject = world.call("GET", &format!("/admin/audit?subject=user:{}", admin.id), admin.token()).await.json();
    assert_eq!(actions(&of_subject), ["account.registered"]);
}

#[actix_web::test]
async fn the_log_is_read_page_by_page_to_its_first_event() {
    let world = World::new().await;
    let admin = world.sign_in("admin").await;
    world.sign_in("ana").await;
    let (mut numbers, mut path) = (Vec::new(), "/admin/audit?limit=3".to_owned());
    loop {
        let page = world.call("GET", &path, admin.token()).await.json();
        numbers.extend(page["items"].as_array().unwrap().iter().map(|event| event["sequence"].as_i64().unwrap()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/admin/audit?limit=3&cursor={cursor}");
    }
    assert_eq!(numbers, [4, 3, 2, 1]);
}

#[actix_web::test]
async fn a_question_that_makes_no_sense_is_refused_by_its_name() {
    let world = World::new().await;
    let admin = world.sign_in("admin").await;
    for (query, status, code, named) in [
        ("action=nothing", 400, "E012", "action"),
        ("limit=201", 400, "E012", "limit"),
        ("cursor=-1", 422, "E013", "cursor"),
        ("actor=ana", 422, "E013", "actor"),
        ("since=today", 422, "E013", "since"),
    ] {
        let detail = world.call("GET", &format!("/admin/audit?{query}"), admin.token()).await.expect_problem(status, code);
        assert!(detail.contains(named), "{detail}");
    }
}
