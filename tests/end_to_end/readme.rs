//! The commands of README.md's "Try it", as they stand.

use std::process::Command;

use crate::picture_service::{a_jpeg, http, scripted};
use crate::support::Server;

/// Nothing is changed but where the server and the service of pictures are: a test takes neither port 8000 nor the internet.
#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_readme_works_as_it_stands_and_in_its_order() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
    let (_, section) = readme.split_once("\n## Try it\n").expect("the README has a section for those who try it");
    let (_, block) = section.split_once("```sh\n").unwrap();
    let (commands, _) = block.split_once("\n```").unwrap();
    assert!(commands.matches("curl ").count() > 15, "{commands}");

    let pictures = scripted(|_| http("image/jpeg", &a_jpeg(512, 512)));
    let server = Server::start(&[("POLLINATIONS_BASE_URL", &pictures)]);
    let commands = commands.replace("http://127.0.0.1:8000", &server.url);
    // A reader sees an error; a shell must be told to fail at one.
    let strict = "curl() { command curl --silent --show-error --fail-with-body \"$@\"; }\n";
    let script = format!("{strict}{commands}\n");
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("bash").args(["-euxo", "pipefail", "-c", &script]).current_dir(folder.path()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        assert!(file.metadata().unwrap().len() > 100, "{} is no more than an error", file.path().display());
    }
    for answer in
        ["\"role\":\"admin\"", "\"generated_text\":\"Once upon a time", "event: done", "data: [DONE]", "\"chat.completion\""]
    {
        assert!(out.contains(answer), "{answer} is not in {out}");
    }
}
