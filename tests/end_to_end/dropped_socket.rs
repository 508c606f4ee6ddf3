//! A client that goes away.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::support::{Caller, Server, eventually};

/// One place and no more than one that waits: whoever holds the place keeps all others out.
const NARROW: &[(&str, &str)] =
    &[("MAX_RUNNING_GENERATIONS", "1"), ("MAX_QUEUED_GENERATIONS", "1"), ("STREAM_HEARTBEAT_SECONDS", "1")];

fn long() -> Value {
    json!({"prompt": "Once upon a time", "max_new_tokens": 450, "seed": 1, "temperature": 1.0})
}

async fn interrupted(caller: &Caller) -> Option<Value> {
    let list = caller.get("/text_generations").await.body;
    list["items"].as_array().unwrap().iter().find(|record| record["finish_reason"] == "interrupted").cloned()
}

#[tokio::test]
async fn a_dropped_socket_frees_the_place_and_what_was_given_is_kept() {
    let server = Server::start(NARROW);
    let ana = server.newcomer("ana").await;
    let mut events = ana.stream(long()).await;
    let first = events.next().await.unwrap();
    drop(events);

    let record = eventually("the interrupted text is stored", async || interrupted(&ana).await).await;
    let kept = record["generated_text"].as_str().unwrap();
    assert!(kept.starts_with(&format!("Once upon a time{}", first.data["text"].as_str().unwrap())), "{kept}");
    assert!(record["usage"]["completion_tokens"].as_u64().unwrap() < 450, "it stopped early");
    let next = ana.post("/text_generations", &json!({"prompt": "Free again", "max_new_tokens": 4})).await;
    assert_eq!(next.status, StatusCode::CREATED, "{next:?}");
}

#[tokio::test]
async fn many_sockets_dropped_at_once_leave_no_place_taken() {
    let server = Server::start(&[("MAX_RUNNING_GENERATIONS", "4"), ("STREAM_HEARTBEAT_SECONDS", "1")]);
    let ana = server.newcomer("ana").await;
    let mut streams = Vec::new();
    for _ in 0..12 {
        streams.push(ana.stream(long()).await);
    }
    drop(streams);
    for _ in 0..6 {
        let next = ana.post("/text_generations", &json!({"prompt": "Free again", "max_new_tokens": 4})).await;
        assert_eq!(next.status, StatusCode::CREATED, "{next:?}");
    }
}

/// While a socket is full its handler is asked for nothing, so no deadline inside could end it.
#[tokio::test]
async fn a_client_that_asks_and_never_reads_is_cut_off() {
    let server = Server::start(&[("STALLED_CONNECTION_SECONDS", "1")]);
    let whole = server.anonymous().get("/openapi.json").await.text.len();
    let asked = 400;
    let address: std::net::SocketAddr = server.url.trim_start_matches("http://").parse().unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // The less the client's side takes in, the sooner the server's is full.
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut socket = TcpStream::from(socket);
    socket.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    for _ in 0..asked {
        // Once the server reads no more requests this one waits, and then fails.
        if socket.write_all(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n").is_err() {
            break;
        }
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut taken = Vec::new();
    let ended = socket.read_to_end(&mut taken);
    let still_open = ended.as_ref().is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
    assert!(!still_open, "the connection is still there after {} bytes", taken.len());
    assert!(taken.len() < whole * asked, "it got everything, so that nothing was ever full");
}
