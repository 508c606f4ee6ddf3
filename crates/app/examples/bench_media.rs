//! Measures speech: `make bench-media`.
//!
//! It starts the release binary on a free loopback port with an empty data folder, and has the same text spoken by espeak-ng over a few
//! kept connections, as MP3, Opus, WAV and FLAC: seconds of speech made in a second of the clock, and how long a request takes. Then it asks
//! `BENCH_MEDIA_REQUESTS` (1,000) times and reads the server's own memory (`VmRSS`) along the way, which must stay flat: where it grows
//! after the first tenth by more than 10 % and 20 MB, this says so and ends with status 1. Everything, the synthesis and the fsyncs
//! included, runs on one machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark stops where it cannot measure"
)]

mod released;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::released::Released;

const CONNECTIONS: usize = 4;
const REQUESTS_A_FORMAT: usize = 40;
const TEXT: &str = "Once upon a time there was a king who had three daughters, and the youngest was so beautiful that the sun itself, \
    which has seen so much, wondered whenever it shone in her face.";
/// How often the memory is read.
const SAMPLES: usize = 10;

#[tokio::main]
async fn main() -> ExitCode {
    let requests: usize = std::env::var("BENCH_MEDIA_REQUESTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1000);
    let server = Server::start();
    let seconds = server.seconds_of_speech().await;
    println!("One text of {} characters, {seconds:.1} s of speech; {CONNECTIONS} connections\n", TEXT.len());
    println!("| format | seconds of speech a second | p50, ms | p99, ms | kB a text |");
    println!("|---|---|---|---|---|");
    for format in ["mp3", "opus", "wav", "flac"] {
        let round = server.round(format, REQUESTS_A_FORMAT.min(requests)).await;
        let made = seconds * f64::from(u32::try_from(round.latencies.len()).unwrap()) / round.elapsed.as_secs_f64();
        println!(
            "| {format} | {made:.0} | {:.0} | {:.0} | {:.0} |",
            round.percentile(50),
            round.percentile(99),
            round.size_bytes / 1000.0
        );
    }
    println!("\n| requests | VmRSS, MB |\n|---|---|");
    println!("| 0 | {:.1} |", server.memory_megabytes());
    let mut memory = Vec::new();
    for sample in 1..=SAMPLES {
        server.round("mp3", requests.div_ceil(SAMPLES)).await;
        memory.push(server.memory_megabytes());
        println!("| {} | {:.1} |", sample * requests.div_ceil(SAMPLES), memory[sample - 1]);
    }
    let (warm, last) = (memory[0], memory[SAMPLES - 1]);
    if !is_flat(warm, last) {
        println!("\nFAILED: memory grew from {warm:.1} MB to {last:.1} MB");
        return ExitCode::FAILURE;
    }
    println!("\nMemory stayed flat: {warm:.1} MB after the first tenth, {last:.1} MB at the end");
    ExitCode::SUCCESS
}

/// Whether memory stayed as it was once the server was warm. What cannot be read did not.
fn is_flat(warm: f64, last: f64) -> bool {
    last <= warm * 1.1 || last <= warm + 20.0
}

struct Round {
    elapsed: Duration,
    latencies: Vec<Duration>,
    size_bytes: f64,
}

impl Round {
    fn percentile(&self, percent: usize) -> f64 {
        let place = (self.latencies.len() * percent / 100).min(self.latencies.len() - 1);
        self.latencies[place].as_secs_f64() * 1000.0
    }
}

struct Server {
    released: Released,
    client: reqwest::Client,
}

impl Server {
    fn start() -> Self {
        Self { released: Released::start(&[]), client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    async fn speak(&self, format: &str) -> Value {
        let body = json!({"prompt": TEXT, "format": format});
        let answer = self.client.post(format!("{}/tts/generate", self.released.url)).json(&body).send().await.unwrap();
        answer.error_for_status().unwrap().json().await.unwrap()
    }

    /// How long the text is, from the length of its WAV: 44 bytes, then 22,050 samples of two bytes a second.
    async fn seconds_of_speech(&self) -> f64 {
        (self.speak("wav").await["size_bytes"].as_f64().unwrap() - 44.0) / (22_050.0 * 2.0)
    }

    async fn round(&self, format: &str, requests: usize) -> Round {
        let begun = Instant::now();
        let connection = async |count: usize| {
            let (mut latencies, mut size_bytes) = (Vec::new(), 0.0);
            for _ in 0..count {
                let asked = Instant::now();
                size_bytes = self.speak(format).await["size_bytes"].as_f64().unwrap();
                latencies.push(asked.elapsed());
            }
            (latencies, size_bytes)
        };
        let each = requests.div_ceil(CONNECTIONS);
        let done = futures_util::future::join_all((0..CONNECTIONS).map(|_| connection(each))).await;
        let elapsed = begun.elapsed();
        let size_bytes = done[0].1;
        let mut latencies: Vec<Duration> = done.into_iter().flat_map(|(latencies, _)| latencies).collect();
        latencies.sort();
        Round { elapsed, latencies, size_bytes }
    }

    fn memory_megabytes(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.released.process.id())).unwrap_or_default();
        let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
        kilobytes.unwrap_or(f64::NAN) / 1024.0
    }
}
