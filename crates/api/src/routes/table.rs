//! Every route, who may call it, and with which scope a program's key may: in one place.
//!
//! The [`authorise`](crate::middleware::authorise) middleware lets nobody pass but whom this table names, and what is not in it is not
//! found, whatever the router knows. The document's security and the answer to a method that a path does not know are made from it too.
//! Tests compare the table with what is served, and every route with what it answers to every kind of caller.

use actix_web::http::Method;
use domain::Scope;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Anyone.
    Anyone,
    /// A signed-in user, or somebody who shows no token, as a guest.
    UserOrGuest,
    /// A signed-in user; records are their own.
    SignedIn,
    /// A signed-in admin.
    Admin,
    /// Who watches over the server: a request from this machine, the metrics' own token, or an admin.
    Operator,
}

/// What an API key may do at a route that is not open to anyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// Nothing: only a person who signed in may call it.
    Never,
    /// Any key of a user who may call it.
    Any,
    /// A key with this scope.
    With(Scope),
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path; `{id}` and `{message_id}` stand for one segment, `{name}` for one or more (a model's name may contain `/`).
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// What a key may do here.
    pub keys: KeyUse,
    /// Whether its requests count against a limit. What watches over the server must never be told to wait.
    pub counted: bool,
    /// Whether it is in the `OpenAPI` document. The pages that show the document are not.
    pub documented: bool,
}

const fn api(method: Method, path: &'static str, access: Access, keys: KeyUse) -> Route {
    Route { method, path, access, keys, counted: true, documented: true }
}

/// For anyone.
const fn open(method: Method, path: &'static str) -> Route {
    api(method, path, Access::Anyone, KeyUse::Any)
}

/// For a person who signed in: what decides over the account itself.
const fn person(method: Method, path: &'static str) -> Route {
    api(method, path, Access::SignedIn, KeyUse::Never)
}

/// For a user and any of their keys.
const fn user(method: Method, path: &'static str) -> Route {
    api(method, path, Access::SignedIn, KeyUse::Any)
}

/// For a user and those of their keys that have the scope `text`.
const fn text(method: Method, path: &'static str) -> Route {
    api(method, path, Access::SignedIn, KeyUse::With(Scope::Text))
}

/// For a user and those of their keys that have the scope `chat`.
const fn chat(method: Method, path: &'static str) -> Route {
    api(method, path, Access::SignedIn, KeyUse::With(Scope::Chat))
}

/// For a user and those of their keys that have this scope, and for guests.
const fn guest_or(scope: Scope, method: Method, path: &'static str) -> Route {
    api(method, path, Access::UserOrGuest, KeyUse::With(scope))
}

/// For a user and those of their keys that have this scope.
const fn media(scope: Scope, method: Method, path: &'static str) -> Route {
    api(method, path, Access::SignedIn, KeyUse::With(scope))
}

/// For whoever has a signed link. The request that asked for the link was counted.
const fn link(path: &'static str) -> Route {
    Route { method: Method::GET, path, access: Access::Anyone, keys: KeyUse::Any, counted: false, documented: true }
}

/// For an admin and those of their keys that have the scope `admin`.
const fn admin(method: Method, path: &'static str) -> Route {
    api(method, path, Access::Admin, KeyUse::With(Scope::Admin))
}

/// For an admin who signed in: what would make a key outlive its own end.
const fn admin_in_person(method: Method, path: &'static str) -> Route {
    api(method, path, Access::Admin, KeyUse::Never)
}

/// For who watches over the server.
const fn operator(path: &'static str) -> Route {
    let (access, keys) = (Access::Operator, KeyUse::With(Scope::Admin));
    Route { method: Method::GET, path, access, keys, counted: false, documented: true }
}

/// For what asks again and again whether the server is there.
const fn probe(path: &'static str) -> Route {
    Route { method: Method::GET, path, access: Access::Anyone, keys: KeyUse::Any, counted: false, documented: true }
}

const fn page(path: &'static str) -> Route {
    Route { method: Method::GET, path, access: Access::Anyone, keys: KeyUse::Any, counted: true, documented: false }
}

/// Every route that is served.
pub const ROUTES: &[Route] = &[
    probe("/"),
    probe("/healthz"),
    probe("/readyz"),
    operator("/metrics"),
    page("/openapi.json"),
    page("/docs"),
    page("/docs/"),
    page("/docs/{name}"),
    page("/redoc"),
    page("/redoc/"),
    page("/redoc/redoc.standalone.js"),
    open(Method::POST, "/users"),
    admin(Method::GET, "/users"),
    user(Method::GET, "/users/me"),
    person(Method::PATCH, "/users/me"),
    person(Method::DELETE, "/users/me"),
    user(Method::GET, "/users/me/usage"),
    person(Method::GET, "/users/me/export"),
    admin(Method::PATCH, "/users/{id}"),
    admin(Method::DELETE, "/users/{id}"),
    admin_in_person(Method::POST, "/users/{id}/password-reset"),
    open(Method::POST, "/token"),
    open(Method::POST, "/auth/register"),
    open(Method::POST, "/auth/login"),
    open(Method::POST, "/auth/refresh"),
    open(Method::POST, "/auth/logout"),
    person(Method::GET, "/auth/sessions"),
    person(Method::DELETE, "/auth/sessions/{id}"),
    open(Method::POST, "/auth/password-reset"),
    person(Method::POST, "/auth/api-keys"),
    person(Method::GET, "/auth/api-keys"),
    person(Method::DELETE, "/auth/api-keys/{id}"),
    admin(Method::POST, "/admin/invitations"),
    admin(Method::GET, "/admin/invitations"),
    admin(Method::PUT, "/admin/limits/roles/{id}"),
    admin(Method::PUT, "/admin/limits/users/{id}"),
    admin(Method::PUT, "/admin/limits/api-keys/{id}"),
    admin(Method::GET, "/admin/audit"),
    user(Method::GET, "/models"),
    text(Method::PUT, "/models"),
    admin(Method::POST, "/models/pull"),
    admin(Method::POST, "/models/{name}"),
    admin(Method::PUT, "/models/{name}"),
    admin(Method::DELETE, "/models/{name}"),
    text(Method::POST, "/text_generations"),
    text(Method::GET, "/text_generations"),
    text(Method::GET, "/text_generations/all"),
    text(Method::GET, "/text_generations/{id}"),
    text(Method::PUT, "/text_generations/{id}"),
    text(Method::PATCH, "/text_generations/{id}"),
    text(Method::DELETE, "/text_generations/{id}"),
    text(Method::POST, "/text_generations/{id}/replay"),
    guest_or(Scope::Images, Method::POST, "/image/generate"),
    media(Scope::Images, Method::GET, "/image"),
    guest_or(Scope::Images, Method::GET, "/image/{id}"),
    guest_or(Scope::Images, Method::GET, "/image/{id}/download"),
    guest_or(Scope::Images, Method::DELETE, "/image/{id}"),
    guest_or(Scope::Speech, Method::POST, "/tts/generate"),
    open(Method::GET, "/tts/voices"),
    media(Scope::Speech, Method::GET, "/tts"),
    guest_or(Scope::Speech, Method::GET, "/tts/{id}"),
    guest_or(Scope::Speech, Method::GET, "/tts/{id}/download"),
    guest_or(Scope::Speech, Method::DELETE, "/tts/{id}"),
    admin(Method::GET, "/admin/images"),
    admin(Method::GET, "/admin/audios"),
    link("/objects/{name}"),
    chat(Method::POST, "/chat/stream"),
    chat(Method::GET, "/chat/streams/{id}"),
    chat(Method::DELETE, "/chat/streams/{id}"),
    chat(Method::GET, "/chat/history"),
    chat(Method::DELETE, "/chat/history"),
    chat(Method::GET, "/conversations/export"),
    chat(Method::POST, "/conversations/import"),
    chat(Method::GET, "/conversations"),
    chat(Method::POST, "/conversations"),
    chat(Method::GET, "/conversations/{id}"),
    chat(Method::PATCH, "/conversations/{id}"),
    chat(Method::DELETE, "/conversations/{id}"),
    chat(Method::GET, "/conversations/{id}/export"),
    chat(Method::GET, "/conversations/{id}/messages"),
    chat(Method::POST, "/conversations/{id}/messages"),
    chat(Method::PATCH, "/conversations/{id}/messages/{message_id}"),
    chat(Method::POST, "/conversations/{id}/messages/{message_id}/regenerate"),
    // Aliases: the same use cases in the shapes of existing clients.
    open(Method::POST, "/register"),
    open(Method::POST, "/login"),
    text(Method::POST, "/generate"),
    text(Method::GET, "/history"),
    open(Method::POST, "/api/auth/register"),
    open(Method::POST, "/api/auth/login"),
    text(Method::POST, "/api/llm/generate"),
    text(Method::GET, "/api/llm/history"),
    text(Method::POST, "/generate-text"),
    text(Method::GET, "/generated-text/{id}"),
    text(Method::PUT, "/generated-text/{id}"),
    text(Method::DELETE, "/generated-text/{id}"),
    // OpenAI's API.
    user(Method::GET, "/v1/models"),
    user(Method::GET, "/v1/models/{name}"),
    text(Method::POST, "/v1/completions"),
    chat(Method::POST, "/v1/chat/completions"),
    text(Method::POST, "/v1/embeddings"),
    media(Scope::Images, Method::POST, "/v1/images/generations"),
    media(Scope::Speech, Method::POST, "/v1/audio/speech"),
];

impl Route {
    /// Whether a request's path is one of this route's.
    pub fn matches(&self, path: &str) -> bool {
        let mut given = path.split('/');
        for expected in self.path.split('/') {
            match (expected, given.next()) {
                ("{name}", Some(segment)) => return !segment.is_empty(),
                ("{id}" | "{message_id}", Some(segment)) if !segment.is_empty() => {}
                (literal, Some(segment)) if literal == segment => {}
                _ => return false,
            }
        }
        given.next().is_none()
    }
}

/// What the table knows of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Its route.
    Route(&'static Route),
    /// The path is known, for other methods: these.
    OtherMethods(Vec<&'static Method>),
    /// The path is nobody's.
    Nothing,
}

/// Finds a request's route. A `HEAD` is served as the `GET` it stands for (RFC 9110, section 9.3.2). The path must be the one that the
/// router reads, with its percent-encodings decoded: otherwise `/users/%6de` would be one route here and another there.
///
/// A literal path (`/users/me`) hides the patterns it also fits (`/users/{id}`).
pub fn find(method: &Method, path: &str) -> Found {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let (literal, patterns): (Vec<_>, Vec<_>) =
        ROUTES.iter().filter(|route| route.matches(path)).partition(|route| !route.path.contains('{'));
    let routes = if literal.is_empty() { patterns } else { literal };
    match routes.iter().find(|route| route.method == method) {
        Some(route) => Found::Route(route),
        None if routes.is_empty() => Found::Nothing,
        None => Found::OtherMethods(routes.into_iter().map(|route| &route.method).collect()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_route_stands_twice() {
        let distinct: HashSet<(&Method, &str)> = ROUTES.iter().map(|route| (&route.method, route.path)).collect();
        assert_eq!(distinct.len(), ROUTES.len());
    }

    /// The path that the table has for this request, or the methods it knows instead.
    fn found(method: &str, path: &str) -> String {
        match find(&Method::from_bytes(method.as_bytes()).unwrap(), path) {
            Found::Route(route) => route.path.to_owned(),
            Found::OtherMethods(methods) => methods.into_iter().map(Method::as_str).collect::<Vec<_>>().join(" "),
            Found::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn a_request_finds_its_route_and_a_literal_path_hides_a_pattern() {
        assert_eq!(found("GET", "/users/me"), "/users/me");
        assert_eq!(found("HEAD", "/users/me"), "/users/me");
        assert_eq!(found("DELETE", "/users/me"), "/users/me");
        assert_eq!(found("DELETE", "/users/7"), "/users/{id}");
        assert_eq!(found("PUT", "/models/org/name"), "/models/{name}");
    }

    #[test]
    fn what_is_no_route_is_told_apart_by_its_path() {
        assert_eq!(found("GET", "/token"), "POST");
        assert_eq!(found("POST", "/users/me"), "GET PATCH DELETE");
        assert_eq!(found("PUT", "/text_generations/all"), "GET");
        for path in ["/models/", "/users/7/8", "/nowhere", "token", ""] {
            assert_eq!(found("GET", path), "nothing", "{path}");
        }
    }

    #[test]
    fn a_key_never_opens_what_its_user_may_not_call() {
        for route in ROUTES {
            match route.access {
                Access::Anyone => assert_eq!(route.keys, KeyUse::Any, "{}", route.path),
                Access::UserOrGuest | Access::SignedIn => assert_ne!(route.keys, KeyUse::With(Scope::Admin), "{}", route.path),
                Access::Admin | Access::Operator => {
                    assert!(matches!(route.keys, KeyUse::With(Scope::Admin) | KeyUse::Never), "{}", route.path);
                }
            }
        }
    }
}
