//! A model of the Hugging Face hub, from its name to a text: fetched by the real binary from a hub on loopback, broken off, taken up again,
//! generated with, listed and removed.

use std::path::Path;
use std::process::{Child, Stdio};

use reqwest::Method;
use serde_json::json;
use test_support::{HubFault, ScriptedHub};

use crate::support::{Answer, Ended, Server, eventually, run_to_the_end, tertulia};

const WEIGHTS: &str = "model.safetensors";

/// A hub with the bundled model under another name: small, and every file of it real.
fn hub() -> ScriptedHub {
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/fairy-tales");
    let files = ["config.json", "generation_config.json", "tokenizer.json", WEIGHTS]
        .map(|name| (name, std::fs::read(bundled.join(name)).unwrap()));
    let hub = ScriptedHub::start();
    hub.publish("org/tales", &files.each_ref().map(|(name, content)| (*name, content.as_slice())));
    hub.publish(
        "org/foreign",
        &[("config.json", br#"{"model_type": "bert"}"#), ("tokenizer.json", b"{}"), (WEIGHTS, b"weights")],
    );
    hub
}

fn run(hub: &ScriptedHub, folder: &Path, arguments: &[&str]) -> Ended {
    run_to_the_end(tertulia(folder, arguments, &[("HF_ENDPOINT", hub.url())]))
}

#[test]
fn a_model_is_fetched_once_listed_generated_with_and_removed() {
    let (hub, folder) = (hub(), tempfile::tempdir().unwrap());
    let pulled = run(&hub, folder.path(), &["models", "pull", "org/tales"]);
    assert!(pulled.status.success(), "{}", pulled.stderr);
    assert!(pulled.stdout.starts_with("org/tales (main) is here: "), "{}", pulled.stdout);
    assert!(pulled.stderr.contains("fetching org/tales: 100 % of 5."), "no terminal, so lines: {}", pulled.stderr);
    assert!(folder.path().join("data/models/hub/models--org--tales/refs/main").is_file());

    let again = run(&hub, folder.path(), &["models", "pull", "org/tales"]);
    assert!(again.status.success() && again.stderr.is_empty(), "{}", again.stderr);
    assert_eq!(hub.fetches_of(WEIGHTS).len(), 1, "the second time is free");

    let asked = hub.requests().len();
    let listed = run(&hub, folder.path(), &["models", "list"]);
    let row: Vec<&str> = listed.stdout.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((row[0], row[1], row[4]), ("org/tales", "main", "yes"), "{}", listed.stdout);
    let arguments = ["generate", "--model", "org/tales", "--max-new-tokens", "8", "--seed", "7", "Once upon a time"];
    let text = run(&hub, folder.path(), &arguments);
    let same = run(&hub, folder.path(), &["generate", "--max-new-tokens", "8", "--seed", "7", "Once upon a time"]);
    assert!(text.status.success() && text.stdout.len() > 20, "{}", text.stderr);
    assert_eq!(text.stdout, same.stdout, "it is the bundled model");
    assert_eq!(hub.requests().len(), asked, "what is here asks nobody");

    assert!(run(&hub, folder.path(), &["models", "remove", "org/tales"]).status.success());
    let gone = run(&hub, folder.path(), &["models", "remove", "org/tales"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(gone.stderr.contains("models list") && gone.stderr.lines().count() == 1, "{}", gone.stderr);
    assert!(run(&hub, folder.path(), &["models", "list"]).stderr.contains("models pull"));
}

#[test]
fn generate_fetches_a_model_that_is_not_here() {
    let (hub, folder) = (hub(), tempfile::tempdir().unwrap());
    let text = run(&hub, folder.path(), &["generate", "--model", "org/tales", "--max-new-tokens", "4", "Once"]);
    assert!(text.status.success() && text.stdout.starts_with("Once"), "{}", text.stderr);
    assert!(text.stderr.contains("fetching org/tales: 100 %"), "{}", text.stderr);
}

#[test]
fn a_fetch_that_is_killed_in_the_middle_is_taken_up_where_it_was() {
    let (hub, folder) = (hub(), tempfile::tempdir().unwrap());
    hub.fail(WEIGHTS, [HubFault::StallAfter(3 << 20)]);
    let command = &mut tertulia(folder.path(), &["models", "pull", "org/tales"], &[("HF_ENDPOINT", hub.url())]);
    let mut killed: Child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let blobs = folder.path().join("data/models/hub/models--org--tales/blobs");
    let unfinished = || -> u64 {
        let Ok(entries) = std::fs::read_dir(&blobs) else { return 0 };
        let sizes = entries.flatten().filter(|entry| entry.path().extension().is_some_and(|end| end == "incomplete"));
        sizes.map(|entry| entry.metadata().map_or(0, |data| data.len())).max().unwrap_or(0)
    };
    while unfinished() < 2 << 20 {
        assert!(killed.try_wait().unwrap().is_none(), "it waits for the hub");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(run(&hub, folder.path(), &["models", "list"]).stdout.is_empty(), "it is not here before it is whole");
    let taken_up = run(&hub, folder.path(), &["models", "pull", "org/tales"]);
    assert!(taken_up.status.success(), "{}", taken_up.stderr);
    let ranges: Vec<_> = hub.fetches_of(WEIGHTS).into_iter().map(|request| request.range).collect();
    assert!(ranges[0].is_none() && ranges[1].is_some(), "{ranges:?}");
}

#[test]
fn what_cannot_be_fetched_is_told_in_one_line_with_what_to_do() {
    let (hub, folder) = (hub(), tempfile::tempdir().unwrap());
    for (arguments, told) in [
        (&["models", "pull", "org/absent"][..], "check the name, or set HF_TOKEN"),
        (&["models", "pull", "org/tales@v9"], "no revision v9"),
        (&["models", "pull", "org/foreign"], "model_type \"bert\" is not supported"),
        (&["models", "pull", "bundled:fairy-tales"], "must be a model of the hub"),
        (&["generate", "--model", "org/foreign", "Once"], "\"bert\""),
    ] {
        let ended = run(&hub, folder.path(), arguments);
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}");
        assert!(ended.stderr.contains(told) && ended.stderr.lines().count() == 1, "{arguments:?}: {}", ended.stderr);
    }
    assert!(hub.fetches_of(WEIGHTS).is_empty());
}

#[test]
fn a_token_opens_a_private_model_and_is_told_to_nobody_else() {
    let (hub, folder) = (hub(), tempfile::tempdir().unwrap());
    hub.make_private("org/tales", "hf_secret");
    let refused = run(&hub, folder.path(), &["models", "pull", "org/tales"]);
    assert!(refused.stderr.contains("HF_TOKEN is not set"), "{}", refused.stderr);
    let settings = [("HF_ENDPOINT", hub.url()), ("HF_TOKEN", "hf_secret"), ("LOG_LEVEL", "trace")];
    let pulled = run_to_the_end(tertulia(folder.path(), &["models", "pull", "org/tales"], &settings));
    assert!(pulled.status.success(), "{}", pulled.stderr);
    assert!(!pulled.stderr.contains("hf_secret"), "not even in the most detailed log");
    let to_second = hub.requests().into_iter().filter(|request| request.to_second_host);
    assert!(to_second.inspect(|request| assert_eq!(request.authorization, None)).count() > 0);
}

#[tokio::test]
async fn a_server_starts_on_a_model_that_it_fetches_first() {
    let hub = hub();
    let server = Server::start(&[("HF_ENDPOINT", hub.url()), ("LLM_ID", "org/tales")]);
    let ana = server.newcomer("ana").await;
    let models = ana.get("/models").await;
    assert_eq!(models.body["items"][0]["llm"], "org/tales");
    let text = ana.post("/text_generations", &json!({"prompt": "Once upon a time", "max_new_tokens": 4})).await;
    assert_eq!(text.status, 201, "{text:?}");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(server.folder.path().join("data")).unwrap());
    assert_eq!(mode & 0o777, 0o700, "the data folder is its owner's alone, whoever made it first");
}

#[tokio::test]
async fn an_admin_fetches_a_model_while_the_server_runs() {
    let hub = hub();
    let server = Server::start(&[("HF_ENDPOINT", hub.url())]);
    let (admin, ana) = (server.newcomer("admin").await, server.newcomer("ana").await);
    assert_eq!(admin.post("/models/tales", &json!({"llm": "org/tales"})).await.status, 201);
    let ask = async || ana.post("/text_generations", &json!({"prompt": "Once", "max_new_tokens": 4, "model": "tales"})).await;
    let absent = ask().await;
    assert_eq!(absent.status, 503, "{absent:?}");
    assert!(absent.text.contains("POST /models/pull") && absent.text.contains("tertulia models pull"), "{}", absent.text);

    let pull = async |caller: &crate::support::Caller, llm: &str| {
        Answer::of(caller.request(Method::POST, "/models/pull").json(&json!({"llm": llm}))).await
    };
    assert_eq!(pull(&ana, "org/tales").await.status, 403);
    assert_eq!(pull(&admin, "org/absent").await.status, 404);
    assert_eq!(pull(&admin, "org/foreign").await.status, 400);
    let pulled = pull(&admin, "org/tales").await;
    assert_eq!(pulled.status, 200, "{pulled:?}");
    assert!(
        pulled.text.contains(r#"data: {"file":"#) && pulled.text.contains("event: done\ndata: {\"name\":\"org/tales\""),
        "{}",
        pulled.text
    );
    assert!(!pulled.text.contains(server.folder.path().to_str().unwrap()), "no folder is told");
    assert_eq!(ask().await.status, 201);
    let audited = admin.get("/admin/audit?action=model.fetched").await;
    assert_eq!(audited.body["items"].as_array().unwrap().len(), 1, "{audited:?}");
}

#[tokio::test]
async fn a_connection_that_is_dropped_stops_its_fetch_and_a_server_that_stops_does_not_wait_for_one() {
    let hub = hub();
    let mut server =
        Server::start(&[("HF_ENDPOINT", hub.url()), ("STREAM_HEARTBEAT_SECONDS", "1"), ("SHUTDOWN_GRACE_SECONDS", "30")]);
    let admin = server.newcomer("admin").await;
    hub.fail(WEIGHTS, [HubFault::StallAfter(1 << 20), HubFault::StallAfter(1 << 20)]);
    let begin = async || {
        let request = admin.request(Method::POST, "/models/pull").json(&json!({"llm": "org/tales"}));
        let mut response = request.send().await.unwrap();
        response.chunk().await.unwrap();
        response
    };
    let fetches = || hub.fetches_of(WEIGHTS).len();
    let first = begin().await;
    eventually("the fetch of the weights", async || (fetches() == 1).then_some(())).await;
    drop(first);
    // The second can only begin once the first has given the model back.
    let mut second = begin().await;
    eventually("the second fetch", async || (fetches() == 2).then_some(())).await;
    let (status, taken) = server.stop();
    assert!(status.success() && taken.as_secs() < 20, "{taken:?}");
    let mut rest = Vec::new();
    while let Ok(Some(part)) = second.chunk().await {
        rest.extend_from_slice(&part);
    }
    let rest = String::from_utf8(rest).unwrap();
    assert!(rest.contains("event: error") && rest.contains("stopping"), "{rest}");
}

#[test]
fn a_machine_without_certificates_of_authorities_starts_and_says_what_https_needs() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        [("HF_ENDPOINT", "https://127.0.0.1:1"), ("SSL_CERT_FILE", "/nowhere/file"), ("SSL_CERT_DIR", "/nowhere/folder")];
    let listed = run_to_the_end(tertulia(folder.path(), &["models", "list"], &settings));
    assert!(listed.status.success(), "{}", listed.stderr);
    let pulled = run_to_the_end(tertulia(folder.path(), &["models", "pull", "gpt2"], &settings));
    assert!(pulled.stderr.contains("ca-certificates") && pulled.stderr.lines().count() == 1, "{}", pulled.stderr);
}
