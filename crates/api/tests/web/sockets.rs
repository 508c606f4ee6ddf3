//! What only a real connection shows: that a client who goes away stops what was begun for them.

use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer};
use serde_json::json;
use test_support::{Gate, Step};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{SignedIn, World};

/// Serves the world on a free port of this machine, as `app` does.
fn serve(world: &World) -> (ServerHandle, u16) {
    let (state, config, edge) = (world.state.clone(), world.config, world.edge.clone());
    let server = HttpServer::new(move || App::new().configure(api::routes(state.clone(), config, edge.clone())))
        .h1_allow_half_closed(false)
        .workers(1)
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .unwrap();
    let port = server.addrs()[0].port();
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    (handle, port)
}

async fn ask_for_a_text(port: u16, user: &SignedIn, stream: bool) -> TcpStream {
    let body = json!({"prompt": "Once", "stream": stream}).to_string();
    let head = format!(
        "POST /text_generations HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        user.access_token,
        body.len()
    );
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    socket.write_all((head + &body).as_bytes()).await.unwrap();
    socket
}

/// Waits until this many streams are held; a test that waits for ten seconds has failed.
async fn until_open_streams(world: &World, expected: usize) {
    for _ in 0..1000 {
        if world.generator.open_streams() == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} streams are open, not {expected}", world.generator.open_streams());
}

#[actix_web::test]
async fn a_dropped_socket_stops_a_stream_that_has_nothing_to_say() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    world.generator.follow([Step::Text(" there".into()), Step::Wait(Gate::shut())]);
    let (server, port) = serve(&world);
    let mut socket = ask_for_a_text(port, &ana, true).await;
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains(" there") {
        assert_ne!(socket.read_buf(&mut answer).await.unwrap(), 0);
    }
    until_open_streams(&world, 1).await;
    drop(socket);
    until_open_streams(&world, 0).await;
    assert_eq!(world.generator.cancelled_streams(), 1);
    server.stop(false).await;
}

#[actix_web::test]
async fn a_dropped_socket_stops_a_text_that_is_asked_for_whole() {
    let world = World::new().await;
    let ana = world.sign_in("ana").await;
    world.generator.follow([Step::Text(" there".into()), Step::Wait(Gate::shut())]);
    let (server, port) = serve(&world);
    let socket = ask_for_a_text(port, &ana, false).await;
    until_open_streams(&world, 1).await;
    drop(socket);
    until_open_streams(&world, 0).await;
    assert_eq!(world.generator.cancelled_streams(), 1);
    server.stop(false).await;
}

/// Sends these bytes and reads until the server closes.
async fn exchange(port: u16, request: &str) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

const POST_USERS: &str = "POST /users HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n";

#[actix_web::test]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let mut world = World::new().await;
    world.config.body_timeout = Duration::from_millis(50);
    let (server, port) = serve(&world);
    let answer = exchange(port, &format!("{POST_USERS}Content-Length: 100\r\n\r\n{{")).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("[E035]"), "{answer}");
    server.stop(false).await;
}

#[actix_web::test]
async fn a_body_that_does_not_tell_its_length_is_bounded_too() {
    let world = World::new().await;
    let (server, port) = serve(&world);
    let size = world.config.json_body_bytes + 1;
    let body = format!("{POST_USERS}Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(size));
    let answer = exchange(port, &body).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("[E020]"), "{answer}");
    server.stop(false).await;
}

#[actix_web::test]
async fn a_head_has_no_body() {
    let world = World::new().await;
    let (server, port) = serve(&world);
    let answer = exchange(port, "HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    server.stop(false).await;
}
