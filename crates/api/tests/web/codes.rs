//! Invitations, and passwords set by a one-time code.

use domain::RegistrationPolicy;
use serde_json::json;

use crate::support::{PASSWORD, Settings, World};

async fn world_where_registration_is(registration: RegistrationPolicy) -> World {
    World::with(Settings { registration, ..Settings::default() }).await
}

#[actix_web::test]
async fn who_is_invited_registers_once() {
    let world = world_where_registration_is(RegistrationPolicy::Invite).await;
    let admin = world.sign_in("admin").await;
    let account = |name: &str| json!({"username": name, "password": PASSWORD});
    world.call_json("POST", "/users", None, account("ana")).await.expect_problem(403, "E039");
    world.call_json("POST", "/register", None, account("ana")).await.expect_problem(403, "E039");
    let invitation = world.call("POST", "/admin/invitations", admin.token()).await;
    assert_eq!(invitation.status, 201, "{}", invitation.body);
    let code = invitation.json()["code"].as_str().unwrap().to_owned();
    let waiting = world.call("GET", "/admin/invitations", admin.token()).await;
    assert_eq!(waiting.json()["items"][0]["id"], invitation.json()["id"]);
    assert_eq!(waiting.json()["items"][0]["created_by"], admin.id);
    assert!(!waiting.body.contains(&code), "a code is shown once");
    let mut with_code = account("ana");
    with_code["invitation"] = json!(code);
    let registered = world.call_json("POST", "/users", None, with_code).await;
    assert_eq!((registered.status.as_u16(), &registered.json()["role"]), (201, &json!("user")));
    let again = json!({"email": "eve@example.org", "password": PASSWORD, "invitation": code});
    world.call_json("POST", "/auth/register", None, again).await.expect_problem(400, "E038");
    assert_eq!(world.call("GET", "/admin/invitations", admin.token()).await.json()["items"], json!([]));
}

#[actix_web::test]
async fn where_registration_is_closed_no_invitation_helps() {
    let world = world_where_registration_is(RegistrationPolicy::Closed).await;
    let admin = world.sign_in("admin").await;
    let code = world.call("POST", "/admin/invitations", admin.token()).await.json()["code"].clone();
    let account = json!({"username": "ana", "password": PASSWORD, "invitation": code});
    world.call_json("POST", "/users", None, account).await.expect_problem(403, "E039");
}

#[actix_web::test]
async fn a_forgotten_password_is_set_anew_by_a_code_from_an_admin() {
    let world = World::new().await;
    let (admin, ana) = (world.sign_in("admin").await, world.sign_in("ana").await);
    let path = format!("/users/{}/password-reset", ana.id);
    let issued = world.call("POST", &path, admin.token()).await;
    assert_eq!(issued.status, 201, "{}", issued.body);
    assert_eq!(issued.json()["expires_at"], "2026-01-01T13:00:00Z");
    let code = issued.json()["code"].clone();
    let weak = json!({"code": code, "new_password": "short"});
    world.call_json("POST", "/auth/password-reset", None, weak).await.expect_problem(400, "E012");
    let reset = json!({"code": code, "new_password": "another password"});
    assert_eq!(world.call_json("POST", "/auth/password-reset", None, reset.clone()).await.status, 204);
    world.call("GET", "/users/me", ana.token()).await.expect_problem(401, "E010");
    world.post_form("/token", &[("username", "ana"), ("password", PASSWORD)]).await.expect_problem(400, "E003");
    assert_eq!(world.post_form("/token", &[("username", "ana"), ("password", "another password")]).await.status, 200);
    world.call_json("POST", "/auth/password-reset", None, reset).await.expect_problem(400, "E038");
    let nobody = format!("/users/{}/password-reset", uuid::Uuid::now_v7());
    world.call("POST", &nobody, admin.token()).await.expect_problem(404, "E011");
}
