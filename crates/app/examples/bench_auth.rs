//! Measures what signing in costs everybody else: `make bench-auth`.
//!
//! It starts the release binary on a free loopback port with an empty data folder, and asks `GET /users/me` over a few kept connections:
//! first alone, then while 50 sign-ins a second arrive. It prints requests a second and the 50th and 99th percentile of each, as the
//! medians of five interleaved rounds. The goal of the project: the 99th percentile stays within 10 ms of the idle one.
//!
//! At cost 12 a core checks four or five passwords a second, so 50 a second are ten cores' work: a small machine answers what it can and
//! refuses the rest with 503, which the table tells. What waits when a round ends is waited for, lest the next one not be idle. All of it,
//! this program included, runs on one machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark stops where it cannot measure"
)]

mod released;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use self::released::Released;

const ROUNDS: usize = 5;
const ROUND_SECONDS: u32 = 5;
const CONNECTIONS: usize = 4;
const SIGN_INS_A_SECOND: u32 = 50;
const PASSWORD: &str = "correct horse";
/// Each of the four connections asks so often that the machine is busy but not full: latency means nothing on a full one.
const PAUSE: Duration = Duration::from_millis(4);

#[tokio::main]
async fn main() {
    let server = Released::start(&[]);
    let url = server.url.as_str();
    let client = reqwest::Client::new();
    // Many people, as in a school: one who signs in fifty times a second would be throttled instead.
    for number in 0..SIGN_INS_A_SECOND {
        let account = json!({"username": format!("user-{number}"), "password": PASSWORD});
        client.post(format!("{url}/users")).json(&account).send().await.unwrap().error_for_status().unwrap();
    }
    let tokens: Value = sign_in(&client, url, 0).await.unwrap().json().await.unwrap();
    let token = tokens["access_token"].as_str().unwrap().to_owned();
    let (mut idle, mut flooded) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        idle.push(measure(url, &token, false).await);
        flooded.push(measure(url, &token, true).await);
    }
    println!("| GET /users/me | requests/s | p50, ms | p99, ms | sign-ins a second: asked for | served | refused |");
    println!("|---|---|---|---|---|---|---|");
    report("idle", &idle);
    report("while 50 sign-ins a second arrive", &flooded);
    let full = full_speed(url, &token).await;
    println!("\nWithout pauses, {CONNECTIONS} connections: {full:.0} requests/s");
    drop(server);
}

struct Round {
    requests_per_second: f64,
    p50: Duration,
    p99: Duration,
    flood: Flood,
}

/// What came of the sign-ins of one round.
#[derive(Default)]
struct Flood {
    asked_for: usize,
    served: usize,
    refused: usize,
    seconds: f64,
}

async fn sign_in(client: &reqwest::Client, url: &str, number: u32) -> reqwest::Result<reqwest::Response> {
    let credentials = json!({"username": format!("user-{number}"), "password": PASSWORD});
    client.post(format!("{url}/auth/login")).json(&credentials).send().await
}

/// One round: a few connections ask, and, where it is to be flooded, sign-ins arrive beside them.
async fn measure(url: &str, token: &str, flooded: bool) -> Round {
    let began = Instant::now();
    let flood = flooded.then(|| tokio::spawn(flood(url.to_owned(), began)));
    let readers: Vec<_> = (0..CONNECTIONS).map(|_| tokio::spawn(ask(url.to_owned(), token.to_owned(), PAUSE, began))).collect();
    let mut latencies = Vec::new();
    for reader in readers {
        latencies.extend(reader.await.unwrap());
    }
    let seconds = began.elapsed().as_secs_f64();
    let flood = match flood {
        Some(flood) => flood.await.unwrap(),
        None => Flood::default(),
    };
    latencies.sort_unstable();
    let at = |share: usize| latencies.get(latencies.len() * share / 100).copied().unwrap_or_default();
    let requests_per_second = f64::from(u32::try_from(latencies.len()).unwrap()) / seconds;
    Round { requests_per_second, p50: at(50), p99: at(99), flood }
}

async fn ask(url: String, token: String, pause: Duration, began: Instant) -> Vec<Duration> {
    let client = reqwest::Client::new();
    let mut latencies = Vec::new();
    while began.elapsed() < Duration::from_secs(ROUND_SECONDS.into()) {
        let asked = Instant::now();
        let response = client.get(format!("{url}/users/me")).bearer_auth(&token).send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.bytes().await.unwrap();
        latencies.push(asked.elapsed());
        tokio::time::sleep(pause).await;
    }
    latencies
}

/// Sign-ins at a steady rate for one round, whether the server keeps up or answers 503; then waits until all are answered.
async fn flood(url: String, began: Instant) -> Flood {
    let client = reqwest::Client::new();
    let mut tick = tokio::time::interval(Duration::from_secs(1) / SIGN_INS_A_SECOND);
    let mut sign_ins = JoinSet::new();
    for number in (0..SIGN_INS_A_SECOND).cycle() {
        tick.tick().await;
        if began.elapsed() >= Duration::from_secs(ROUND_SECONDS.into()) {
            break;
        }
        let (client, url) = (client.clone(), url.clone());
        sign_ins.spawn(async move { sign_in(&client, &url, number).await.unwrap().status().as_u16() });
    }
    let asked_for = sign_ins.len();
    let answers = sign_ins.join_all().await;
    let count = |status: u16| answers.iter().filter(|answer| **answer == status).count();
    Flood { asked_for, served: count(200), refused: count(503), seconds: began.elapsed().as_secs_f64() }
}

async fn full_speed(url: &str, token: &str) -> f64 {
    let began = Instant::now();
    let readers: Vec<_> =
        (0..CONNECTIONS).map(|_| tokio::spawn(ask(url.to_owned(), token.to_owned(), Duration::ZERO, began))).collect();
    let mut requests = 0;
    for reader in readers {
        requests += reader.await.unwrap().len();
    }
    f64::from(u32::try_from(requests).unwrap()) / began.elapsed().as_secs_f64()
}

fn report(name: &str, rounds: &[Round]) {
    let median = |value: fn(&Round) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    println!(
        "| {name} | {:.0} | {:.2} | {:.2} | {:.0} | {:.1} | {:.0} |",
        median(|round| round.requests_per_second),
        median(|round| round.p50.as_secs_f64() * 1000.0),
        median(|round| round.p99.as_secs_f64() * 1000.0),
        median(|round| rate(round.flood.asked_for, ROUND_SECONDS.into())),
        median(|round| rate(round.flood.served, round.flood.seconds)),
        median(|round| rate(round.flood.refused, ROUND_SECONDS.into())),
    );
}

fn rate(count: usize, seconds: f64) -> f64 {
    if seconds > 0.0 { f64::from(u32::try_from(count).unwrap()) / seconds } else { 0.0 }
}
