//! Measures whether a growing conversation stays quick: `make bench-chat`.
//!
//! It starts the release binary on a free loopback port with an empty data folder, and talks, several conversations. It prints, by turn,
//! how long the first piece of an answer took to arrive, how many tokens the model was given, and how many messages no longer fit.
//!
//! First ten turns, all of which fit. What an earlier turn computed is not computed again, so the time stays flat while the tokens grow;
//! where it does not, this ends with status 1 and says so: by their medians, turns 8 to 10 may take half as long again as turns 2 to 4, and
//! 1 ms, on average (with `SHARE_PREFIXES=false` they take twice as long). Then a conversation that outgrows the context. From there on every turn drops the oldest that no longer fits,
//! so what the model is given begins in another way each time, and is computed anew: that time is reported and not judged.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark stops where it cannot measure"
)]

mod released;

use std::ops::Range;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::released::Released;

/// Conversations of one kind.
#[derive(Clone, Copy)]
struct Talk {
    turns: usize,
    answer_tokens: u32,
}

/// All of it fits the 512 tokens of the bundled model.
const GROWING: Talk = Talk { turns: 10, answer_tokens: 12 };
/// Twice as many tokens as fit.
const OUTGROWN: Talk = Talk { turns: 24, answer_tokens: 30 };

/// Turns that are compared, as places in the list, and how many times as long as the early ones the late ones may take.
const EARLY: Range<usize> = 1..4;
const LATE: Range<usize> = 7..10;
const MOST_TIMES: f64 = 1.5;
const MOST_BEYOND_MS: f64 = 1.0;

const PASSWORD: &str = "correct horse";

/// What one turn took.
#[derive(Clone, Copy)]
struct Turn {
    first_piece: Duration,
    prompt_tokens: u32,
    messages_dropped: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    let conversations: usize = std::env::var("CONVERSATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(7);
    let server = Released::start(&[]);
    let url = server.url.as_str();
    let client = reqwest::Client::new();
    let account = json!({"username": "ana", "password": PASSWORD});
    client.post(format!("{url}/users")).json(&account).send().await.unwrap().error_for_status().unwrap();
    let tokens: Value = client.post(format!("{url}/auth/login")).json(&account).send().await.unwrap().json().await.unwrap();
    let token = tokens["access_token"].as_str().unwrap();
    // The first conversation warms everything up and is not counted.
    talk(&client, url, token, GROWING).await;
    let (mut growing, mut outgrown) = (Vec::new(), Vec::new());
    for _ in 0..conversations {
        growing.push(talk(&client, url, token, GROWING).await);
    }
    for _ in 0..conversations {
        outgrown.push(talk(&client, url, token, OUTGROWN).await);
    }
    drop(server);
    println!("A conversation that fits:\n");
    report(&growing);
    println!("\nOne that outgrows the context:\n");
    report(&outgrown);
    println!("\n{}", beyond_the_context(&outgrown));
    match growth(&growing) {
        None => ExitCode::SUCCESS,
        Some(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// The median of a turn's times.
fn median(runs: &[Vec<Turn>], number: usize) -> Duration {
    let mut times: Vec<Duration> = runs.iter().map(|turns| turns[number].first_piece).collect();
    times.sort_unstable();
    times[times.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The mean, in milliseconds, of some turns' medians.
fn mean_ms(runs: &[Vec<Turn>], turns: Range<usize>) -> f64 {
    let count = f64::from(u32::try_from(turns.len().max(1)).unwrap());
    turns.map(|number| ms(median(runs, number))).sum::<f64>() / count
}

/// What is to be said where late turns take longer than they may.
fn growth(runs: &[Vec<Turn>]) -> Option<String> {
    let (early, late) = (mean_ms(runs, EARLY), mean_ms(runs, LATE));
    let most = early * MOST_TIMES + MOST_BEYOND_MS;
    (late > most).then(|| {
        format!("turns 8 to 10 took {late:.1} ms, more than the {most:.1} ms that turns 2 to 4, with {early:.1} ms, allow")
    })
}

/// How the turns of which something is dropped compare with those before.
fn beyond_the_context(runs: &[Vec<Turn>]) -> String {
    let first_dropped = runs[0].iter().position(|turn| turn.messages_dropped > 0).unwrap_or(runs[0].len());
    let (fits, outgrown) = (mean_ms(runs, 1..first_dropped), mean_ms(runs, first_dropped..runs[0].len()));
    format!("As long as everything fits a later turn takes {fits:.1} ms, from turn {} on {outgrown:.1} ms.", first_dropped + 1)
}

/// The turns of a new conversation.
async fn talk(client: &reqwest::Client, url: &str, token: &str, kind: Talk) -> Vec<Turn> {
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
    for number in 0..kind.turns {
        let message = format!("And what did the dragon say on day {number}?");
        let body = json!({
            "message": message, "use_context": true, "conversation_id": id, "max_new_tokens": kind.answer_tokens, "seed": number,
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
    for number in 0..runs[0].len() {
        let slowest = runs.iter().map(|turns| turns[number].first_piece).max().unwrap();
        let Turn { prompt_tokens, messages_dropped, .. } = runs[0][number];
        println!(
            "| {} | {:.1} | {:.1} | {prompt_tokens} | {messages_dropped} |",
            number + 1,
            ms(median(runs, number)),
            ms(slowest),
        );
    }
}
