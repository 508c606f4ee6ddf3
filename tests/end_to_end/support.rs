//! Starts the binary on a free port with a folder of its own, and speaks to it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take before the test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The binary, with nothing of this process's environment but what a program needs to run, in a folder of its own.
pub(crate) fn tertulia(folder: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tertulia"));
    command.args(arguments).current_dir(folder).env_clear().stdin(Stdio::null());
    for name in ["PATH", "HOME", "ORT_DYLIB_PATH"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    // The cheapest hash there is: these tests are not about its strength.
    command.env("BCRYPT_COST", "4").env("MODEL_THREADS", "1").env("HTTP_WORKERS", "2").env("PORT", "0");
    // All callers of a test share one address.
    command.env("GUEST_REQUESTS_PER_MINUTE", "100000").env("REQUESTS_PER_MINUTE", "100000");
    command.envs(settings.iter().copied());
    command
}

/// A server that is killed when the test ends.
pub(crate) struct Server {
    process: Child,
    pub(crate) url: String,
    /// Holds `data/`, the default data folder, and `stderr.log`.
    pub(crate) folder: TempDir,
    banner: BufReader<std::process::ChildStdout>,
    client: reqwest::Client,
}

impl Server {
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), settings)
    }

    /// Starts on what an earlier server left in this folder.
    pub(crate) fn start_in(folder: TempDir, settings: &[(&str, &str)]) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.path().join("stderr.log")).unwrap();
        let mut process = tertulia(folder.path(), &["serve"], settings).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut banner = BufReader::new(process.stdout.take().unwrap());
        let mut first_line = String::new();
        banner.read_line(&mut first_line).unwrap();
        let Some((_, url)) = first_line.trim_end().split_once("listens on ") else {
            let log = std::fs::read_to_string(folder.path().join("stderr.log")).unwrap();
            panic!("the server did not start: {first_line}{log}");
        };
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { process, url: url.to_owned(), folder, banner, client }
    }

    /// What the server printed, up to the end of what it suggests to try.
    pub(crate) fn banner(&mut self) -> String {
        let mut text = String::new();
        while text.matches("curl ").count() < 3 {
            assert_ne!(self.banner.read_line(&mut text).unwrap(), 0, "{text}");
        }
        text
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stderr.log")).unwrap()
    }

    pub(crate) fn anonymous(&self) -> Caller {
        self.anonymous_by(self.client.clone())
    }

    /// Somebody whose client is set up in another way.
    pub(crate) fn anonymous_by(&self, client: reqwest::Client) -> Caller {
        Caller { client, url: self.url.clone(), token: None }
    }

    /// Whoever has this token: an access token of this server or of a replica, or a program's key.
    pub(crate) fn bearer(&self, token: &str) -> Caller {
        Caller { token: Some(token.to_owned()), ..self.anonymous() }
    }

    /// Registers somebody new and signs them in.
    pub(crate) async fn newcomer(&self, name: &str) -> Caller {
        let anonymous = self.anonymous();
        let registered = anonymous.post("/users", &json!({"username": name, "password": PASSWORD})).await;
        assert_eq!(registered.status, StatusCode::CREATED, "{registered:?}");
        self.sign_in(name).await
    }

    pub(crate) async fn sign_in(&self, name: &str) -> Caller {
        let mut caller = self.anonymous();
        let form = format!("username={name}&password={}", PASSWORD.replace(' ', "+"));
        let request = caller.request(Method::POST, "/token").header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        caller.token = Some(answer.body["access_token"].as_str().unwrap().to_owned());
        caller
    }

    /// SIGKILL: the process has no say in it.
    pub(crate) fn kill(mut self) -> TempDir {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// SIGTERM, and how long the process took to end.
    pub(crate) fn stop(&mut self) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        self.signal("-TERM");
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.process.try_wait().unwrap() {
                return (status, begun.elapsed());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the server did not stop: {}", self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) const PASSWORD: &str = "correct horse battery";

/// Somebody who calls the API.
#[derive(Clone)]
pub(crate) struct Caller {
    client: reqwest::Client,
    url: String,
    pub(crate) token: Option<String>,
}

impl Caller {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(method, path).json(body)).await
    }

    /// Begins a streamed text.
    pub(crate) async fn stream(&self, mut body: Value) -> Events {
        body["stream"] = json!(true);
        let response = self.request(Method::POST, "/text_generations").json(&body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
        Events { bytes: response.bytes_stream().boxed(), unread: Vec::new() }
    }
}

/// A response, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The body as text, and as JSON where it is JSON.
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { status, headers, text, body }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A response of server-sent events, read one at a time. Dropping it closes the connection.
pub(crate) struct Events {
    bytes: futures_util::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    unread: Vec<u8>,
}

/// One event: its name (`message` if it has none) and its data.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: Value,
}

impl Events {
    /// The next event that is not a comment; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.unread.drain(..end + 2).collect();
                // Whole events hold whole characters: a character that is split would fail here.
                let block = String::from_utf8(block).expect("an event is UTF-8 by itself");
                let field = |name: &str| {
                    block.lines().find_map(|line| line.strip_prefix(name).map(|value| value.trim_start().to_owned()))
                };
                if let Some(data) = field("data:") {
                    let name = field("event:").unwrap_or_else(|| "message".to_owned());
                    return Some(Event { name, data: serde_json::from_str(&data).unwrap() });
                }
            } else {
                self.unread.extend_from_slice(&self.bytes.next().await?.ok()?);
            }
        }
    }
}

/// Asks again and again until `found` answers something.
pub(crate) async fn eventually<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(found) = found().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("waited in vain: {what}");
}

/// A program that should end by itself: its status and what it printed.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn run_to_the_end(mut command: Command) -> Ended {
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut out, mut err) = (process.stdout.take().unwrap(), process.stderr.take().unwrap());
    let readers = [std::thread::spawn(move || read_all(&mut out)), std::thread::spawn(move || read_all(&mut err))];
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = process.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            process.kill().unwrap();
            panic!("the command did not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let [stdout, stderr] = readers.map(|reader| reader.join().unwrap());
    Ended { status, stdout, stderr }
}

fn read_all(source: &mut impl std::io::Read) -> String {
    let mut text = String::new();
    source.read_to_string(&mut text).unwrap();
    text
}
