//! The route table against what is described and what is served: a route that is missing from either, or open to who it should not be,
//! fails here.

use std::collections::BTreeSet;

use api::openapi::document;
use api::table::{Access, ROUTES, Route};

use crate::support::{World, to, with_token};

fn operations() -> BTreeSet<(String, String)> {
    let document = serde_json::to_value(document()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let named = |(path, item): (&String, &serde_json::Value)| -> Vec<(String, String)> {
        item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())).collect()
    };
    paths.iter().flat_map(named).collect()
}

#[test]
fn every_operation_of_the_document_is_in_the_table_and_the_other_way_round() {
    let table: BTreeSet<(String, String)> =
        ROUTES.iter().filter(|route| route.documented).map(|route| (route.method.to_string(), route.path.to_owned())).collect();
    assert_eq!(operations(), table);
}

#[test]
fn the_documents_security_is_the_tables() {
    let document = serde_json::to_value(document()).unwrap();
    for route in ROUTES.iter().filter(|route| route.documented) {
        let operation = &document["paths"][route.path][route.method.as_str().to_lowercase()];
        let secured = operation["security"].as_array().is_some_and(|schemes| !schemes.is_empty());
        assert_eq!(secured, route.access != Access::Anyone, "{} {}", route.method, route.path);
        let is_for_few = matches!(route.access, Access::Admin | Access::Operator);
        assert_eq!(operation["responses"].get("403").is_some(), is_for_few, "{} {}", route.method, route.path);
    }
}

fn concrete(route: &Route) -> String {
    route.path.replace("{id}", "0197a1b2-0000-7000-8000-000000000000").replace("{name}", "index.html")
}

#[actix_web::test]
async fn every_route_is_served_and_lets_in_whom_the_table_says() {
    let world = World::new().await;
    let (_admin, ana) = (world.sign_in("admin").await, world.sign_in("ana").await);
    for route in ROUTES {
        let place = format!("{} {}", route.method, route.path);
        let request = || to(route.method.as_str(), &concrete(route));
        let stranger = world.send(request()).await;
        let forger = world.send(with_token(request(), Some("forged"))).await;
        let is_closed = route.access != Access::Anyone;
        assert_eq!((stranger.status == 401, forger.status == 401), (is_closed, is_closed), "{place}");
        assert!(![404, 405].contains(&stranger.status.as_u16()), "{place} is not served");
        if matches!(route.access, Access::Admin | Access::Operator) {
            world.send(with_token(request(), ana.token())).await.expect_problem(403, "E022");
        }
    }
}

#[actix_web::test]
async fn the_methods_of_a_path_are_told_from_the_table() {
    let world = World::new().await;
    for route in ROUTES {
        let answer = world.call("TRACE", &concrete(route), None).await;
        answer.expect_problem(405, "E019");
        assert!(answer.header("allow").contains(route.method.as_str()), "{} {}", route.method, route.path);
    }
}
