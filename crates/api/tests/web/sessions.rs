//! Tokens and sign-ins.

use serde_json::json;

use crate::support::{PASSWORD, World};

#[actix_web::test]
async fn a_password_is_exchanged_for_a_pair_of_tokens_as_oauth2_asks() {
    let world = World::new().await;
    world.sign_in("ana").await;
    let form = [("grant_type", "password"), ("username", "ana"), ("password", PASSWORD), ("scope", ""), ("client_id", "x")];
    let answer = world.post_form("/token", &form).await;
    let tokens = answer.json();
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("bearer"), &json!(900)));
    assert_eq!(tokens.as_object().unwrap().len(), 4, "{tokens}");
    assert_eq!((answer.header("cache-control"), answer.header("pragma")), ("no-store", "no-cache"));
    let form = [("grant_type", "refresh_token"), ("refresh_token", tokens["refresh_token"].as_str().unwrap())];
    let next = world.post_form("/token", &form).await;
    assert_eq!(next.status, 200);
    assert_ne!(next.json()["refresh_token"], tokens["refresh_token"], "refresh tokens rotate");
    world.post_form("/token", &[("grant_type", "client_credentials")]).await.expect_problem(400, "E012");
}

#[actix_web::test]
async fn a_login_answers_in_both_spellings_and_takes_an_email_or_a_name() {
    let world = World::new().await;
    let registration = json!({"email": "ana@example.org", "password": PASSWORD});
    let registered = world.call_json("POST", "/auth/register", None, registration).await;
    assert_eq!((registered.status.as_u16(), &registered.json()["username"]), (201, &json!("ana@example.org")));
    for login in
        [json!({"email": "ana@example.org", "password": PASSWORD}), json!({"username": "ana@example.org", "password": PASSWORD})]
    {
        let tokens = world.call_json("POST", "/auth/login", None, login).await.json();
        assert_eq!(tokens["access_token"], tokens["accessToken"]);
        assert_eq!(tokens["refresh_token"], tokens["refreshToken"]);
        assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("bearer"), &json!(900)));
    }
    for neither_one in [json!({"password": PASSWORD}), json!({"email": "a@b", "username": "a", "password": PASSWORD})] {
        let detail = world.call_json("POST", "/auth/login", None, neither_one).await.expect_problem(422, "E013");
        assert!(detail.contains("username"), "{detail}");
    }
}

#[actix_web::test]
async fn a_spent_refresh_token_ends_the_whole_session() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let next = world.call_json("POST", "/auth/refresh", None, json!({"refreshToken": ana.refresh_token})).await;
    assert_eq!(next.status, 200);
    let tokens = next.json();
    let again = world.call_json("POST", "/auth/refresh", None, json!({"refresh_token": ana.refresh_token})).await;
    again.expect_problem(401, "E010");
    world.call("GET", "/users/me", tokens["access_token"].as_str()).await.expect_problem(401, "E010");
    let next = world.call_json("POST", "/auth/refresh", None, json!({"refresh_token": tokens["refresh_token"]})).await;
    next.expect_problem(401, "E010");
}

#[actix_web::test]
async fn logging_out_ends_the_access_token_too_and_needs_no_bearer() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    let out = world.call_json("POST", "/auth/logout", None, json!({"refreshToken": ana.refresh_token})).await;
    assert_eq!(out.status, 204);
    world.call("GET", "/users/me", ana.token()).await.expect_problem(401, "E010");
    let again = world.call_json("POST", "/auth/logout", None, json!({"refresh_token": "never issued"})).await;
    assert_eq!(again.status, 204, "an unknown token tells nobody anything");
}

#[actix_web::test]
async fn a_user_sees_where_they_are_signed_in_and_ends_one_of_them() {
    let world = World::new().await;
    let here = world.sign_in("ana").await;
    world.clock.advance(chrono::TimeDelta::seconds(60));
    let there = world.post_form("/token", &[("username", "ana"), ("password", PASSWORD)]).await.json();
    let list = world.call("GET", "/auth/sessions", here.token()).await.json();
    assert_eq!(list["next_cursor"], json!(null));
    let sessions = list["items"].as_array().unwrap();
    let current: Vec<bool> = sessions.iter().map(|session| session["current"].as_bool().unwrap()).collect();
    assert_eq!(current, [false, true], "the last used first");
    let other = format!("/auth/sessions/{}", sessions[0]["id"].as_str().unwrap());
    assert_eq!(world.call("DELETE", &other, here.token()).await.status, 204);
    world.call("GET", "/users/me", there["access_token"].as_str()).await.expect_problem(401, "E010");
    let eve = world.sign_in("eve").await;
    let mine = format!("/auth/sessions/{}", sessions[1]["id"].as_str().unwrap());
    world.call("DELETE", &mine, eve.token()).await.expect_problem(404, "E017");
}

#[actix_web::test]
async fn the_places_where_a_user_is_signed_in_are_read_page_by_page() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    for _ in 0..4 {
        world.clock.advance(chrono::TimeDelta::seconds(1));
        world.post_form("/token", &[("username", "ana"), ("password", PASSWORD)]).await;
    }
    let (mut found, mut path) = (Vec::new(), "/auth/sessions?limit=2".to_owned());
    loop {
        let page = world.call("GET", &path, ana.token()).await.json();
        found.extend(page["items"].as_array().unwrap().iter().map(|session| session["current"].as_bool().unwrap()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/auth/sessions?limit=2&cursor={cursor}");
    }
    assert_eq!(found, [false, false, false, false, true], "each once, the last used first");
}

#[actix_web::test]
async fn every_list_refuses_what_it_would_not_heed() {
    let world = World::new().await;
    let admin = world.sign_in("admin").await;
    for path in [
        "/users",
        "/auth/sessions",
        "/auth/api-keys",
        "/admin/invitations",
        "/admin/audit",
        "/models",
        "/text_generations",
        "/conversations",
        "/image",
        "/tts",
        "/tts/voices",
    ] {
        let detail = world.call("GET", &format!("{path}?colour=red"), admin.token()).await.expect_problem(422, "E013");
        assert!(detail.contains("colour"), "{path}: {detail}");
    }
    for path in ["/auth/sessions", "/admin/invitations"] {
        world.call("GET", &format!("{path}?limit=201"), admin.token()).await.expect_problem(400, "E012");
    }
}
