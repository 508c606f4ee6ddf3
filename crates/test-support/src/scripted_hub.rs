//! A Hugging Face hub on loopback that does what a test tells it: the hub's protocol, and every way in which it can go wrong.
//!
//! It is two servers, as the real one is: the hub itself, which answers small files by itself and redirects large ones (`*.safetensors`)
//! to a second host. Plain sockets and threads: what breaks off in the middle of a file must really break off.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// What goes wrong with one request for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HubFault {
    /// The connection ends after so many bytes of the body.
    BreakAfter(usize),
    /// After so many bytes nothing more comes until the client goes away.
    StallAfter(usize),
    /// The whole file comes, whatever range was asked for.
    IgnoreRange,
    /// As many bytes as announced, but others.
    OtherBytes,
    /// A shorter file, which says so itself.
    Shorter,
    /// A longer file than announced, without a length.
    Longer,
    /// This status instead of the file.
    Status(u16),
}

/// One request as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubRequest {
    /// Whether it came to the second host, which serves large files.
    pub to_second_host: bool,
    /// With its query.
    pub path: String,
    /// The header `Authorization`, if there was one.
    pub authorization: Option<String>,
    /// The header `Range`, if there was one.
    pub range: Option<String>,
}

struct Repository {
    commit: String,
    files: BTreeMap<String, Vec<u8>>,
    /// What `Authorization` must be; `None` for everybody's.
    bearer: Option<String>,
}

#[derive(Default)]
struct State {
    repositories: HashMap<String, Repository>,
    /// By a file's path.
    faults: HashMap<String, VecDeque<HubFault>>,
    requests: Vec<HubRequest>,
    is_gated: bool,
    /// Files a page of a list; 0 for all.
    page_size: usize,
    pages_continue_elsewhere: bool,
}

/// A hub for one test.
pub struct ScriptedHub {
    url: String,
    state: Arc<Mutex<State>>,
}

impl ScriptedHub {
    /// A hub without models.
    pub fn start() -> Self {
        let [hub, second] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let address = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
        let (url, second_url) = (address(&hub), address(&second));
        let state: Arc<Mutex<State>> = Arc::default();
        for (listener, to_second_host) in [(hub, false), (second, true)] {
            let (state, second_url) = (Arc::clone(&state), second_url.clone());
            // Ends with the test's process.
            std::thread::spawn(move || {
                for socket in listener.incoming().flatten() {
                    let (state, second_url) = (Arc::clone(&state), second_url.clone());
                    std::thread::spawn(move || Connection { socket, state, second_url, to_second_host }.serve());
                }
            });
        }
        Self { url, state }
    }

    /// The value for `HF_ENDPOINT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Puts a model there, or a new commit of one, and answers the commit. Names are served as they are, also those that no hub would take.
    pub fn publish(&self, repository: &str, files: &[(&str, &[u8])]) -> String {
        let files: BTreeMap<String, Vec<u8>> =
            files.iter().map(|(path, content)| ((*path).to_owned(), content.to_vec())).collect();
        let mut hash = Sha1::new();
        for (path, content) in &files {
            hash.update(path);
            hash.update(content);
        }
        let commit = hex::encode(hash.finalize());
        self.lock().repositories.insert(repository.to_owned(), Repository { commit: commit.clone(), files, bearer: None });
        commit
    }

    /// Shows a model only to who sends this token.
    pub fn make_private(&self, repository: &str, token: &str) {
        self.lock().repositories.get_mut(repository).unwrap().bearer = Some(format!("Bearer {token}"));
    }

    /// From now on refuses private models as those are whose licence must be accepted.
    pub fn say_that_private_models_are_gated(&self) {
        self.lock().is_gated = true;
    }

    /// From now on lists so many files a page.
    pub fn list_in_pages_of(&self, files: usize) {
        self.lock().page_size = files;
    }

    /// From now on every list continues on the second host.
    pub fn continue_lists_elsewhere(&self) {
        self.lock().pages_continue_elsewhere = true;
    }

    /// What goes wrong with the next requests for the bytes of a file, one after the other.
    pub fn fail(&self, file: &str, faults: impl IntoIterator<Item = HubFault>) {
        self.lock().faults.entry(file.to_owned()).or_default().extend(faults);
    }

    /// Every request so far, in order.
    pub fn requests(&self) -> Vec<HubRequest> {
        self.lock().requests.clone()
    }

    /// The requests so far for the bytes of a file, leaving out those that were only redirected.
    pub fn fetches_of(&self, file: &str) -> Vec<HubRequest> {
        let large = is_large(file);
        let path = |request: &HubRequest| request.path.split('?').next().unwrap_or_default().to_owned();
        let wanted = |request: &HubRequest| path(request).ends_with(&format!("/{file}")) && request.to_second_host == large;
        self.requests().into_iter().filter(wanted).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn is_large(file: &str) -> bool {
    file.ends_with(".safetensors")
}

fn git_digest(content: &[u8]) -> String {
    hex::encode(Sha1::new_with_prefix(format!("blob {}\0", content.len())).chain_update(content).finalize())
}

struct Connection {
    socket: TcpStream,
    state: Arc<Mutex<State>>,
    second_url: String,
    to_second_host: bool,
}

impl Connection {
    /// Answers one request and closes.
    fn serve(mut self) {
        if let Some(request) = self.read_request() {
            self.state.lock().unwrap().requests.push(request.clone());
            let _ = if self.to_second_host { self.serve_second_host(&request) } else { self.serve_hub(&request) };
        }
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    fn read_request(&self) -> Option<HubRequest> {
        let mut lines = BufReader::new(&self.socket).lines();
        let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
        let mut request = HubRequest { to_second_host: self.to_second_host, path, authorization: None, range: None };
        for line in lines {
            let line = line.ok()?;
            let Some((name, value)) = line.split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "authorization" => request.authorization = Some(value.to_owned()),
                "range" => request.range = Some(value.to_owned()),
                _ => {}
            }
        }
        Some(request)
    }

    fn serve_hub(&mut self, request: &HubRequest) -> std::io::Result<()> {
        let path = request.path.split('?').next().unwrap_or_default();
        let state = Arc::clone(&self.state);
        let found = {
            let state = state.lock().unwrap();
            let (repository, rest) = match path.strip_prefix("/api/models/") {
                Some(rest) => split_at_any(rest, &["/revision/", "/tree/"]),
                None => split_at_any(path.trim_start_matches('/'), &["/resolve/"]),
            };
            let is_gated = state.is_gated;
            state.repositories.get(repository).map(|found| {
                let is_open = found.bearer.is_none() || found.bearer == request.authorization;
                (is_open, is_gated, found.commit.clone(), found.files.clone(), rest.to_owned())
            })
        };
        let Some((is_open, is_gated, commit, files, rest)) = found else {
            return self.answer("401 Unauthorized", &["X-Error-Code: RepoNotFound"], b"{}");
        };
        if !is_open {
            let (status, code) = if is_gated { ("403 Forbidden", "GatedRepo") } else { ("401 Unauthorized", "RepoNotFound") };
            return self.answer(status, &[&format!("X-Error-Code: {code}")], b"{}");
        }
        if path.contains("/revision/") {
            if rest != "main" && rest != commit {
                return self.answer("404 Not Found", &["X-Error-Code: RevisionNotFound"], b"{}");
            }
            return self.answer("200 OK", &[], format!(r#"{{"sha": "{commit}", "siblings": []}}"#).as_bytes());
        }
        if path.contains("/tree/") {
            return self.serve_list(request, &files);
        }
        let file = rest.strip_prefix(&format!("{commit}/")).unwrap_or_default();
        let Some(content) = files.get(file) else {
            return self.answer("404 Not Found", &["X-Error-Code: EntryNotFound"], b"{}");
        };
        if is_large(file) {
            let location = format!("Location: {}{}?signature=secret", self.second_url, path);
            let size = format!("X-Linked-Size: {}", content.len());
            let etag = format!("X-Linked-ETag: \"{}\"", hex::encode(Sha256::digest(content)));
            return self.answer("302 Found", &[&location, &size, &etag, &format!("X-Repo-Commit: {commit}")], b"");
        }
        self.serve_file(request, file, content)
    }

    fn serve_list(&mut self, request: &HubRequest, files: &BTreeMap<String, Vec<u8>>) -> std::io::Result<()> {
        let (page_size, elsewhere) = {
            let state = self.state.lock().unwrap();
            (if state.page_size == 0 { files.len() } else { state.page_size }, state.pages_continue_elsewhere)
        };
        let begin = request.path.split_once("cursor=").map_or(0, |(_, cursor)| cursor.parse().unwrap());
        let entries: Vec<String> =
            files.iter().skip(begin).take(page_size).map(|(path, content)| tree_entry(path, content)).collect();
        let path = request.path.split('?').next().unwrap_or_default();
        let host = if elsewhere { self.second_url.clone() } else { String::new() };
        let next = format!("Link: <{host}{path}?recursive=true&cursor={}>; rel=\"next\"", begin + page_size);
        let headers: &[&str] = if begin + page_size < files.len() { &[&next] } else { &[] };
        self.answer("200 OK", headers, format!("[{}]", entries.join(",")).as_bytes())
    }

    fn serve_second_host(&mut self, request: &HubRequest) -> std::io::Result<()> {
        let path = request.path.split('?').next().unwrap_or_default();
        let (repository, rest) = split_at_any(path.trim_start_matches('/'), &["/resolve/"]);
        let file = rest.split_once('/').map_or("", |(_, file)| file).to_owned();
        let content = self.state.lock().unwrap().repositories.get(repository).and_then(|found| found.files.get(&file).cloned());
        match content {
            Some(content) => self.serve_file(request, &file, &content),
            None => self.answer("404 Not Found", &[], b""),
        }
    }

    fn serve_file(&mut self, request: &HubRequest, file: &str, content: &[u8]) -> std::io::Result<()> {
        let fault = self.state.lock().unwrap().faults.get_mut(file).and_then(VecDeque::pop_front);
        let asked =
            request.range.as_ref().and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
        let from = asked.filter(|_| fault != Some(HubFault::IgnoreRange));
        if from.is_some_and(|from| from >= content.len()) {
            return self.answer("416 Range Not Satisfiable", &[&format!("Content-Range: bytes */{}", content.len())], b"");
        }
        let mut body = content.get(from.unwrap_or(0)..).unwrap_or_default().to_vec();
        match fault {
            Some(HubFault::Status(status)) => return self.answer(&format!("{status} Scripted"), &["Retry-After: 0"], b""),
            Some(HubFault::OtherBytes) => body.iter_mut().for_each(|byte| *byte = !*byte),
            Some(HubFault::Shorter) => return self.answer("200 OK", &[], body.get(1..).unwrap_or_default()),
            Some(HubFault::Longer) => {
                body.push(b'!');
                self.socket.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
                return self.socket.write_all(&body);
            }
            _ => {}
        }
        let range = format!("Content-Range: bytes {}-{}/{}", from.unwrap_or(0), content.len() - 1, content.len());
        match (from, fault) {
            (_, Some(HubFault::BreakAfter(bytes) | HubFault::StallAfter(bytes))) => {
                let (status, headers) =
                    if from.is_some() { ("206 Partial Content", vec![range.as_str()]) } else { ("200 OK", vec![]) };
                self.head(status, &headers, body.len())?;
                self.socket.write_all(body.get(..bytes).unwrap_or(&body))?;
                if matches!(fault, Some(HubFault::StallAfter(_))) {
                    // The client's side ends when it goes away.
                    self.socket.set_read_timeout(Some(Duration::from_mins(1)))?;
                    let _ = BufReader::new(&self.socket).fill_buf();
                }
                Ok(())
            }
            (Some(_), _) => self.answer("206 Partial Content", &[&range], &body),
            (None, _) => self.answer("200 OK", &[&format!("ETag: \"{}\"", git_digest(content))], &body),
        }
    }

    fn answer(&mut self, status: &str, headers: &[&str], body: &[u8]) -> std::io::Result<()> {
        self.head(status, headers, body.len())?;
        self.socket.write_all(body)
    }

    fn head(&mut self, status: &str, headers: &[&str], length: usize) -> std::io::Result<()> {
        let headers: String = headers.iter().flat_map(|header| [header, "\r\n"]).collect();
        write!(self.socket, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n")
    }
}

/// What stands before and after the first of these words.
fn split_at_any<'a>(path: &'a str, words: &[&str]) -> (&'a str, &'a str) {
    words.iter().find_map(|word| path.split_once(word)).unwrap_or((path, ""))
}

fn tree_entry(path: &str, content: &[u8]) -> String {
    let (oid, size) = (git_digest(content), content.len());
    let path = path.replace('\\', "\\\\");
    if is_large(&path) {
        let sha256 = hex::encode(Sha256::digest(content));
        let lfs = format!(r#"{{"oid":"{sha256}","size":{size},"pointerSize":134}}"#);
        format!(r#"{{"type":"file","oid":"{oid}","size":{size},"path":"{path}","lfs":{lfs}}}"#)
    } else {
        format!(r#"{{"type":"file","oid":"{oid}","size":{size},"path":"{path}"}}"#)
    }
}
