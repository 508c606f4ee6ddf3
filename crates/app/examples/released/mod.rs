//! The release binary that a benchmark measures: started on a free loopback port, with a data folder of its own, and ended with this value.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A server that runs as long as this value lives, also where the benchmark stops midway.
pub struct Released {
    pub process: Child,
    pub url: String,
    _folder: TempDir,
}

impl Released {
    /// Starts `TERTULIA`, or what `make release` builds, with these settings beside those that no benchmark is to be stopped by.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let binary = std::env::var("TERTULIA").unwrap_or_else(|_| "target/release/tertulia".to_owned());
        let mut process = Command::new(binary)
            .arg("serve")
            .env("PORT", "0")
            .env("DATA_DIR", folder.path())
            .env("LOG_LEVEL", "error")
            .env("REQUESTS_PER_MINUTE", "1000000")
            .env("GUEST_REQUESTS_PER_MINUTE", "1000000")
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .expect("make release builds the server");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim_end().split_once("listens on ").expect("the server starts").1.to_owned();
        Self { process, url, _folder: folder }
    }
}

impl Drop for Released {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
