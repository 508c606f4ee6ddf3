//! The commands that need no server.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Ended, run_to_the_end, tertulia};

fn run(arguments: &[&str], settings: &[(&str, &str)]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let ended = run_to_the_end(tertulia(folder.path(), arguments, settings));
    if arguments.first() != Some(&"migrate") {
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is written");
    }
    ended
}

#[test]
fn generate_writes_a_text_to_the_terminal_without_a_server_or_an_account() {
    let arguments = ["generate", "Once upon a time", "--max-new-tokens", "20", "--seed", "7"];
    let (first, second) = (run(&arguments, &[]), run(&arguments, &[]));
    assert!(first.status.success(), "{}", first.stderr);
    assert!(first.stdout.starts_with("Once upon a time") && first.stdout.len() > 40, "{}", first.stdout);
    assert_eq!(first.stdout, second.stdout, "the same seed gives the same text");
    assert!(first.stderr.contains("seed 7"), "{}", first.stderr);
    assert_ne!(run(&["generate", "Once upon a time", "--max-new-tokens", "20", "--seed", "8"], &[]).stdout, first.stdout);
}

#[test]
fn generate_reads_its_prompt_from_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = tertulia(folder.path(), &["generate", "-", "--max-new-tokens", "5"], &[]);
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    process.stdin.take().unwrap().write_all("Érase una vez\n".as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("Érase una vez"));
}

#[test]
fn generate_refuses_what_no_model_can_do_in_one_line() {
    for (arguments, problem) in [
        (&["generate", "  "][..], "Prompt cannot be empty"),
        (&["generate", "x", "--temperature", "3"], "temperature must be between 0 and 2"),
        (&["generate", "x", "--model", "file:/nowhere"], "/nowhere"),
        (&["generate", "x", "--model", "ftp:x"], "bundled:"),
    ] {
        let ended = run(arguments, &[]);
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}");
        assert!(ended.stderr.contains(problem) && ended.stderr.trim().lines().count() == 1, "{arguments:?}: {}", ended.stderr);
    }
}

#[test]
fn openapi_prints_the_document_also_where_a_setting_is_wrong() {
    let ended = run(&["openapi"], &[("PORT", "not a port")]);
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(document["paths"]["/text_generations"]["post"].is_object());
}

#[test]
fn migrate_makes_the_tables_once_and_does_nothing_the_second_time() {
    let folder = tempfile::tempdir().unwrap();
    let migrate = || run_to_the_end(tertulia(folder.path(), &["migrate"], &[]));
    let (first, second) = (migrate(), migrate());
    assert!(first.status.success() && first.stdout.contains("migrated "), "{}{}", first.stdout, first.stderr);
    assert!(folder.path().join("data/database.db").is_file());
    assert!(second.status.success() && !second.stdout.contains("migrated "), "{}", second.stdout);
    assert!(second.stdout.contains("up to date"), "{}", second.stdout);
}

#[test]
fn help_teaches_every_command_by_example() {
    for command in [&["--help"][..], &["serve", "--help"], &["generate", "--help"]] {
        let help = run(command, &[]);
        assert!(help.status.success() && help.stdout.contains("Examples:"), "{command:?}: {}", help.stdout);
    }
    assert_eq!(run(&["dance"], &[]).status.code(), Some(2));
}
