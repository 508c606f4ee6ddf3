//! Measures whether a growing conversation stays quick: `make bench-chat`.
//!
//! It starts the release binary on a free loopback port with an empty data folder, and talks: ten turns a conversation, several
//! conversations. It prints, by turn, how long the first piece of an answer took to arrive, how many tokens the model was given, and how
//! many messages no longer fit. What an earlier turn computed is not computed again, so the time should stay flat while the tokens grow.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark stops where it cannot measure"
)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const TURNS: usize = 10;
const ANSWER_TOKENS: u32 = 12;
const PASSWORD: &str = "correct horse";

/// What one turn took.
#[derive(Clone, Copy)]
struct Turn {
    first_piece: Duration,
    prompt_tokens: u32,
    messages_dropped: u32,
}

#[tokio::main]
async fn main() {
    let conversations: usize = std::env::var("CONVERSATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(7);
    let (mut server, url, _folder) = start();
    let client = reqwest::Client::new();
    let account = json!({"username": "ana", "password": PASSWORD});
    client.post(format!("{url}/users")).json(&account).send().await.unwrap().error_for_status().unwrap();
    let tokens: Value = client.post(format!("{url}/auth/login")).json(&account).send().await.unwrap().json().await.unwrap();
    let token = tokens["access_token"].as_str().unwrap();
    // The first conversation warms everything up and is not counted.
    talk(&client, &url, token).await;
    let mut runs = Vec::new();
    for _ in 0..conversations {
        runs.push(talk(&client, &url, token).await);
    }
    server.kill().unwrap();
    server.wait().unwrap();
    report(&runs);
}

fn start() -> (Child, String, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let binary = std::env::var("TERTULIA").unwrap_or_else(|_| "target/release/tertulia".to_owned());
    let mut server = Command::new(binary)
        .arg("serve")
        .env("PORT", "0")
        .env("DATA_DIR", folder.path())
        .env("LOG_LEVEL", "warn")
        .env("REQUESTS_PER_MINUTE", "1000000")
        .stdout(Stdio::piped())
        .spawn()
        .expect("make release builds the server");
    let mut first = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let url = first.split_whitespace().last().unwrap().to_owned();
    (server, url, folder)
}

/// Ten turns of a new conversation.
async fn talk(client: &reqwest::Client, url: &str, token: &str) -> Vec<Turn> {
    let made: Value = client
        .post(format!("{url}/conversations"))
        .bearer_auth(token)
        .json(&json!({}))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let id = made["id"].as_str().unwrap();
    let mut turns = Vec::new();
    for number in 0..TURNS {
        let message = format!("And what did the dragon say on day {number}?");
        let body = json!({
            "message": message, "use_context": true, "conversation_id": id, "max_new_tokens": ANSWER_TOKENS, "seed": number,
        });
        turns.push(ask(client, url, token, &body).await);
    }
    turns
}

async fn ask(client: &reqwest::Client, url: &str, token: &str, body: &Value) -> Turn {
    let asked = Instant::now();
    let mut response = client.post(format!("{url}/chat/stream")).bearer_auth(token).json(body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let number = |name: &str| response.headers()[name].to_str().unwrap().parse().unwrap();
    let (prompt_tokens, messages_dropped) = (number("x-context-prompt-tokens"), number("x-context-messages-dropped"));
    let (mut first_piece, mut bytes) = (None, Vec::new());
    while let Some(chunk) = response.chunk().await.unwrap() {
        bytes.extend_from_slice(&chunk);
        if first_piece.is_none() && bytes.windows(5).any(|window| window == b"data:") {
            first_piece = Some(asked.elapsed());
        }
    }
    assert!(bytes.ends_with(b"data: [DONE]\n\n"));
    Turn { first_piece: first_piece.unwrap(), prompt_tokens, messages_dropped }
}

fn report(runs: &[Vec<Turn>]) {
    println!("| turn | first piece, ms (median) | slowest | tokens given | messages dropped |");
    println!("|---|---|---|---|---|");
    for number in 0..TURNS {
        let mut times: Vec<Duration> = runs.iter().map(|turns| turns[number].first_piece).collect();
        times.sort_unstable();
        let ms = |time: &Duration| time.as_secs_f64() * 1000.0;
        let Turn { prompt_tokens, messages_dropped, .. } = runs[0][number];
        println!(
            "| {} | {:.1} | {:.1} | {prompt_tokens} | {messages_dropped} |",
            number + 1,
            ms(&times[times.len() / 2]),
            ms(times.last().unwrap()),
        );
    }
}
