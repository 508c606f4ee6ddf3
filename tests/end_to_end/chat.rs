//! A chat over real sockets: lost, taken up, compared byte for byte; at another replica too.

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::databases::PostgresDatabase;
use crate::support::{Caller, Server, eventually};

/// Long enough to be lost on the way; the same text for the same seed.
fn long(message: &str, seed: u64) -> Value {
    json!({"message": message, "use_context": false, "max_new_tokens": 300, "seed": seed, "temperature": 1.0})
}

/// An answer while it arrives.
struct Answer {
    response: reqwest::Response,
    stream: String,
    /// As it came from the socket.
    bytes: Vec<u8>,
}

impl Answer {
    async fn begin(caller: &Caller, body: &Value) -> Self {
        let response = caller.request(Method::POST, "/chat/stream").json(body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
        let stream = response.headers()["x-stream-id"].to_str().unwrap().to_owned();
        Self { response, stream, bytes: Vec::new() }
    }

    /// Reads until so many events are whole.
    async fn events(&mut self, count: usize) {
        while whole_events(&self.bytes).1 < count {
            let chunk = self.response.chunk().await.unwrap().expect("the answer is longer than that");
            self.bytes.extend_from_slice(&chunk);
        }
    }

    /// Loses the connection; answers the events that arrived whole, and the last one's name.
    fn lose(self) -> (String, String, String) {
        let (end, _) = whole_events(&self.bytes);
        let events = String::from_utf8(self.bytes[..end].to_vec()).unwrap();
        let last = events.lines().filter_map(|line| line.strip_prefix("id: ")).next_back().unwrap().to_owned();
        (self.stream, without_comments(&events), last)
    }

    async fn whole(mut self) -> String {
        while let Some(chunk) = self.response.chunk().await.unwrap() {
            self.bytes.extend_from_slice(&chunk);
        }
        without_comments(&String::from_utf8(self.bytes).unwrap())
    }
}

/// Where the last whole event ends, and how many there are (comments are none).
fn whole_events(bytes: &[u8]) -> (usize, usize) {
    let ends: Vec<usize> = (2..=bytes.len()).filter(|end| bytes[end - 2..*end] == *b"\n\n").collect();
    let comments = bytes.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b":")).count();
    (ends.last().copied().unwrap_or(0), ends.len().saturating_sub(comments))
}

/// Only waiting leaves comments, and no two waits are alike.
fn without_comments(events: &str) -> String {
    events.split_inclusive("\n\n").filter(|event| !event.starts_with(':')).collect()
}

async fn resume(caller: &Caller, stream: &str, last: &str) -> String {
    let request = caller.request(Method::GET, &format!("/chat/streams/{stream}")).header("Last-Event-ID", last);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    without_comments(&response.text().await.unwrap())
}

/// What an answer's `data:` lines say together, and whether the last of them ends it.
fn text_of(events: &str) -> (String, bool) {
    let mut text = String::new();
    let mut ended = false;
    for event in events.split("\n\n").filter(|event| !event.is_empty()) {
        let lines: Vec<&str> = event.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        ended = lines == ["[DONE]"];
        if !ended {
            text.push_str(&lines.join("\n"));
        }
    }
    (text, ended)
}

async fn history(caller: &Caller) -> Vec<(String, String, String)> {
    let field = |message: &Value, name: &str| message[name].as_str().unwrap().to_owned();
    let messages = caller.get("/chat/history?limit=200").await.body["messages"].as_array().unwrap().clone();
    messages.iter().map(|message| (field(message, "role"), field(message, "content"), field(message, "status"))).collect()
}

/// The numbers of an answer's events differ from another's by its stream alone.
fn renamed(events: &str, from: &str, to: &str) -> String {
    events.replace(from, to)
}

#[tokio::test]
async fn a_lost_answer_is_taken_up_byte_for_byte_and_stored_as_it_was_sent() {
    let server = Server::start(&[]);
    let (ana, ben) = (server.newcomer("ana").await, server.newcomer("ben").await);
    let undisturbed = Answer::begin(&ben, &long("Tell me of the dragon", 7)).await;
    let ben_stream = undisturbed.stream.clone();
    let expected = undisturbed.whole().await;

    let mut answer = Answer::begin(&ana, &long("Tell me of the dragon", 7)).await;
    answer.events(5).await;
    let (stream, before, last) = answer.lose();
    let missing = server.anonymous().request(Method::GET, &format!("/chat/streams/{stream}")).send().await.unwrap();
    assert_eq!(missing.status(), StatusCode::UNAUTHORIZED);
    let foreign = ben.get(&format!("/chat/streams/{stream}")).await;
    assert_eq!((foreign.status, &foreign.body["code"]), (StatusCode::NOT_FOUND, &json!("E046")));
    let after = resume(&ana, &stream, &last).await;
    assert_eq!(renamed(&(before + &after), &stream, &ben_stream), expected);

    let (text, ended) = text_of(&expected);
    assert!(ended && text.len() > 200, "{text}");
    let told = |text: &str| ("assistant".to_owned(), text.to_owned(), "done".to_owned());
    assert_eq!(history(&ana).await[1], told(&text));
    assert_eq!(resume(&ana, &stream, &last).await, after, "also after its end");
    let end = after.lines().filter_map(|line| line.strip_prefix("id: ")).next_back().unwrap();
    let request = ana.request(Method::GET, &format!("/chat/streams/{stream}")).header("Last-Event-ID", end);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn an_answer_that_nobody_comes_back_to_is_cut_and_its_place_is_free() {
    let settings = [("STREAM_RESUME_SECONDS", "1"), ("STREAM_HEARTBEAT_SECONDS", "1"), ("MAX_RUNNING_GENERATIONS", "1")];
    let server = Server::start(&settings);
    let ana = server.newcomer("ana").await;
    let endless = json!({"message": "Once upon a time", "max_new_tokens": 450, "seed": 1, "temperature": 1.0});
    let mut answer = Answer::begin(&ana, &endless).await;
    answer.events(1).await;
    let (stream, before, last) = answer.lose();
    let stored = eventually("the answer is stored", async || history(&ana).await.get(1).cloned()).await;
    assert!(stored.1.starts_with(&text_of(&before).0) && !stored.1.is_empty());
    let rest = ana.request(Method::GET, &format!("/chat/streams/{stream}")).header("Last-Event-ID", last).send().await.unwrap();
    assert!([StatusCode::OK, StatusCode::NOT_FOUND].contains(&rest.status()));
    let next = ana.post("/text_generations", &json!({"prompt": "Free again", "max_new_tokens": 4})).await;
    assert_eq!(next.status, StatusCode::CREATED, "{next:?}");
}

#[tokio::test]
async fn a_stop_keeps_what_was_said() {
    let server = Server::start(&[]);
    let ana = server.newcomer("ana").await;
    let mut answer = Answer::begin(&ana, &long("Tell me of the king", 3)).await;
    answer.events(2).await;
    let stopped = ana.send(Method::DELETE, &format!("/chat/streams/{}", answer.stream), &json!({})).await;
    assert_eq!(stopped.status, StatusCode::NO_CONTENT);
    let said = history(&ana).await[1].clone();
    let (heard, ended) = text_of(&answer.whole().await);
    assert_eq!((said.1.as_str(), ended), (heard.as_str(), true));
}

#[tokio::test]
async fn another_replica_takes_an_answer_up_and_stops_it() {
    let database = PostgresDatabase::create();
    let shared = [("DATABASE_URL", database.url.as_str()), ("SECRET_KEY", "0123456789abcdef0123456789abcdef")];
    let (one, other) = (Server::start(&shared), Server::start(&shared));
    let (ana, ben) = (one.newcomer("ana").await, one.newcomer("ben").await);
    let at_other = |caller: &Caller| other.bearer(caller.token.as_deref().unwrap());
    let (ana_there, ben_there) = (at_other(&ana), at_other(&ben));
    let undisturbed = Answer::begin(&ben, &long("Tell me of the dragon", 7)).await;
    let ben_stream = undisturbed.stream.clone();
    let expected = undisturbed.whole().await;

    let mut answer = Answer::begin(&ana, &long("Tell me of the dragon", 7)).await;
    answer.events(5).await;
    let (stream, before, last) = answer.lose();
    assert_eq!(ben_there.get(&format!("/chat/streams/{stream}")).await.status, StatusCode::NOT_FOUND);
    let after = resume(&ana_there, &stream, &last).await;
    assert_eq!(renamed(&(before + &after), &stream, &ben_stream), expected);
    assert_eq!(history(&ana_there).await, history(&ana).await);

    let mut answer = Answer::begin(&ana, &long("Tell me of the king", 3)).await;
    answer.events(2).await;
    let stop = format!("/chat/streams/{}", answer.stream);
    assert_eq!(ben_there.send(Method::DELETE, &stop, &json!({})).await.status, StatusCode::NOT_FOUND);
    assert_eq!(ana_there.send(Method::DELETE, &stop, &json!({})).await.status, StatusCode::NO_CONTENT);
    let (heard, ended) = text_of(&answer.whole().await);
    let said = history(&ana_there).await[3].clone();
    assert_eq!((said.1.as_str(), ended), (heard.as_str(), true));
}

#[tokio::test]
async fn what_is_told_to_stop_keeps_its_answers_and_what_is_killed_its_questions() {
    let mut server = Server::start(&[("SHUTDOWN_GRACE_SECONDS", "2")]);
    let ana = server.newcomer("ana").await;
    let mut lost = Answer::begin(&ana, &long("Tell me of the dragon", 7)).await;
    lost.events(3).await;
    let before = text_of(&lost.lose().1).0;
    let (status, _) = server.stop();
    assert!(status.success(), "{}", server.log());
    let folder = std::mem::replace(&mut server.folder, tempfile::tempdir().unwrap());

    let server = Server::start_in(folder, &[]);
    let ana = server.sign_in("ana").await;
    let kept = history(&ana).await;
    assert!(kept[1].1.starts_with(&before), "{kept:?}");
    let mut lost = Answer::begin(&ana, &long("Tell me of the king", 3)).await;
    lost.events(1).await;
    let folder = server.kill();
    let server = Server::start_in(folder, &[]);
    let ana = server.sign_in("ana").await;
    assert_eq!(history(&ana).await[2].1, "Tell me of the king", "the question was stored before the model was asked");
}

#[tokio::test]
async fn many_people_talk_at_once_and_each_is_answered_alone() {
    let server = Server::start(&[]);
    let people = join_all((0..6).map(async |number| server.newcomer(&format!("user-{number}")).await)).await;
    let ask = async |caller: &Caller, seed: u64| {
        let body = json!({"message": format!("Tell me of number {seed}"), "max_new_tokens": 40, "seed": seed});
        let mut answer = Answer::begin(caller, &body).await;
        answer.events(2).await;
        let (stream, before, last) = answer.lose();
        text_of(&(before + &resume(caller, &stream, &last).await)).0
    };
    let heard = join_all(people.iter().zip(0..).map(|(caller, seed)| ask(caller, seed))).await;
    for (caller, heard) in people.iter().zip(&heard) {
        assert_eq!(history(caller).await[1].1, *heard);
    }
    let listed = futures_util::stream::iter(&people)
        .then(async |caller| caller.get("/conversations").await.body)
        .collect::<Vec<_>>()
        .await;
    assert!(listed.iter().all(|page| page["items"].as_array().unwrap().len() == 1));
}
