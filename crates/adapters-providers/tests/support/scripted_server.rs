//! A provider that does what a test has written down, byte by byte, over a real socket.
//!
//! Raw TCP and not a web framework: a script can cut a packet anywhere, stop in the middle of a head, or never answer at all.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a caller sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// `POST /api/chat`.
    pub(crate) line: String,
    /// Everything before the body, as it was sent.
    pub(crate) head: String,
    /// `null` where there is none.
    pub(crate) body: Value,
    /// How many came before it.
    pub(crate) number: usize,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// A step of a script. After the last one the connection is closed.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Written and flushed by itself.
    Bytes(Vec<u8>),
    /// Nothing for a while.
    Pause(Duration),
    /// Nothing until the test adds a permit.
    Until(Arc<Semaphore>),
    /// Nothing until the caller goes away.
    Hang,
    /// The connection stays open for the next request. The last step.
    KeepAlive,
    /// Closed so that the caller sees a reset.
    Reset,
}

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<Request>>,
    /// Connections whose caller went away before the script had ended.
    abandoned: AtomicUsize,
    open: AtomicUsize,
    accepted: AtomicUsize,
}

/// The server. It answers for as long as the test's runtime lives.
#[derive(Clone)]
pub(crate) struct ScriptedServer {
    pub(crate) url: String,
    seen: Arc<Seen>,
}

impl ScriptedServer {
    /// Answers every request as `script` says.
    pub(crate) async fn start(script: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve(listener, script)
    }

    /// Answers on this socket.
    pub(crate) fn serve(listener: TcpListener, script: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (seen, script) = (Arc::new(Seen::default()), Arc::new(script));
        let server = Self { url, seen: Arc::clone(&seen) };
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
                tokio::spawn(async move {
                    socket.set_nodelay(true).unwrap();
                    seen.open.fetch_add(1, Ordering::SeqCst);
                    seen.accepted.fetch_add(1, Ordering::SeqCst);
                    serve_connection(socket, &seen, &*script).await;
                    seen.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        server
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.requests.lock().unwrap().clone()
    }

    /// How many came to this path.
    pub(crate) fn requests_to(&self, line: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.line == line).collect()
    }

    /// How many connections came.
    pub(crate) fn connections(&self) -> usize {
        self.seen.accepted.load(Ordering::SeqCst)
    }

    /// Waits until so many callers went away before their script had ended.
    pub(crate) async fn abandoned(&self, count: usize) {
        self.wait("callers that went away", || self.seen.abandoned.load(Ordering::SeqCst) >= count).await;
    }

    /// Waits until so many requests have come.
    pub(crate) async fn asked(&self, count: usize) {
        self.wait("requests", || self.seen.requests.lock().unwrap().len() >= count).await;
    }

    /// Waits until no connection is open.
    pub(crate) async fn idle(&self) {
        self.wait("no connection", || self.seen.open.load(Ordering::SeqCst) == 0).await;
    }

    async fn wait(&self, what: &str, done: impl Fn() -> bool) {
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}; {:?}", self.requests());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn serve_connection(mut socket: TcpStream, seen: &Seen, script: &(impl Fn(&Request) -> Vec<Step> + ?Sized)) {
    while let Some((head, body)) = read_request(&mut socket).await {
        let mut words = head.split_whitespace();
        let line = format!("{} {}", words.next().unwrap(), words.next().unwrap());
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let request = {
            let mut requests = seen.requests.lock().unwrap();
            let request = Request { line, head, body, number: requests.len() };
            requests.push(request.clone());
            request
        };
        if !play(&mut socket, seen, script(&request)).await {
            return;
        }
    }
}

/// Whether the connection stays open.
async fn play(socket: &mut TcpStream, seen: &Seen, script: Vec<Step>) -> bool {
    for step in script {
        let gone = match step {
            Step::Bytes(bytes) => socket.write_all(&bytes).await.is_err() || socket.flush().await.is_err(),
            Step::Pause(time) => went_away(socket, time).await,
            Step::Until(gate) => {
                gate.acquire().await.unwrap().forget();
                false
            }
            Step::Hang => went_away(socket, PATIENCE).await,
            Step::KeepAlive => return true,
            Step::Reset => {
                socket.set_zero_linger().unwrap();
                return false;
            }
        };
        if gone {
            seen.abandoned.fetch_add(1, Ordering::SeqCst);
            return false;
        }
    }
    let _ = socket.shutdown().await;
    false
}

/// Waits so long, or until the caller has closed its side.
async fn went_away(socket: &mut TcpStream, time: Duration) -> bool {
    let mut byte = [0];
    matches!(tokio::time::timeout(time, socket.read(&mut byte)).await, Ok(Ok(0) | Err(_)))
}

async fn read_request(socket: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if socket.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(read[..end].to_vec()).unwrap();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    let mut body = read.split_off(end);
    while body.len() < length.unwrap_or(0) {
        if socket.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some((head, body))
}

pub(crate) fn bytes(text: impl AsRef<[u8]>) -> Step {
    Step::Bytes(text.as_ref().to_vec())
}

/// A head after which the body goes on until the connection is closed.
pub(crate) fn head(status: &str, headers: &str) -> Step {
    bytes(format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}\r\n"))
}

pub(crate) fn event_stream() -> Step {
    head("200 OK", "content-type: text/event-stream\r\n")
}

pub(crate) fn ndjson() -> Step {
    head("200 OK", "content-type: application/x-ndjson\r\n")
}

/// A whole answer.
pub(crate) fn answer(status: &str, body: &Value) -> Vec<Step> {
    vec![head(status, "content-type: application/json\r\n"), bytes(body.to_string())]
}

pub(crate) fn event(data: &Value) -> Step {
    bytes(format!("data: {data}\n\n"))
}

pub(crate) fn line(data: &Value) -> Step {
    bytes(format!("{data}\n"))
}

/// The end of an OpenAI stream.
pub(crate) fn done() -> Step {
    bytes("data: [DONE]\n\n")
}

/// The words that a well-behaved provider says, as many as it may.
const STORY: [&str; 8] = [" there", " was", " a", " café", " in", " a", " town", "."];

/// How likely a word was, in the form of OpenAI's chat API.
fn logprob(word: &str) -> Value {
    let other = json!({"token": " dragon", "logprob": -2.5, "bytes": null});
    json!({"token": word, "logprob": -0.5, "bytes": word.as_bytes(), "top_logprobs": [{"token": word, "logprob": -0.5}, other]})
}

/// A server that speaks OpenAI's API as it should, for any model: each word a token.
pub(crate) fn openai(request: &Request) -> Vec<Step> {
    if request.line.starts_with("GET") {
        return answer("200 OK", &json!({"object": "list", "data": [{"id": "gpt-x", "object": "model"}]}));
    }
    let chat = request.line.ends_with("/chat/completions");
    let choice = |word: &str| {
        let (said, logprobs) = if chat {
            (json!({"delta": {"content": word}}), json!({"content": [logprob(word)]}))
        } else {
            let top = json!([{ word: -0.5, " dragon": -2.5 }]);
            (json!({"text": word}), json!({"tokens": [word], "token_logprobs": [-0.5], "top_logprobs": top}))
        };
        let mut choice = said;
        if !request.body["logprobs"].is_null() {
            choice["logprobs"] = logprobs;
        }
        choice
    };
    let most = usize::try_from(request.body["max_tokens"].as_u64().unwrap()).unwrap();
    let (made, reason) = (most.min(STORY.len()), if most < STORY.len() { "length" } else { "stop" });
    let mut steps = vec![event_stream()];
    steps.extend(STORY.iter().take(made).map(|word| event(&json!({"choices": [choice(word)], "usage": null}))));
    let last = if chat { json!({"delta": {}, "finish_reason": reason}) } else { json!({"text": "", "finish_reason": reason}) };
    let usage = json!({"prompt_tokens": 4, "completion_tokens": made, "total_tokens": 4 + made});
    steps.extend([event(&json!({"choices": [last]})), event(&json!({"choices": [], "usage": usage})), done()]);
    steps
}

/// Ollama as it should be, with any model.
pub(crate) fn ollama(request: &Request) -> Vec<Step> {
    match request.line.as_str() {
        "POST /api/show" => return answer("200 OK", &shown()),
        "GET /api/tags" => return answer("200 OK", &json!({"models": [{"name": "llama3.1:8b"}, {"name": "phi4"}]})),
        "GET /api/version" => return answer("200 OK", &json!({"version": "0.13.5"})),
        _ => {}
    }
    let said = |word: &str| {
        if request.line.ends_with("/chat") {
            json!({"message": {"role": "assistant", "content": word}, "done": false})
        } else {
            json!({"response": word, "done": false})
        }
    };
    let piece = |word: &str| {
        let mut piece = said(word);
        if request.body["logprobs"] == true {
            piece["logprobs"] = json!([logprob(word)]);
        }
        line(&piece)
    };
    let most = usize::try_from(request.body["options"]["num_predict"].as_u64().unwrap()).unwrap();
    let (made, reason) = (most.min(STORY.len()), if most < STORY.len() { "length" } else { "stop" });
    let mut last = said("");
    for (name, value) in
        [("done", json!(true)), ("done_reason", json!(reason)), ("prompt_eval_count", json!(4)), ("eval_count", json!(made))]
    {
        last[name] = value;
    }
    [ndjson()].into_iter().chain(STORY.iter().take(made).map(|word| piece(word))).chain([line(&last)]).collect()
}

/// What Ollama shows of a model.
pub(crate) fn shown() -> Value {
    json!({
        "model_info": {"general.architecture": "llama", "llama.context_length": 32_768},
        "capabilities": ["completion"],
        "template": "{{ .System }} {{ .Prompt }}",
        "parameters": "",
    })
}
