//! Every route and who may call it, in one place.
//!
//! The document's security is made from this table; the answer to a method that a path does not know is, too. Tests compare the table
//! with what is served and with what each route answers to strangers.

use actix_web::http::Method;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Anyone.
    Anyone,
    /// A signed-in user; records are their own.
    SignedIn,
    /// A signed-in admin.
    Admin,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path; `{id}` stands for one segment, `{name}` for one or more (a model's name may contain `/`).
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// Whether it is in the `OpenAPI` document. The pages that show the document are not.
    pub documented: bool,
}

const fn api(method: Method, path: &'static str, access: Access) -> Route {
    Route { method, path, access, documented: true }
}

const fn page(path: &'static str) -> Route {
    Route { method: Method::GET, path, access: Access::Anyone, documented: false }
}

/// Every route that is served.
pub const ROUTES: &[Route] = &[
    api(Method::GET, "/", Access::Anyone),
    api(Method::GET, "/healthz", Access::Anyone),
    api(Method::GET, "/readyz", Access::Anyone),
    page("/openapi.json"),
    page("/docs"),
    page("/docs/{name}"),
    page("/redoc"),
    page("/redoc/redoc.standalone.js"),
    api(Method::POST, "/users", Access::Anyone),
    api(Method::GET, "/users", Access::Admin),
    api(Method::GET, "/users/me", Access::SignedIn),
    api(Method::PATCH, "/users/me", Access::SignedIn),
    api(Method::DELETE, "/users/me", Access::SignedIn),
    api(Method::PATCH, "/users/{id}", Access::Admin),
    api(Method::DELETE, "/users/{id}", Access::Admin),
    api(Method::POST, "/token", Access::Anyone),
    api(Method::POST, "/auth/register", Access::Anyone),
    api(Method::POST, "/auth/login", Access::Anyone),
    api(Method::POST, "/auth/refresh", Access::Anyone),
    api(Method::POST, "/auth/logout", Access::Anyone),
    api(Method::GET, "/auth/sessions", Access::SignedIn),
    api(Method::DELETE, "/auth/sessions/{id}", Access::SignedIn),
    api(Method::GET, "/models", Access::SignedIn),
    api(Method::PUT, "/models", Access::SignedIn),
    api(Method::POST, "/models/{name}", Access::Admin),
    api(Method::PUT, "/models/{name}", Access::Admin),
    api(Method::DELETE, "/models/{name}", Access::Admin),
    api(Method::POST, "/text_generations", Access::SignedIn),
    api(Method::GET, "/text_generations", Access::SignedIn),
    api(Method::GET, "/text_generations/all", Access::SignedIn),
    api(Method::GET, "/text_generations/{id}", Access::SignedIn),
    api(Method::PUT, "/text_generations/{id}", Access::SignedIn),
    api(Method::PATCH, "/text_generations/{id}", Access::SignedIn),
    api(Method::DELETE, "/text_generations/{id}", Access::SignedIn),
];

impl Route {
    /// Whether a request's path is one of this route's.
    pub fn matches(&self, path: &str) -> bool {
        let mut given = path.split('/');
        for expected in self.path.split('/') {
            match (expected, given.next()) {
                ("{name}", Some(segment)) => return !segment.is_empty(),
                ("{id}", Some(segment)) if !segment.is_empty() => {}
                (literal, Some(segment)) if literal == segment => {}
                _ => return false,
            }
        }
        given.next().is_none()
    }
}

/// The methods that some route knows for this path, in the table's order; empty where the path is nobody's.
///
/// A literal path (`/users/me`) hides the patterns it also fits (`/users/{id}`), as it does in routing.
pub fn methods_of(path: &str) -> Vec<Method> {
    let of = |literal: bool| ROUTES.iter().filter(move |route| route.path.contains('{') != literal && route.matches(path));
    let mut routes = of(true).peekable();
    if routes.peek().is_some() {
        routes.map(|r| r.method.clone()).collect()
    } else {
        of(false).map(|r| r.method.clone()).collect()
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

    #[test]
    fn a_path_knows_its_methods() {
        let methods = |path| methods_of(path).iter().map(|m| m.as_str().to_owned()).collect::<Vec<_>>().join(" ");
        assert_eq!(methods("/token"), "POST");
        assert_eq!(methods("/users/me"), "GET PATCH DELETE");
        assert_eq!(methods("/users/7"), "PATCH DELETE");
        assert_eq!(methods("/models/org/name"), "POST PUT DELETE");
        assert_eq!(methods("/models/"), "");
        assert_eq!(methods("/users/7/8"), "");
        assert_eq!(methods("/nowhere"), "");
        assert_eq!(methods("token"), "");
    }
}
