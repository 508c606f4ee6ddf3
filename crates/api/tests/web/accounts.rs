//! Accounts, from registering to leaving.

use serde_json::json;

use crate::support::{PASSWORD, World};

#[actix_web::test]
async fn the_first_to_register_is_the_admin_and_the_second_is_not() {
    let world = World::new().await;
    let register = |name: &str| json!({"username": name, "password": PASSWORD, "email": format!("{name}@example.org")});
    let first = world.call_json("POST", "/users", None, register("ana")).await;
    assert_eq!(first.status, 201);
    let user = first.json();
    assert_eq!((&user["username"], &user["email"], &user["role"]), (&json!("ana"), &json!("ana@example.org"), &json!("admin")));
    assert_eq!((&user["disabled"], &user["created_at"]), (&json!(false), &json!("2026-01-01T12:00:00Z")));
    assert_eq!(user.as_object().unwrap().len(), 6, "nothing more, and no hash: {user}");
    let second = world.call_json("POST", "/users", None, register("eve")).await;
    assert_eq!(second.json()["role"], "user");
}

#[actix_web::test]
async fn a_password_is_8_to_72_bytes() {
    let world = World::new().await;
    for password in ["1234567".to_owned(), "x".repeat(73), "ñ".repeat(37)] {
        let answer = world.call_json("POST", "/users", None, json!({"username": "ana", "password": password})).await;
        let detail = answer.expect_problem(400, "E012");
        assert!(detail.contains("password") && !detail.contains(&password), "{detail}");
    }
}

#[actix_web::test]
async fn a_user_changes_their_email_and_password_with_the_present_one() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let elsewhere = world.post_form("/token", &[("username", "ana"), ("password", PASSWORD)]).await.json();
    let change = json!({"email": "new@example.org", "new_password": "another password", "current_password": PASSWORD});
    let changed = world.call_json("PATCH", "/users/me", ana.token(), change).await;
    assert_eq!((changed.status.as_u16(), &changed.json()["email"]), (200, &json!("new@example.org")));
    assert_eq!(world.call("GET", "/users/me", ana.token()).await.status, 200, "this session goes on");
    world.call("GET", "/users/me", elsewhere["access_token"].as_str()).await.expect_problem(401, "E010");
    world.post_form("/token", &[("username", "ana"), ("password", PASSWORD)]).await.expect_problem(400, "E003");
    let signed_in = world.post_form("/token", &[("username", "new@example.org"), ("password", "another password")]).await;
    assert_eq!(signed_in.status, 200, "an email signs in as a name does");
}

#[actix_web::test]
async fn a_borrowed_device_is_not_enough_to_take_an_account_over() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    for change in [json!({"email": "eve@example.org"}), json!({"email": "eve@example.org", "current_password": "guess"})] {
        let detail = world.call_json("PATCH", "/users/me", ana.token(), change).await.expect_problem(400, "E012");
        assert!(detail.contains("current_password"), "{detail}");
    }
}

#[actix_web::test]
async fn a_user_who_leaves_is_gone_with_their_texts_and_tokens() {
    let world = World::new().await;
    world.sign_in("admin").await;
    let ana = world.sign_in("ana").await;
    world.call_json("POST", "/text_generations", ana.token(), json!({"prompt": "Once"})).await;
    let left = world.call("DELETE", "/users/me", ana.token()).await;
    assert_eq!(left.status, 200);
    assert_eq!(
        left.json(),
        json!({"removed": {"sessions": 1, "api_keys": 0, "text_generations": 1, "conversations": 0, "images": 0, "speeches": 0}})
    );
    world.call("GET", "/users/me", ana.token()).await.expect_problem(401, "E010");
    world.post_form("/token", &[("username", "ana"), ("password", PASSWORD)]).await.expect_problem(400, "E003");
}

#[actix_web::test]
async fn an_admin_lists_all_accounts_page_by_page_newest_first() {
    let world = World::new().await;
    let admin = world.sign_in("admin").await;
    for name in ["a", "b", "c"] {
        world.clock.advance(chrono::TimeDelta::seconds(1));
        world.sign_in(name).await;
    }
    let mut names = Vec::new();
    let mut path = "/users?limit=3".to_owned();
    loop {
        let page = world.call("GET", &path, admin.token()).await.json();
        names.extend(page["items"].as_array().unwrap().iter().map(|user| user["username"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/users?limit=3&cursor={cursor}");
    }
    assert_eq!(names, ["c", "b", "a", "admin"]);
}

#[actix_web::test]
async fn an_admin_promotes_disables_and_removes_others_and_not_themselves() {
    let world = World::new().await;
    let (admin, ana) = (world.sign_in("admin").await, world.sign_in("ana").await);
    let path = format!("/users/{}", ana.id);
    let promoted = world.call_json("PATCH", &path, admin.token(), json!({"role": "admin"})).await;
    assert_eq!((promoted.status.as_u16(), &promoted.json()["role"]), (200, &json!("admin")));
    world.call("GET", "/users/me", ana.token()).await.expect_problem(401, "E010");
    assert_eq!(world.call("DELETE", &path, admin.token()).await.status, 204);
    let own = format!("/users/{}", admin.id);
    world.call_json("PATCH", &own, admin.token(), json!({"role": "user"})).await.expect_problem(400, "E024");
    world.call("DELETE", &own, admin.token()).await.expect_problem(400, "E024");
    world.call_json("PATCH", &own, admin.token(), json!({"role": "king"})).await.expect_problem(422, "E013");
}

#[actix_web::test]
async fn what_a_user_made_goes_after_their_account_and_stays_where_it_stays() {
    let world = World::new().await;
    let (admin, ana) = (world.sign_in("admin").await, world.sign_in("ana").await);
    let mut objects = Vec::new();
    for user in [&admin, &ana] {
        let made = world.call_json("POST", "/image/generate", user.token(), json!({"prompt": "A house"})).await;
        assert_eq!(made.status, 201, "{}", made.body);
        objects.push(made.json()["id"].as_str().unwrap().to_owned());
    }
    let kept = |id: &str| world.storage.keys().iter().any(|key| key.contains(id));
    world.call("DELETE", "/users/me", admin.token()).await.expect_problem(400, "E024");
    assert!(kept(&objects[0]), "an account that stays keeps what it has");
    let left = world.call("DELETE", "/users/me", ana.token()).await;
    assert_eq!(left.json()["removed"]["images"], 1);
    assert!(kept(&objects[0]) && !kept(&objects[1]) && !kept(&ana.id));
}

#[actix_web::test]
async fn a_user_takes_their_email_back() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let change = |email: serde_json::Value| json!({"email": email, "current_password": PASSWORD});
    let path = "/users/me";
    world.call_json("PATCH", path, ana.token(), change(json!("ana@example.org"))).await;
    let stays = world.call_json("PATCH", path, ana.token(), json!({"current_password": PASSWORD})).await;
    assert_eq!(stays.json()["email"], "ana@example.org", "what is absent stays");
    let gone = world.call_json("PATCH", path, ana.token(), change(json!(null))).await;
    assert_eq!((gone.status.as_u16(), &gone.json()["email"]), (200, &json!(null)));
    let login = world.post_form("/token", &[("username", "ana@example.org"), ("password", PASSWORD)]).await;
    login.expect_problem(400, "E003");
}
