//! OpenAI's official clients for Python and JavaScript, unchanged but for their base URL.
//!
//! `scripts/install-clients.sh` (which `make test` runs) puts them into `.cache/clients`. What must hold for a client is asserted in its own
//! language, in `clients/`; here is what only the server can tell.

use std::path::{Path, PathBuf};
use std::process::Command;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::picture_service::{a_jpeg, http, scripted};
use crate::support::{Caller, Server, eventually, run_to_the_end};

// Tokens are set aside for what runs only where a quota applies.
const SETTINGS: &[(&str, &str)] = &[("STREAM_HEARTBEAT_SECONDS", "1"), ("TOKENS_PER_DAY", "100000000")];

#[tokio::test]
async fn the_official_clients_work_and_get_what_everybody_gets() {
    let pictures = scripted(|_| http("image/jpeg", &a_jpeg(64, 64)));
    let server = Server::start(&[SETTINGS, &[("POLLINATIONS_BASE_URL", pictures.as_str())]].concat());
    let ana = server.newcomer("ana").await;
    let scopes = json!(["text", "chat", "images", "speech"]);
    let key = ana.post("/auth/api-keys", &json!({"name": "a program", "scopes": scopes})).await;
    assert_eq!(key.status, StatusCode::CREATED, "{key:?}");
    let key = key.body["key"].as_str().unwrap();

    let python = made_by(Command::new(installed("python/bin/python3")).arg(source("python/client.py")), &server, key);
    let modules = installed("javascript/node_modules");
    let mut node = Command::new("node");
    node.arg(source("javascript/client.js")).env("NODE_PATH", modules);
    let javascript = made_by(&mut node, &server, key);
    assert_eq!(python, javascript, "the same seed gives every client the same texts");

    let native = json!({"prompt": "Once upon a time", "temperature": 0.9, "seed": 7, "max_new_tokens": 24});
    let native = ana.post("/text_generations", &native).await.body;
    assert_eq!(native["generated_text"], format!("Once upon a time{}", python["text"].as_str().unwrap()));
    let all = ana.get("/text_generations/all").await.body;
    assert_eq!(all.as_array().unwrap().len(), 1, "what is made under /v1 is not stored");
    eventually("the streams that were left have ended", async || (reserved(&ana).await == 0).then_some(())).await;
    assert!(!server.log().contains("Tell me of a king"), "what is said is not logged");
}

/// The tokens that are set aside for what still runs.
async fn reserved(caller: &Caller) -> u64 {
    caller.get("/users/me/usage").await.body["tokens"]["reserved"].as_u64().unwrap()
}

/// Runs a client's program to its end, and answers what it printed.
fn made_by(program: &mut Command, server: &Server, key: &str) -> Value {
    let name = program.get_program().display().to_string();
    let mut command = Command::new(program.get_program());
    command.args(program.get_args()).env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("TERTULIA_URL", &server.url).env("TERTULIA_KEY", key);
    let ended = run_to_the_end(command);
    assert!(ended.status.success(), "{name}: {}{}\n{}", ended.stdout, ended.stderr, server.log());
    serde_json::from_str(&ended.stdout).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn source(path: &str) -> PathBuf {
    root().join("tests/end_to_end/clients").join(path)
}

fn installed(path: &str) -> PathBuf {
    let installed = root().join(".cache/clients").join(path);
    assert!(installed.exists(), "{} is not here: run scripts/install-clients.sh", installed.display());
    installed
}
