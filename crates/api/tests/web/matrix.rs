//! Every route for every kind of caller: who gets in, and what the others are told.
//!
//! The expectations are written out here and not derived from the route table, so that a slip there is not repeated here.

use std::collections::BTreeSet;

use actix_web::test::TestRequest;
use api::table::ROUTES;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use ports::{AccessTokens, Clock};
use serde_json::{Value, json};

use crate::support::{PASSWORD, SECRET_KEY, SignedIn, World, access_tokens, to, with_token};

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Without a token.
    Anonymous,
    /// A user whose records they are not.
    Other,
    /// A user whose records they are.
    Owner,
    /// An admin.
    Admin,
    /// The owner's key, or at an admin's route the admin's, without the scope that it would need.
    WeakKey,
    /// The same with the scope.
    Key,
    /// A user who was disabled after they signed in.
    Disabled,
    /// The owner's token, a second after its end.
    Expired,
    /// The owner's claims, signed with another key.
    WrongSignature,
    /// The owner's claims, signed with nothing.
    AlgNone,
}

const EVERYONE: [Who; 10] = [
    Who::Anonymous,
    Who::Other,
    Who::Owner,
    Who::Admin,
    Who::WeakKey,
    Who::Key,
    Who::Disabled,
    Who::Expired,
    Who::WrongSignature,
    Who::AlgNone,
];

/// A route and the status for each kind of caller.
struct Row {
    method: &'static str,
    path: &'static str,
    anonymous: u16,
    /// With a token that proves nothing.
    worthless: u16,
    other: u16,
    owner: u16,
    admin: u16,
    weak_key: u16,
    key: u16,
}

/// The same for all, because nobody is asked who they are.
const fn open(method: &'static str, path: &'static str, status: u16) -> Row {
    let (anonymous, worthless, other, owner, admin) = (status, status, status, status, status);
    Row { method, path, anonymous, worthless, other, owner, admin, weak_key: status, key: status }
}

/// `[other, owner, admin]`, then a key without the scope and one with it.
const fn closed(method: &'static str, path: &'static str, people: [u16; 3], weak_key: u16, key: u16) -> Row {
    let [other, owner, admin] = people;
    Row { method, path, anonymous: 401, worthless: 401, other, owner, admin, weak_key, key }
}

/// For users and their keys with the scope, and for guests too: `[guest, other, owner, admin]`, where a bad token makes no guest.
const fn shared(method: &'static str, path: &'static str, callers: [u16; 4]) -> Row {
    let [anonymous, other, owner, admin] = callers;
    Row { method, path, anonymous, worthless: 401, other, owner, admin, weak_key: 403, key: owner }
}

const EXPECTED: &[Row] = &[
    open("GET", "/", 200),
    open("GET", "/healthz", 200),
    open("GET", "/readyz", 200),
    closed("GET", "/metrics", [403, 403, 200], 403, 200),
    open("GET", "/openapi.json", 200),
    open("GET", "/docs", 200),
    open("GET", "/docs/", 200),
    open("GET", "/docs/{name}", 200),
    open("GET", "/redoc", 200),
    open("GET", "/redoc/", 200),
    open("GET", "/redoc/redoc.standalone.js", 200),
    open("POST", "/users", 201),
    closed("GET", "/users", [403, 403, 200], 403, 200),
    closed("GET", "/users/me", [200, 200, 200], 200, 200),
    closed("PATCH", "/users/me", [200, 200, 200], 403, 403),
    closed("DELETE", "/users/me", [200, 200, 400], 403, 403),
    closed("GET", "/users/me/usage", [200, 200, 200], 200, 200),
    closed("GET", "/users/me/export", [200, 200, 200], 403, 403),
    closed("PATCH", "/users/{id}", [403, 403, 200], 403, 200),
    closed("DELETE", "/users/{id}", [403, 403, 204], 403, 204),
    closed("POST", "/users/{id}/password-reset", [403, 403, 201], 403, 403),
    open("POST", "/token", 200),
    open("POST", "/auth/register", 201),
    open("POST", "/auth/login", 200),
    open("POST", "/auth/refresh", 200),
    open("POST", "/auth/logout", 204),
    closed("GET", "/auth/sessions", [200, 200, 200], 403, 403),
    closed("DELETE", "/auth/sessions/{id}", [404, 204, 404], 403, 403),
    open("POST", "/auth/password-reset", 204),
    closed("POST", "/auth/api-keys", [201, 201, 201], 403, 403),
    closed("GET", "/auth/api-keys", [200, 200, 200], 403, 403),
    closed("DELETE", "/auth/api-keys/{id}", [404, 204, 404], 403, 403),
    closed("POST", "/admin/invitations", [403, 403, 201], 403, 201),
    closed("GET", "/admin/invitations", [403, 403, 200], 403, 200),
    closed("PUT", "/admin/limits/roles/{id}", [403, 403, 200], 403, 200),
    closed("PUT", "/admin/limits/users/{id}", [403, 403, 200], 403, 200),
    closed("PUT", "/admin/limits/api-keys/{id}", [403, 403, 200], 403, 200),
    closed("GET", "/admin/audit", [403, 403, 200], 403, 200),
    closed("GET", "/models", [200, 200, 200], 200, 200),
    closed("PUT", "/models", [200, 200, 200], 403, 200),
    closed("POST", "/models/pull", [403, 403, 200], 403, 200),
    closed("POST", "/models/{name}", [403, 403, 201], 403, 201),
    closed("PUT", "/models/{name}", [403, 403, 200], 403, 200),
    closed("DELETE", "/models/{name}", [403, 403, 204], 403, 204),
    closed("POST", "/text_generations", [201, 201, 201], 403, 201),
    closed("GET", "/text_generations", [200, 200, 200], 403, 200),
    closed("GET", "/text_generations/all", [200, 200, 200], 403, 200),
    closed("GET", "/text_generations/{id}", [404, 200, 200], 403, 200),
    closed("PUT", "/text_generations/{id}", [404, 200, 200], 403, 200),
    closed("PATCH", "/text_generations/{id}", [404, 200, 200], 403, 200),
    closed("DELETE", "/text_generations/{id}", [404, 204, 204], 403, 204),
    closed("POST", "/text_generations/{id}/replay", [404, 200, 200], 403, 200),
    shared("POST", "/image/generate", [201, 201, 201, 201]),
    closed("GET", "/image", [200, 200, 200], 403, 200),
    shared("GET", "/image/{id}", [404, 404, 200, 200]),
    shared("GET", "/image/{id}/download", [404, 404, 200, 200]),
    shared("DELETE", "/image/{id}", [404, 404, 204, 204]),
    shared("POST", "/tts/generate", [201, 201, 201, 201]),
    open("GET", "/tts/voices", 200),
    closed("GET", "/tts", [200, 200, 200], 403, 200),
    shared("GET", "/tts/{id}", [404, 404, 200, 200]),
    shared("GET", "/tts/{id}/download", [404, 404, 200, 200]),
    shared("DELETE", "/tts/{id}", [404, 404, 204, 204]),
    closed("GET", "/admin/images", [403, 403, 200], 403, 200),
    closed("GET", "/admin/audios", [403, 403, 200], 403, 200),
    open("GET", "/objects/{name}", 200),
    closed("POST", "/chat/stream", [200, 200, 200], 403, 200),
    closed("GET", "/chat/streams/{id}", [404, 200, 404], 403, 200),
    closed("DELETE", "/chat/streams/{id}", [404, 204, 404], 403, 204),
    closed("GET", "/chat/history", [200, 200, 200], 403, 200),
    closed("DELETE", "/chat/history", [204, 204, 204], 403, 204),
    closed("GET", "/conversations/export", [200, 200, 200], 403, 200),
    closed("POST", "/conversations/import", [201, 201, 201], 403, 201),
    closed("GET", "/conversations", [200, 200, 200], 403, 200),
    closed("POST", "/conversations", [201, 201, 201], 403, 201),
    closed("GET", "/conversations/{id}", [404, 200, 200], 403, 200),
    closed("PATCH", "/conversations/{id}", [404, 200, 404], 403, 200),
    closed("DELETE", "/conversations/{id}", [404, 204, 204], 403, 204),
    closed("GET", "/conversations/{id}/export", [404, 200, 200], 403, 200),
    closed("GET", "/conversations/{id}/messages", [404, 200, 200], 403, 200),
    closed("POST", "/conversations/{id}/messages", [404, 201, 404], 403, 201),
    closed("PATCH", "/conversations/{id}/messages/{message_id}", [404, 200, 404], 403, 200),
    closed("POST", "/conversations/{id}/messages/{message_id}/regenerate", [404, 201, 404], 403, 201),
    open("POST", "/register", 201),
    open("POST", "/login", 200),
    closed("POST", "/generate", [200, 200, 200], 403, 200),
    closed("GET", "/history", [200, 200, 200], 403, 200),
    open("POST", "/api/auth/register", 201),
    open("POST", "/api/auth/login", 200),
    closed("POST", "/api/llm/generate", [200, 200, 200], 403, 200),
    closed("GET", "/api/llm/history", [200, 200, 200], 403, 200),
    closed("POST", "/generate-text", [201, 201, 201], 403, 201),
    closed("GET", "/generated-text/{id}", [404, 200, 200], 403, 200),
    closed("PUT", "/generated-text/{id}", [404, 200, 200], 403, 200),
    closed("DELETE", "/generated-text/{id}", [404, 204, 204], 403, 204),
    closed("GET", "/v1/models", [200, 200, 200], 200, 200),
    closed("GET", "/v1/models/{name}", [200, 200, 200], 200, 200),
    closed("POST", "/v1/completions", [200, 200, 200], 403, 200),
    closed("POST", "/v1/chat/completions", [200, 200, 200], 403, 200),
    closed("POST", "/v1/embeddings", [200, 200, 200], 403, 200),
    closed("POST", "/v1/images/generations", [200, 200, 200], 403, 200),
    closed("POST", "/v1/audio/speech", [200, 200, 200], 403, 200),
];

impl Row {
    fn status_for(&self, who: Who) -> u16 {
        match who {
            Who::Other => self.other,
            Who::Owner => self.owner,
            Who::Admin => self.admin,
            Who::WeakKey => self.weak_key,
            Who::Key => self.key,
            // What proves nothing is as good as nothing.
            Who::Disabled | Who::Expired | Who::WrongSignature | Who::AlgNone => self.worthless,
            Who::Anonymous => self.anonymous,
        }
    }

    /// Whether ordinary users are refused, so that the keys to try are the admin's.
    fn is_an_admins(&self) -> bool {
        (self.owner, self.admin < 300) == (403, true)
    }
}

/// A server with one of everything, and everyone's tokens.
struct Stage {
    world: World,
    admin: SignedIn,
    owner: SignedIn,
    other: SignedIn,
    disabled: SignedIn,
    expired_token: String,
    owners_keys: [String; 2],
    admins_keys: [String; 2],
    text_id: String,
    stream_id: String,
    conversation_id: String,
    message_id: String,
    image_id: String,
    speech_id: String,
    /// A signed link to the picture, as a path.
    link: String,
    session_id: String,
    key_id: String,
    reset_code: String,
}

impl Stage {
    async fn set() -> Self {
        let world = World::new().await;
        let (admin, owner) = (world.sign_in("admin").await, world.sign_in("owner").await);
        let (other, disabled) = (world.sign_in("other").await, world.sign_in("disabled").await);
        let expired_token = owner.access_token.clone();
        world.clock.advance(TimeDelta::seconds(901));
        let [admin, owner, other, disabled] = [
            again(&world, "admin", admin).await,
            again(&world, "owner", owner).await,
            again(&world, "other", other).await,
            again(&world, "disabled", disabled).await,
        ];
        let path = format!("/users/{}", disabled.id);
        let change = world.call_json("PATCH", &path, admin.token(), json!({"disabled": true})).await;
        assert_eq!(change.status, 200, "{}", change.body);
        let owners_keys = [world.key_of(&owner, &["speech"]).await, world.key_of(&owner, &["text", "chat", "images"]).await];
        let all_but_admin = ["text", "chat", "images", "speech"];
        let admins_keys = [world.key_of(&admin, &all_but_admin).await, world.key_of(&admin, &["admin"]).await];
        let id_of = |answer: Value| answer["id"].as_str().unwrap().to_owned();
        let text = world.call_json("POST", "/text_generations", owner.token(), json!({"prompt": "Once"})).await;
        let image = world.call_json("POST", "/image/generate", owner.token(), json!({"prompt": "Once"})).await.json();
        let speech = world.call_json("POST", "/tts/generate", owner.token(), json!({"prompt": "Once"})).await.json();
        let link = image["download_url"].as_str().unwrap().to_owned();
        let (image_id, speech_id) = (id_of(image), id_of(speech));
        let chat = world.call_json("POST", "/chat/stream", owner.token(), json!({"message": "Once"})).await;
        let named = |name: &str| chat.header(name).to_owned();
        let (stream_id, conversation_id) = (named("x-stream-id"), named("x-conversation-id"));
        let message_id = named("x-user-message-id");
        let key = world.call_json("POST", "/auth/api-keys", owner.token(), json!({"name": "to be removed"})).await;
        let sessions = world.call("GET", "/auth/sessions", owner.token()).await.json();
        let first = sessions["items"].as_array().unwrap().iter().find(|session| session["current"] == false).unwrap();
        let session_id = id_of(first.clone());
        let model = world.call_json("POST", "/models/tales", admin.token(), json!({"llm": "bundled:fairy-tales"})).await;
        assert_eq!(model.status, 201, "{}", model.body);
        let reset = world.call("POST", &format!("/users/{}/password-reset", other.id), admin.token()).await;
        let reset_code = reset.json()["code"].as_str().unwrap().to_owned();
        let (text_id, key_id) = (id_of(text.json()), id_of(key.json()));
        let (admin, owner) = (admin, owner);
        Self {
            world,
            admin,
            owner,
            other,
            disabled,
            expired_token,
            owners_keys,
            admins_keys,
            text_id,
            stream_id,
            conversation_id,
            message_id,
            image_id,
            speech_id,
            link,
            session_id,
            key_id,
            reset_code,
        }
    }

    fn bearer(&self, row: &Row, who: Who) -> Option<String> {
        let [weak_key, key] = if row.is_an_admins() { &self.admins_keys } else { &self.owners_keys };
        // One of the owner's keys is for speech, the other for all else.
        let is_for_speech = row.path.starts_with("/tts") || row.path.starts_with("/v1/audio");
        let (weak_key, key) = if is_for_speech { (key, weak_key) } else { (weak_key, key) };
        Some(match who {
            Who::Anonymous => return None,
            Who::Other => self.other.access_token.clone(),
            Who::Owner => self.owner.access_token.clone(),
            Who::Admin => self.admin.access_token.clone(),
            Who::WeakKey => weak_key.clone(),
            Who::Key => key.clone(),
            Who::Disabled => self.disabled.access_token.clone(),
            Who::Expired => self.expired_token.clone(),
            Who::WrongSignature => {
                let claims = access_tokens(SECRET_KEY).verify(&self.owner.access_token, self.world.clock.now()).unwrap();
                access_tokens("another key, of somebody else").issue(&claims).unwrap()
            }
            Who::AlgNone => {
                let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
                format!("{header}.{}.", self.owner.access_token.split('.').nth(1).unwrap())
            }
        })
    }

    fn path(&self, row: &Row) -> String {
        if row.path == "/objects/{name}" {
            return self.link.clone();
        }
        let id = match row.path {
            path if path.starts_with("/text_generations") || path.starts_with("/generated-text") => &self.text_id,
            path if path.starts_with("/image") => &self.image_id,
            path if path.starts_with("/tts") => &self.speech_id,
            path if path.starts_with("/chat/streams") => &self.stream_id,
            path if path.starts_with("/conversations") => &self.conversation_id,
            "/auth/sessions/{id}" => &self.session_id,
            "/auth/api-keys/{id}" | "/admin/limits/api-keys/{id}" => &self.key_id,
            "/admin/limits/roles/{id}" => "user",
            _ => &self.other.id,
        };
        let name = match (row.method, row.path) {
            (_, "/docs/{name}") => "index.html",
            ("POST", "/models/{name}") => "another/model",
            _ => "tales",
        };
        row.path.replace("{id}", id).replace("{name}", name).replace("{message_id}", &self.message_id)
    }

    fn request(&self, row: &Row) -> TestRequest {
        let request = to(row.method, &self.path(row));
        match self.body(row) {
            Value::Null => request,
            _ if row.path == "/token" => request.set_form([("username", "owner"), ("password", PASSWORD)]),
            body => request.set_json(body),
        }
    }

    fn body(&self, row: &Row) -> Value {
        match (row.method, row.path) {
            ("GET" | "DELETE", _)
            | ("POST", "/users/{id}/password-reset" | "/admin/invitations" | "/text_generations/{id}/replay") => Value::Null,
            (_, "/users" | "/register" | "/api/auth/register") => json!({"username": "new", "password": PASSWORD}),
            (_, "/auth/register") => json!({"email": "new@example.org", "password": PASSWORD}),
            (_, "/users/me") => json!({"email": "new@example.org", "current_password": PASSWORD}),
            (_, "/token" | "/auth/login" | "/login" | "/api/auth/login") => json!({"username": "owner", "password": PASSWORD}),
            (_, "/auth/refresh" | "/auth/logout") => json!({"refresh_token": self.owner.refresh_token}),
            (_, "/auth/password-reset") => json!({"code": self.reset_code, "new_password": "another password"}),
            (_, "/auth/api-keys") => json!({"name": "another"}),
            (_, "/models") => json!({"max_length": 10, "temperature": 1, "top_p": 1}),
            (_, "/models/pull") => json!({"llm": "gpt2"}),
            (_, "/models/{name}") => json!({"llm": "bundled:fairy-tales"}),
            (_, "/v1/audio/speech" | "/v1/embeddings") => json!({"input": "Once"}),
            (_, "/v1/chat/completions") => json!({"messages": [{"role": "user", "content": "Once"}]}),
            (_, "/chat/stream") => json!({"message": "Once"}),
            (_, "/conversations/import") => json!({"conversations": []}),
            (_, "/conversations/{id}/messages" | "/conversations/{id}/messages/{message_id}") => json!({"content": "Once"}),
            (_, path) if path.starts_with("/conversations") => json!({}),
            ("POST", _) => json!({"prompt": "Once"}),
            _ => json!({}),
        }
    }
}

async fn again(world: &World, username: &str, user: SignedIn) -> SignedIn {
    let tokens = world.post_form("/token", &[("username", username), ("password", PASSWORD)]).await.json();
    let token = |name: &str| tokens[name].as_str().unwrap().to_owned();
    SignedIn { id: user.id, access_token: token("access_token"), refresh_token: token("refresh_token") }
}

#[test]
fn every_route_of_the_table_is_tried() {
    let table: BTreeSet<(&str, &str)> = ROUTES.iter().map(|route| (route.method.as_str(), route.path)).collect();
    let tried: BTreeSet<(&str, &str)> = EXPECTED.iter().map(|row| (row.method, row.path)).collect();
    assert_eq!(table, tried);
}

#[actix_web::test]
async fn every_route_answers_every_kind_of_caller_as_it_must() {
    let mut stage = Stage::set().await;
    let mut wrong = Vec::new();
    for row in EXPECTED {
        for who in EVERYONE {
            let request = with_token(stage.request(row), stage.bearer(row, who).as_deref());
            let answer = stage.world.send(request).await;
            let expected = row.status_for(who);
            if answer.status != expected {
                let Row { method, path, .. } = row;
                wrong.push(format!("{method} {path} {who:?}: {} instead of {expected}: {}", answer.status, answer.body));
            }
            if row.method != "GET" && answer.status.is_success() {
                stage = Stage::set().await;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[actix_web::test]
async fn a_path_that_is_written_otherwise_is_the_same_route() {
    let stage = Stage::set().await;
    let world = &stage.world;
    for path in ["/users/%6De", "/%75sers/me"] {
        let answer = world.call("GET", path, stage.owner.token()).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["username"]), (200, &json!("owner")), "{path}");
        assert_eq!(world.call("GET", path, None).await.status, 401, "{path}");
    }
    for path in ["/admin/%61udit", "/%61dmin/audit", "/admin%2Faudit", "//admin/audit", "/admin/audit/", "/admin/./audit"] {
        let answer = world.call("GET", path, stage.owner.token()).await;
        assert!([403, 404].contains(&answer.status.as_u16()), "{path}: {}", answer.status);
    }
}
