//! The description of this API (`OpenAPI` 3.1), collected from the handlers and completed from the route table: who may call a route,
//! and the errors that every route of its kind can answer, are written once.

mod reference;

use std::sync::LazyLock;

use actix_web::App;
use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{
    Flow, HttpAuthScheme, HttpBuilder, OAuth2, Password, Scopes, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Components, ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder};
use utoipa_actix_web::AppExt;

use crate::openai_error::{OpenAiError, is_openais};
use crate::problem::{PROBLEM_JSON, Problem};
use crate::routes;
use crate::routes::table::{Access, KeyUse, ROUTES, Route};

pub use reference::api_reference;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Tertulia",
        description = "A self-hosted server for generated text. Errors are `application/problem+json` (RFC 9457); every response carries \
            `X-Request-Id`. Register, sign in at `POST /token`, and send `Authorization: Bearer …`.",
        license(name = "MIT", identifier = "MIT"),
    ),
    components(schemas(Problem, OpenAiError)),
    tags(
        (name = "users", description = "Accounts"),
        (name = "tokens", description = "OAuth2: a token for a password"),
        (name = "sessions", description = "Sign-ins: a short access token, a long refresh token"),
        (name = "API keys", description = "What programs call with"),
        (name = "models", description = "Named models, and one's own defaults for them"),
        (name = "text generations", description = "Making texts, and the history of those that were made"),
        (name = "chat", description = "Conversations: streams that survive a lost connection, memory, branches, export and import"),
        (name = "images", description = "Pictures, made by a provider and kept here"),
        (name = "speech", description = "Recordings, made here or by a provider, and the voices there are"),
        (name = "objects", description = "What a signed link leads to"),
        (name = "OpenAI-compatible", description = "OpenAI's API: any client works with `base_url` set to `/v1` of this server. Errors are OpenAI's; what is made is not stored"),
        (name = "aliases", description = "The same, in the shapes of existing clients; unknown fields are ignored"),
        (name = "administration", description = "Invitations, limits and the audit log"),
        (name = "operations", description = "How the server is"),
    )
)]
struct Base;

/// The two ways a client may learn to send a bearer token: by OAuth2's password form (what Swagger UI's *Authorize* does), or by hand.
const OAUTH2: &str = "oauth2";
const BEARER: &str = "bearer";

static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(|| {
    let (_, mut document) = App::new().into_utoipa_app().openapi(Base::openapi()).configure(routes::configure).split_for_parts();
    env!("CARGO_PKG_VERSION").clone_into(&mut document.info.version);
    let components = document.components.get_or_insert_with(Components::new);
    components.add_security_scheme(
        OAUTH2,
        SecurityScheme::OAuth2(OAuth2::new([Flow::Password(Password::new("/token", Scopes::new()))])),
    );
    components.add_security_scheme(
        BEARER,
        SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build()),
    );
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations_mut(item) {
            complete(operation, method, path);
        }
    }
    document
});

/// The document. It is the same for every server of this version.
pub fn document() -> &'static OpenApi {
    &DOCUMENT
}

/// The operations of a path, by the names of their methods.
fn operations_mut(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    [
        ("GET", item.get.as_mut()),
        ("PUT", item.put.as_mut()),
        ("POST", item.post.as_mut()),
        ("DELETE", item.delete.as_mut()),
        ("PATCH", item.patch.as_mut()),
    ]
    .into_iter()
    .filter_map(|(method, operation)| operation.map(|operation| (method, operation)))
}

/// Adds to a route's own description what follows from its kind.
fn complete(operation: &mut Operation, method: &str, path: &str) {
    operation.operation_id = Some(operation_id(method, path));
    // A summary is a title, made from a sentence of documentation.
    operation.summary = operation.summary.take().map(|summary| summary.trim_end_matches('.').to_owned());
    let route = ROUTES.iter().find(|route| route.method.as_str() == method && route.path == path);
    let mut common: Vec<(&str, &str)> = Vec::new();
    if let Some(route) = route.filter(|route| route.access != Access::Anyone) {
        let mut security = [OAUTH2, BEARER].map(|scheme| SecurityRequirement::new(scheme, [] as [&str; 0])).to_vec();
        if route.access == Access::UserOrGuest {
            // An empty requirement makes the others optional (OpenAPI 3.1, section 4.8.30).
            security.push(SecurityRequirement::default());
        }
        operation.security = Some(security);
        common.push(("401", "No bearer, or one that is not, or no longer, valid (E010)"));
        common.extend(refusal(route).map(|why| ("403", why)));
    }
    if route.is_some_and(|route| route.counted) {
        common.push(("429", "Too many requests (E034); `Retry-After` and the `RateLimit-…` headers say when to come back"));
    }
    if operation.request_body.is_some() {
        common.push(("413", "The body is too large (E020)"));
        common.push(("415", "The body is of another content type (E021)"));
    }
    if (operation.request_body.is_some() || operation.parameters.is_some()) && !is_openais(path) {
        common.push(("422", "The request is malformed; the detail names the field (E013)"));
    }
    common.push(("default", "Any other error of the table"));
    for (status, description) in common {
        let response = ResponseBuilder::new().description(description).build();
        operation.responses.responses.entry(status.to_owned()).or_insert(RefOr::T(response));
    }
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && (status.starts_with(['4', '5']) || status == "default")
        {
            describe_problem(response, is_openais(path));
        }
    }
}

/// Why a proven caller may be refused at a route, if they may.
fn refusal(route: &Route) -> Option<&'static str> {
    match (route.access, route.keys) {
        (Access::Anyone, _) | (Access::UserOrGuest, KeyUse::Any | KeyUse::Never) | (Access::SignedIn, KeyUse::Any) => None,
        (Access::SignedIn, KeyUse::Never) => Some("The caller came with an API key, where only a person may (E022)"),
        (Access::UserOrGuest | Access::SignedIn, KeyUse::With(_)) => Some("The API key does not have the scope (E022)"),
        (Access::Admin | Access::Operator, _) => {
            Some("The caller is not an admin, or their API key does not have the scope (E022)")
        }
    }
}

/// An error without a body of its own answers with a [`Problem`], or in OpenAI's shape.
fn describe_problem(response: &mut Response, in_openais_shape: bool) {
    if response.content.is_empty() {
        let (media_type, schema) = if in_openais_shape { ("application/json", "OpenAiError") } else { (PROBLEM_JSON, "Problem") };
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
        response.content.insert(media_type.to_owned(), RefOr::T(content));
    }
}

/// A name for each operation that client generators can use: `get_users_me`.
fn operation_id(method: &str, path: &str) -> String {
    let path = if path == "/" { "root" } else { path.trim_start_matches('/') };
    format!("{}_{}", method.to_ascii_lowercase(), path.replace('/', "_").replace(['{', '}'], ""))
}
