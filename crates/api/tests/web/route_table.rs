//! The route table against what is described and what is served: a route that is missing from either, or open to who it should not be,
//! fails here.

use std::collections::BTreeSet;

use api::openapi::document;
use api::table::{Access, KeyUse, ROUTES, Route};

use crate::support::World;

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
        // Registering can be closed to everybody, and a link have ended; the other open routes refuse nobody.
        let can_refuse = match (route.access, route.keys) {
            (Access::Anyone, _) => {
                let told = ["Registration is not open (E039)", "The link is not valid, or no longer (E049)"];
                operation["responses"]["403"]["description"].as_str().is_some_and(|description| told.contains(&description))
            }
            (Access::UserOrGuest | Access::SignedIn, keys) => keys != KeyUse::Any,
            (Access::Admin | Access::Operator, _) => true,
        };
        assert_eq!(operation["responses"].get("403").is_some(), can_refuse, "{} {}", route.method, route.path);
        assert_eq!(operation["responses"].get("429").is_some(), route.counted, "{} {}", route.method, route.path);
    }
}

fn concrete(route: &Route) -> String {
    route
        .path
        .replace("{id}", "0197a1b2-0000-7000-8000-000000000000")
        .replace("{name}", "index.html")
        .replace("{message_id}", "0197a1b2-0000-7000-8000-000000000001")
}

#[actix_web::test]
async fn the_methods_of_a_path_are_told_from_the_table() {
    let world = World::new().await;
    for route in ROUTES {
        let answer = world.call("TRACE", &concrete(route), None).await;
        if route.path.starts_with("/v1/") {
            answer.expect_openai_error(405, "method_not_supported");
        } else {
            answer.expect_problem(405, "E019");
        }
        assert!(answer.header("allow").contains(route.method.as_str()), "{} {}", route.method, route.path);
    }
}
