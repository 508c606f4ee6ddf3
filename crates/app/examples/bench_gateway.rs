//! Measures what this server adds to a call that it passes on to a provider: `make bench-gateway`.
//!
//! A scripted provider in this process answers every `POST /v1/chat/completions` at once, with the same stream of chunks. The release
//! binary, started on a free loopback port with an empty data folder, has it as its model `openai:scripted`. The same request is then sent
//! straight to the provider and through the server (key, rate limit, quota, records of tokens and all), by 1 connection that asks without
//! a pause and by 64 that ask four times a second each, in interleaved rounds. It prints the 50th and 95th percentile of the time to the
//! last byte, as the medians of the rounds, and the difference: our own share. The goal of the project: at 64 connections the 95th
//! percentile grows by less than 2 ms; where it grows by more, the last line says so and the exit code is 1.
//!
//! All of it, provider and callers included, runs on one machine: what they take from each other counts against us. The 64 pause because
//! latency means nothing on a full machine; how many requests a second are passed on without pauses is told below the table.
//!
//! `BENCH_ROUNDS` (5) and `BENCH_SECONDS` (4, of each measurement of a round) make it shorter or longer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark stops where it cannot measure"
)]

mod released;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use self::released::Released;

const CONNECTIONS: u32 = 64;
/// Of each of the 64 connections.
const PAUSE: Duration = Duration::from_millis(250);
const CHUNKS: usize = 16;
/// What the 95th percentile may grow by at [`CONNECTIONS`].
const MAX_SHARE_MS: f64 = 2.0;
const PASSWORD: &str = "correct horse";

#[tokio::main]
async fn main() -> ExitCode {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let provider = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(serve(listener));
    let server = Released::start(&[
        ("LLM_ID", "openai:scripted"),
        ("OPENAI_BASE_URL", &provider),
        ("MAX_PROVIDER_GENERATIONS_PER_USER", "256"),
    ]);
    let url = server.url.as_str();
    let key = key(url).await;
    let direct = Target { url: format!("{provider}/chat/completions"), key: key.clone() };
    let through = Target { url: format!("{url}/v1/chat/completions"), key };
    let setting = |name: &str, default: u64| std::env::var(name).map_or(default, |value| value.parse().unwrap());
    let (rounds, length) = (setting("BENCH_ROUNDS", 5), Duration::from_secs(setting("BENCH_SECONDS", 4)));
    // Each has a connection of its own to each of the two, kept from the first call on, of which nothing is measured.
    let clients: Vec<_> = (0..CONNECTIONS).map(|_| reqwest::Client::builder().no_proxy().build().unwrap()).collect();
    for target in [&direct, &through] {
        measure(target, &clients, Some(PAUSE), PAUSE * 4).await;
    }
    let mut results: [Vec<Round>; 4] = Default::default();
    for _ in 0..rounds {
        results[0].push(measure(&direct, &clients[..1], None, length).await);
        results[1].push(measure(&through, &clients[..1], None, length).await);
        results[2].push(measure(&direct, &clients, Some(PAUSE), length).await);
        results[3].push(measure(&through, &clients, Some(PAUSE), length).await);
    }
    let full = measure(&through, &clients, None, length).await;
    drop(server);
    let share_ms = report(&results, &full);
    if share_ms <= MAX_SHARE_MS {
        return ExitCode::SUCCESS;
    }
    println!(
        "MISSED: at {CONNECTIONS} connections the 95th percentile grows by {share_ms:.2} ms; the goal is {MAX_SHARE_MS} ms at the most"
    );
    ExitCode::FAILURE
}

/// Where the request is sent.
#[derive(Clone)]
struct Target {
    url: String,
    key: String,
}

struct Round {
    requests_per_second: f64,
    p50: Duration,
    p95: Duration,
}

/// Registers somebody and makes them a key.
async fn key(url: &str) -> String {
    let client = reqwest::Client::new();
    let account = json!({"username": "bench", "password": PASSWORD});
    let answer = async |path: &str, body: &Value, token: &str| -> Value {
        let request = client.post(format!("{url}{path}")).json(body).bearer_auth(token);
        request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    };
    answer("/users", &account, "").await;
    let tokens = answer("/auth/login", &account, "").await;
    let request = json!({"name": "bench", "scopes": ["chat"]});
    let key = answer("/auth/api-keys", &request, tokens["access_token"].as_str().unwrap()).await;
    key["key"].as_str().unwrap().to_owned()
}

/// Asks by all of these connections for so long, each after a pause or without one.
async fn measure(target: &Target, clients: &[reqwest::Client], pause: Option<Duration>, length: Duration) -> Round {
    let began = Instant::now();
    let connections = u32::try_from(clients.len()).unwrap();
    let askers: Vec<_> = (0..connections)
        .zip(clients)
        .map(|(number, client)| {
            // Spread out, so that they do not all ask at once.
            let offset = pause.map(|pause| pause * number / connections);
            tokio::spawn(ask(client.clone(), target.clone(), offset.zip(pause), began + length))
        })
        .collect();
    let mut latencies = Vec::new();
    for asker in askers {
        latencies.extend(asker.await.unwrap());
    }
    let seconds = began.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |share: usize| latencies.get(latencies.len() * share / 100).copied().unwrap_or_default();
    let requests_per_second = f64::from(u32::try_from(latencies.len()).unwrap()) / seconds;
    Round { requests_per_second, p50: at(50), p95: at(95) }
}

/// One connection: the times to the last byte of its answers. `pace` is when it begins and how often it asks.
async fn ask(client: reqwest::Client, target: Target, pace: Option<(Duration, Duration)>, end: Instant) -> Vec<Duration> {
    let body = json!({
        // Its name is the server's for it; the provider reads none.
        "model": "default", "stream": true,
        "stream_options": {"include_usage": true}, "max_tokens": 64,
        "messages": [{"role": "user", "content": "Tell me of a king who had three daughters, and keep it short."}],
    });
    let mut latencies = Vec::new();
    let mut next = Instant::now() + pace.map_or(Duration::ZERO, |(offset, _)| offset);
    loop {
        tokio::time::sleep_until(next.into()).await;
        if Instant::now() >= end {
            return latencies;
        }
        let asked = Instant::now();
        let response = client.post(&target.url).bearer_auth(&target.key).json(&body).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let answer = response.text().await.unwrap();
        latencies.push(asked.elapsed());
        assert!(answer.ends_with("data: [DONE]\n\n"), "{answer}");
        // Who is late does not hurry to catch up.
        next = pace.map_or(next, |(_, pause)| (next + pause).max(Instant::now()));
    }
}

/// The provider: every request on every connection gets the same answer, as soon as it is read.
async fn serve(listener: TcpListener) {
    let answer: &'static [u8] = Box::leak(answer().into_bytes().into_boxed_slice());
    while let Ok((connection, _)) = listener.accept().await {
        tokio::spawn(converse(connection, answer));
    }
}

async fn converse(mut connection: TcpStream, answer: &'static [u8]) {
    connection.set_nodelay(true).unwrap();
    let mut unread: Vec<u8> = Vec::new();
    loop {
        let Some(length) = request_length(&unread).filter(|length| unread.len() >= *length) else {
            if connection.read_buf(&mut unread).await.is_ok_and(|read| read > 0) {
                continue;
            }
            return;
        };
        unread.drain(..length);
        if connection.write_all(answer).await.is_err() {
            return;
        }
    }
}

/// The bytes of the request that these begin with, head and body, once its head is whole.
fn request_length(bytes: &[u8]) -> Option<usize> {
    let head_length = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..head_length]).unwrap().to_ascii_lowercase();
    let body_length =
        head.lines().find_map(|line| line.strip_prefix("content-length:")).map_or(0, |length| length.trim().parse().unwrap());
    Some(head_length + body_length)
}

fn answer() -> String {
    let mut body = String::new();
    let mut chunk = |choices: Value, usage: Value| {
        let chunk = json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "scripted", "choices": choices, "usage": usage,
        });
        write!(body, "data: {chunk}\n\n").unwrap();
    };
    let choice = |delta: Value, reason: Value| json!([{"index": 0, "delta": delta, "finish_reason": reason}]);
    chunk(choice(json!({"role": "assistant", "content": ""}), Value::Null), Value::Null);
    for _ in 0..CHUNKS {
        chunk(choice(json!({"content": " king"}), Value::Null), Value::Null);
    }
    chunk(choice(json!({}), json!("stop")), Value::Null);
    chunk(json!([]), json!({"prompt_tokens": 16, "completion_tokens": CHUNKS, "total_tokens": 16 + CHUNKS}));
    body.push_str("data: [DONE]\n\n");
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Prints the table and answers our share of the 95th percentile at [`CONNECTIONS`], in milliseconds.
fn report(results: &[Vec<Round>; 4], full: &Round) -> f64 {
    let mut share_ms = 0.0;
    println!("| connections | requests/s | | p50, ms | p95, ms |");
    println!("|---|---|---|---|---|");
    for (connections, pair) in [("1, without pauses", &results[..2]), ("64, each 4 times a second", &results[2..])] {
        let [p50, p95] = [|round: &Round| round.p50, |round: &Round| round.p95].map(|value: fn(&Round) -> Duration| {
            [0, 1].map(|which: usize| median(&pair[which], |round| value(round).as_secs_f64() * 1000.0))
        });
        for (which, name) in ["straight to the provider", "through Tertulia"].into_iter().enumerate() {
            let requests = median(&pair[which], |round| round.requests_per_second);
            println!("| {connections} | {requests:.0} | {name} | {:.2} | {:.2} |", p50[which], p95[which]);
        }
        share_ms = p95[1] - p95[0];
        println!("| {connections} | | **our share** | **{:.2}** | **{share_ms:.2}** |", p50[1] - p50[0]);
    }
    println!("\nWithout pauses, {CONNECTIONS} connections: {:.0} requests/s are passed on", full.requests_per_second);
    share_ms
}

fn median(rounds: &[Round], value: impl Fn(&Round) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
