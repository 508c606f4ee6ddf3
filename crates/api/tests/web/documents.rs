//! The description of the API and the two pages that show it.

use serde_json::Value;

use crate::support::{World, to};

#[actix_web::test]
async fn the_served_document_is_the_one_that_the_command_prints() {
    let world = World::new().await;
    let served = world.call("GET", "/openapi.json", None).await;
    assert_eq!(served.header("content-type"), "application/json");
    assert_eq!(served.json(), serde_json::to_value(api::openapi::document()).unwrap());
    assert_eq!(served.json()["openapi"], "3.1.0");
}

#[actix_web::test]
async fn swagger_ui_shows_this_document_with_everything_from_this_server() {
    let world = World::new().await;
    // The folder against which a browser reads the page's links.
    for (path, folder) in [("/docs", ""), ("/docs/", "/docs")] {
        let page = world.call("GET", path, None).await;
        assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"));
        assert!(page.header("content-security-policy").contains("script-src 'self'"));
        let links = linked(&page.body);
        assert!(links.len() >= 4, "{links:?}");
        for link in links {
            assert!(!link.starts_with('/') && !link.contains("//"), "{link} is not relative");
            let file = format!("{folder}/{}", link.strip_prefix("./").unwrap_or(&link));
            assert_eq!(world.call("GET", &file, None).await.status, 200, "{path}: {file}");
        }
    }
    let initializer = world.call("GET", "/docs/swagger-initializer.js", None).await;
    assert!(initializer.body.contains("/openapi.json"));
}

#[actix_web::test]
async fn redoc_shows_this_document_with_everything_from_this_server() {
    let world = World::new().await;
    let page = world.call("GET", "/redoc", None).await;
    assert_eq!(
        (page.status.as_u16(), linked(&page.body)),
        (200, vec!["/redoc/redoc.standalone.js".to_owned(), "/docs/favicon-32x32.png".to_owned()])
    );
    assert!(page.body.contains(r#"spec-url="/openapi.json""#));
    assert_eq!(world.call("GET", "/redoc/", None).await.body, page.body);
    let plain = world.call("GET", "/redoc/redoc.standalone.js", None).await;
    assert!(plain.body.starts_with("/*! For license information"));
    let request = to("GET", "/redoc/redoc.standalone.js").insert_header(("accept-encoding", "gzip, br"));
    let compressed = world.send(request).await;
    assert_eq!((compressed.status.as_u16(), compressed.header("content-encoding")), (200, "gzip"));
    assert!(compressed.body.len() < plain.body.len());
}

fn linked(page: &str) -> Vec<String> {
    let after = |attribute: &'static str| page.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    after("src=\"").chain(after("href=\"")).collect()
}

#[test]
fn every_operation_is_described_named_and_answers_with_known_shapes() {
    let document = serde_json::to_value(api::openapi::document()).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut names = std::collections::HashSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let place = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{place}");
            assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{place}");
            assert!(operation["tags"].as_array().is_some_and(|tags| tags.len() == 1), "{place}");
        }
    }
    for name in references(&document) {
        assert!(schemas.contains_key(&name), "{name} is referred to and not described");
    }
}

fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match value.as_str() {
                Some(path) if name == "$ref" => vec![path.rsplit('/').next().unwrap().to_owned()],
                _ => references(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn the_reference_page_in_the_repository_is_the_documents() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/API.md");
    let expected = api::openapi::api_reference(api::openapi::document());
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    if kept != expected && std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &expected).unwrap();
        return;
    }
    assert!(kept == expected, "docs/API.md is stale: run `UPDATE_DOCS=1 cargo nextest run -p api reference_page`");
}
