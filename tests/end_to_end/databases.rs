//! What a server shares with its replicas: a PostgreSQL database and a Redis, each of one test's own.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};

use crate::support::eventually;

/// An empty database of the PostgreSQL server that `scripts/with-test-postgres.sh` starts, dropped with this value.
pub(crate) struct PostgresDatabase {
    name: String,
    pub(crate) url: String,
}

impl PostgresDatabase {
    pub(crate) fn create() -> Self {
        static CREATED: AtomicU32 = AtomicU32::new(0);
        let name = format!("tertulia_end_to_end_{}_{}", std::process::id(), CREATED.fetch_add(1, Ordering::Relaxed));
        Self::execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        Self::execute(&format!("CREATE DATABASE {name} TEMPLATE template0"));
        let server = Self::server_url();
        let (place, parameters) =
            server.split_once('?').map_or((server.as_str(), String::new()), |(place, rest)| (place, format!("?{rest}")));
        let (host, _) = place.rsplit_once('/').unwrap();
        Self { url: format!("{host}/{name}{parameters}"), name }
    }

    fn server_url() -> String {
        std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL names no PostgreSQL server: run `make test`")
    }

    fn execute(sql: &str) {
        PgConnection::establish(&Self::server_url()).unwrap().batch_execute(sql).unwrap();
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        Self::execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

/// A Redis of the test's own, by the program that `scripts/with-test-redis.sh` names; killed with this value.
pub(crate) struct RedisServer {
    process: Child,
    port: u16,
}

impl RedisServer {
    /// Starts one on any free port, or again on the port of one that is gone.
    pub(crate) async fn start(port: Option<u16>) -> Self {
        let free_port = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let port = port.unwrap_or_else(free_port);
        let program = std::env::var("TEST_REDIS_SERVER").expect("TEST_REDIS_SERVER names no redis-server: run `make test`");
        let process = Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, port };
        eventually("Redis answers", async || TcpStream::connect(("127.0.0.1", port)).ok()).await;
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Ends it, and answers its port for another one.
    pub(crate) fn kill(self) -> u16 {
        self.port
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
