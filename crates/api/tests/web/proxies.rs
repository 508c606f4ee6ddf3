//! Where a request comes from, behind proxies and not.

use api::TrustedProxies;
use serde_json::json;

use crate::support::{PASSWORD, World, to};

/// The address that the server keeps of a sign-in over this connection.
async fn kept_address(trusted: &[&str], peer: &str, forwarded_for: &str) -> String {
    let mut world = World::new().await;
    world.edge.trusted_proxies = TrustedProxies::parse(trusted).unwrap();
    world.sign_in("ana").await;
    let login = to("POST", "/auth/login").peer_addr(peer.parse().unwrap()).insert_header(("x-forwarded-for", forwarded_for));
    let signed_in = world.send(login.set_json(json!({"username": "ana", "password": PASSWORD}))).await.json();
    let sessions = world.call("GET", "/auth/sessions", signed_in["access_token"].as_str()).await.json();
    let sessions = sessions["items"].as_array().unwrap().clone();
    let current = sessions.iter().find(|session| session["current"] == true).unwrap();
    current["address"].as_str().unwrap().to_owned()
}

#[actix_web::test]
async fn a_sign_in_is_kept_with_the_address_that_a_believed_proxy_saw() {
    assert_eq!(kept_address(&["10.0.0.0/8"], "10.0.0.1:4711", "192.0.2.66, 198.51.100.1").await, "198.51.100.1");
}

#[actix_web::test]
async fn a_client_that_nobody_vouches_for_cannot_say_where_it_is() {
    assert_eq!(kept_address(&["10.0.0.0/8"], "203.0.113.9:4711", "198.51.100.1").await, "203.0.113.9");
    assert_eq!(kept_address(&[], "10.0.0.1:4711", "198.51.100.1").await, "10.0.0.1");
}
