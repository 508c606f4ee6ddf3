//! What cannot work is refused at the start: one clear line, exit code 1, and nothing written.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use crate::support::{run_to_the_end, tertulia};

/// Every file below a folder, with its content.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files.insert(path.clone(), Vec::new());
                folders.push(path);
            } else {
                files.insert(path.clone(), std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

#[track_caller]
fn assert_refused_in(folder: &Path, settings: &[(&str, &str)], problem: &str) {
    assert_command_refused_in(folder, &["serve"], settings, problem);
}

#[track_caller]
fn assert_command_refused_in(folder: &Path, arguments: &[&str], settings: &[(&str, &str)], problem: &str) {
    let before = contents(folder);
    let ended = run_to_the_end(tertulia(folder, arguments, settings));
    assert_eq!(ended.status.code(), Some(1), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.stdout, "");
    assert_eq!(ended.stderr.lines().count(), 1, "one line: {}", ended.stderr);
    assert!(ended.stderr.starts_with("tertulia: ") && ended.stderr.contains(problem), "{}", ended.stderr);
    assert!(contents(folder) == before, "nothing is written: {:?}", contents(folder).keys());
}

#[track_caller]
fn assert_refused(settings: &[(&str, &str)], problem: &str) {
    assert_refused_in(tempfile::tempdir().unwrap().path(), settings, problem);
}

#[test]
fn a_port_that_is_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    assert_refused(&[("PORT", &port)], &format!("cannot listen on 127.0.0.1:{port}"));
}

#[test]
fn a_data_folder_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("not-a-folder");
    std::fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        assert_refused_in(folder.path(), &[("DATA_DIR", path.to_str().unwrap())], "DATA_DIR");
    }
}

#[test]
fn a_setting_that_cannot_be_used() {
    assert_refused(
        &[("PORT", "eight thousand")],
        "PORT: \"eight thousand\" is not allowed: must be a whole number between 0 and 65535",
    );
    assert_refused(&[("SECRET_KEY", "short")], "SECRET_KEY: a key has 5 bytes");
    assert_refused(&[("LLM_ID", "ftp:x")], "LLM_ID: \"ftp:x\" is not allowed");
    assert_refused(&[("REDIS_URL", "http://redis")], "REDIS_URL: must be redis://");
    assert_refused(&[("REDIS_URL", "rediss://redis")], "REDIS_URL: must not be rediss://");
}

#[test]
fn a_wrong_database_url() {
    assert_refused(&[("DATABASE_URL", "mysql://root@localhost/x")], "DATABASE_URL");
    assert_refused(&[("DATABASE_URL", "sqlite:///nowhere/at/all/x.db")], "/nowhere/at/all");
    let refusing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("postgres://ana:hunter22@{refusing}/texts");
    let folder = tempfile::tempdir().unwrap();
    assert_refused_in(folder.path(), &[("DATABASE_URL", &url)], "cannot open the database postgres://ana@");
    let ended = run_to_the_end(tertulia(folder.path(), &["serve"], &[("DATABASE_URL", &url)]));
    assert!(!ended.stderr.contains("hunter22"), "{}", ended.stderr);
}

#[test]
fn a_file_that_is_no_database() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("letter.txt"), "Dear Ana, this is no database at all.").unwrap();
    assert_refused_in(folder.path(), &[("DATABASE_URL", "sqlite://letter.txt")], "letter.txt");
}

#[test]
fn a_database_that_is_not_up_to_date_where_migrating_is_forbidden() {
    let folder = tempfile::tempdir().unwrap();
    assert_command_refused_in(folder.path(), &["serve", "--no-migrate"], &[], "tertulia migrate");
}

/// A copy of the bundled model, to be spoilt.
fn copied_model(folder: &Path) -> PathBuf {
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/fairy-tales");
    let copy = folder.join("model");
    std::fs::create_dir(&copy).unwrap();
    for name in ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"] {
        if bundled.join(name).exists() {
            std::fs::copy(bundled.join(name), copy.join(name)).unwrap();
        }
    }
    copy
}

#[test]
fn a_model_folder_that_is_not_there_or_has_no_model() {
    assert_refused(&[("LLM_ID", "file:/nowhere/model")], "/nowhere/model");
    assert_refused(&[("LLM_ID", "bundled:no-such-tales")], "no-such-tales");
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    assert_refused_in(folder.path(), &[("LLM_ID", "file:empty")], "empty");
}

#[test]
fn a_foreign_model_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let model = copied_model(folder.path());
    std::fs::write(model.join("config.json"), r#"{"model_type": "bert", "hidden_size": 768}"#).unwrap();
    assert_refused_in(folder.path(), &[("LLM_ID", "file:model")], "bert");
}

#[test]
fn a_corrupt_model_is_refused_by_its_file() {
    for (name, spoil) in [
        ("model.safetensors", (|bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2)) as fn(&mut Vec<u8>)),
        ("model.safetensors", |bytes| bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes())),
        ("config.json", |bytes| bytes.truncate(10)),
        ("tokenizer.json", |bytes| bytes.truncate(10)),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = copied_model(folder.path()).join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        spoil(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        assert_refused_in(folder.path(), &[("LLM_ID", "file:model")], name);
    }
}

#[test]
fn a_secret_key_that_was_cut_short() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(folder.path().join("data/secret.key"), "abc\n").unwrap();
    assert_refused_in(folder.path(), &[], "secret.key");
}
