//! `docs/API.md`: the document as a page to read in a repository, where neither Swagger UI nor `ReDoc` is at hand.

use std::fmt::Write;

use serde_json::Value;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{OpenApi, RefOr};

use crate::ErrorCode;
use crate::routes::table::{Access, KeyUse, ROUTES, Route};

/// Writes the reference in Markdown: the routes, the error codes, the shapes. The same document always gives the same text.
pub fn api_reference(document: &OpenApi) -> String {
    let json = serde_json::to_value(document).unwrap_or_default();
    let mut page = String::from(
        "# API reference\n\nMade from the OpenAPI document by `UPDATE_DOCS=1 cargo nextest run -p api reference_page`; do not edit it by \
         hand. A running server shows the same at `/docs` (to try) and `/redoc` (to read).\n",
    );
    // Writing into a string cannot fail.
    let _ = write_routes(&mut page, &json);
    let _ = write_errors(&mut page);
    let _ = write_schemas(&mut page, &json, document);
    page
}

fn write_routes(page: &mut String, document: &Value) -> std::fmt::Result {
    writeln!(page, "\n## Routes")?;
    for route in ROUTES.iter().filter(|route| route.documented) {
        let item = member(member(document, "paths"), route.path);
        let operation = member(item, &route.method.as_str().to_ascii_lowercase());
        writeln!(page, "\n### `{} {}`\n", route.method, route.path)?;
        writeln!(page, "{}.", text(&operation["summary"]))?;
        if let Some(description) = operation["description"].as_str() {
            writeln!(page, "\n{description}")?;
        }
        writeln!(page, "\nWho may call it: {}.", may_call(route))?;
        write_parameters(page, operation)?;
        write_bodies(page, "Takes", &operation["requestBody"])?;
        writeln!(page, "\n| status | meaning | body |\n|---|---|---|")?;
        for (status, response) in members(&operation["responses"]).into_iter().filter(|(status, _)| *status != "default") {
            writeln!(page, "| {status} | {} | {} |", text(&response["description"]), bodies(response))?;
        }
    }
    Ok(())
}

fn may_call(route: &Route) -> String {
    let who = match route.access {
        Access::Anyone => return "anyone".to_owned(),
        Access::UserOrGuest => "a signed-in user, or anyone as a guest",
        Access::SignedIn => "a signed-in user",
        Access::Admin => "an admin",
        Access::Operator => "a request from the server's own machine, the bearer of `METRICS_TOKEN`, or an admin",
    };
    match route.keys {
        KeyUse::Never => format!("{who}, in person: no API key"),
        KeyUse::Any => format!("{who}, or any API key of theirs"),
        KeyUse::With(scope) => format!("{who}, or an API key of theirs with the scope `{}`", scope.as_str()),
    }
}

fn write_parameters(page: &mut String, operation: &Value) -> std::fmt::Result {
    let Some(parameters) = operation["parameters"].as_array() else { return Ok(()) };
    writeln!(page, "\n| parameter | in | type | meaning |\n|---|---|---|---|")?;
    for parameter in parameters {
        let (name, place) = (text(&parameter["name"]), text(&parameter["in"]));
        writeln!(page, "| `{name}` | {place} | {} | {} |", kind(&parameter["schema"]), cell(&parameter["description"]))?;
    }
    Ok(())
}

fn write_bodies(page: &mut String, verb: &str, body: &Value) -> std::fmt::Result {
    let content = bodies(body);
    if content.is_empty() { Ok(()) } else { writeln!(page, "\n{verb} {content}.") }
}

/// What a request or a response carries, by media type.
fn bodies(holder: &Value) -> String {
    let content = members(&holder["content"]).into_iter();
    content.map(|(media_type, body)| format!("{} (`{media_type}`)", kind(&body["schema"]))).collect::<Vec<_>>().join(", ")
}

fn write_errors(page: &mut String) -> std::fmt::Result {
    writeln!(
        page,
        "\n## Errors\n\nEvery error is a [`Problem`](#problem), also those that a route above does not list. A `code` never \
         changes its meaning.\n"
    )?;
    writeln!(page, "| code | meaning | status |\n|---|---|---|")?;
    for code in ErrorCode::ALL {
        writeln!(page, "| {} | {} | {} |", code.code(), code.title(), code.status().as_u16())?;
    }
    writeln!(page, "\n`POST /token` answers 400 in place of 401, as OAuth2's `invalid_grant` does.")
}

fn write_schemas(page: &mut String, json: &Value, document: &OpenApi) -> std::fmt::Result {
    writeln!(page, "\n## Shapes")?;
    for (name, schema) in members(member(member(json, "components"), "schemas")) {
        writeln!(page, "\n### {name}\n")?;
        if let Some(description) = schema["description"].as_str() {
            writeln!(page, "{description}\n")?;
        }
        write_fields(page, schema, &fields_in_order(document, name))?;
    }
    Ok(())
}

/// A shape's fields as they were declared, which is the order that explains them; JSON objects here are sorted.
fn fields_in_order(document: &OpenApi, name: &str) -> Vec<String> {
    let declared = |schema: &RefOr<Schema>| match schema {
        RefOr::T(Schema::Object(object)) => object.properties.keys().cloned().collect(),
        _ => Vec::new(),
    };
    match document.components.as_ref().and_then(|components| components.schemas.get(name)) {
        Some(RefOr::T(Schema::AllOf(parts))) => parts.items.iter().flat_map(declared).collect(),
        Some(schema) => declared(schema),
        None => Vec::new(),
    }
}

fn write_fields(page: &mut String, schema: &Value, order: &[String]) -> std::fmt::Result {
    if let Some(parts) = schema["allOf"].as_array() {
        return parts.iter().try_for_each(|part| match part["$ref"].as_str() {
            Some(_) => writeln!(page, "All of {}, and:\n", kind(part)),
            None => write_fields(page, part, order),
        });
    }
    if schema["properties"].is_null() {
        return writeln!(page, "{}", kind(schema));
    }
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut fields = members(&schema["properties"]);
    fields.sort_by_key(|(field, _)| order.iter().position(|name| name == field));
    writeln!(page, "| field | type | meaning |\n|---|---|---|")?;
    for (field, shape) in fields {
        let optional = if required.contains(&field) { "" } else { ", optional" };
        writeln!(page, "| `{field}` | {}{optional} | {} |", kind(shape), cell(&shape["description"]))?;
    }
    Ok(())
}

/// A schema in a few words: a link to a shape, or a type with its range.
fn kind(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return format!("[{name}](#{})", name.to_ascii_lowercase());
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        return choices.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(|value| format!("`{}`", text(value))).collect::<Vec<_>>().join(" or ");
    }
    let name = match &schema["type"] {
        Value::Array(types) => types.iter().map(text).collect::<Vec<_>>().join(" or "),
        single => text(single).to_owned(),
    };
    if name == "array" {
        return format!("list of {}", kind(&schema["items"]));
    }
    let format = schema["format"].as_str().filter(|format| !format.starts_with(['i', 'd', 'f']) || *format == "date-time");
    let range = match (&schema["minimum"], &schema["maximum"]) {
        (Value::Null, Value::Null) => String::new(),
        (min, Value::Null) => format!(", at least {min}"),
        (Value::Null, max) => format!(", at most {max}"),
        (min, max) => format!(", {min} to {max}"),
    };
    format!("{name}{}{range}", format.map(|format| format!(" ({format})")).unwrap_or_default())
}

fn member<'a>(object: &'a Value, name: &str) -> &'a Value {
    object.get(name).unwrap_or(&Value::Null)
}

/// An object's members by name: serde_json keeps them sorted or not by a feature that any other crate may switch on.
fn members(object: &Value) -> Vec<(&str, &Value)> {
    let mut members: Vec<(&str, &Value)> =
        object.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value)).collect();
    members.sort_by_key(|(name, _)| *name);
    members
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A description inside a table: on one line.
fn cell(value: &Value) -> String {
    text(value).replace('\n', " ").replace('|', "\\|")
}
