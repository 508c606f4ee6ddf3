//! The crates' edges and the project's absences, checked by a machine: what `docs/ARCHITECTURE.md` says must hold here.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// What a crate may depend on. Tests may use more: only what ends up in the binary counts.
struct Rule {
    /// Crates of the workspace.
    own: &'static [&'static str],
    foreign: Foreign,
}

enum Foreign {
    /// These and no other.
    Only(&'static [&'static str]),
    /// Any but these and what begins with one of them.
    AnyBut(&'static [&'static str]),
}

use Foreign::{AnyBut, Only};

/// No adapter serves the web; that is `api`'s, and `app` joins them.
const ADAPTER: Rule = Rule { own: &["domain", "ports"], foreign: AnyBut(&["actix", "utoipa", "clap", "dotenvy"]) };

fn rule(name: &str) -> Rule {
    match name {
        "domain" => Rule { own: &[], foreign: Only(&["chrono", "thiserror", "uuid"]) },
        "ports" => Rule {
            own: &["domain"],
            foreign: Only(&["async-trait", "bytes", "chrono", "futures-core", "mockall", "thiserror", "uuid"]),
        },
        "services" => Rule {
            own: &["domain", "ports"],
            foreign: Only(&["bytes", "chrono", "futures-util", "thiserror", "tracing", "uuid"]),
        },
        "api" => Rule {
            own: &["domain", "ports", "services"],
            foreign: AnyBut(&[
                "diesel",
                "libsqlite3-sys",
                "pq-sys",
                "ort",
                "tokenizers",
                "reqwest",
                "bcrypt",
                "jsonwebtoken",
                "clap",
                "dotenvy",
            ]),
        },
        "test-support" => Rule { own: &["domain", "ports"], foreign: AnyBut(&["actix", "diesel", "ort"]) },
        "tertulia" => Rule {
            own: &[
                "adapters-auth",
                "adapters-db",
                "adapters-hub",
                "adapters-limits",
                "adapters-ml",
                "adapters-pictures",
                "adapters-providers",
                "adapters-speech",
                "adapters-storage",
                "api",
                "domain",
                "ports",
                "services",
            ],
            foreign: AnyBut(&["diesel", "ort", "tokenizers", "bcrypt", "jsonwebtoken"]),
        },
        adapter if adapter.starts_with("adapters-") => ADAPTER,
        unknown => panic!("the crate {unknown} has no rule: add one here and to the table of docs/ARCHITECTURE.md"),
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn packages() -> Vec<Package> {
    MetadataCommand::new().current_dir(root()).no_deps().other_options(["--offline".to_owned()]).exec().unwrap().packages
}

#[test]
fn every_crate_depends_only_on_what_its_layer_allows() {
    let packages = packages();
    let own: BTreeSet<String> = packages.iter().map(|package| package.name.to_string()).collect();
    let mut broken = Vec::new();
    for package in &packages {
        let rule = rule(&package.name);
        for dependency in package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development) {
            let name = dependency.name.as_str();
            let allowed = if own.contains(name) {
                rule.own.contains(&name)
            } else {
                match rule.foreign {
                    Only(names) => names.contains(&name),
                    AnyBut(names) => !names.iter().any(|banned| name == *banned || name.starts_with(&format!("{banned}-"))),
                }
            };
            if !allowed {
                broken.push(format!("{} must not depend on {name}", package.name));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The lines of every source file of the crates, less comments and the tests at a file's end.
fn source_lines(crates: &[&str]) -> BTreeMap<PathBuf, Vec<String>> {
    let mut files = BTreeMap::new();
    let mut folders: Vec<PathBuf> = crates.iter().map(|name| root().join("crates").join(name).join("src")).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let (code, _tests) = text.split_once("\n#[cfg(test)]\nmod tests {").unwrap_or((&text, ""));
                let code = code.lines().filter(|line| !line.trim_start().starts_with("//")).map(str::to_owned).collect();
                files.insert(path, code);
            }
        }
    }
    files
}

/// `file: line` for each line that contains one of the words.
fn occurrences(crates: &[&str], words: &[&str]) -> Vec<String> {
    let found = |line: &&String| words.iter().any(|word| line.contains(word));
    source_lines(crates)
        .iter()
        .flat_map(|(path, lines)| lines.iter().filter(found).map(move |line| format!("{}: {}", path.display(), line.trim())))
        .collect()
}

fn crates_except(left_out: &[&str]) -> Vec<String> {
    let folders = std::fs::read_dir(root().join("crates")).unwrap();
    folders
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !left_out.contains(&name.as_str()))
        .collect()
}

#[test]
fn the_environment_is_read_by_the_app_alone() {
    // The fakes and the test database serve tests, which have settings of their own.
    let crates = crates_except(&["app", "test-support"]);
    let crates: Vec<&str> = crates.iter().map(String::as_str).collect();
    assert_eq!(occurrences(&crates, &["std::env::", "env::var", "dotenvy"]), Vec::<String>::new());
    let in_app: Vec<String> = occurrences(&["app"], &["env::var", "dotenvy"]);
    assert!(in_app.iter().all(|line| line.contains("/config/")), "{in_app:#?}");
}

#[test]
fn the_middle_knows_no_clock_no_chance_and_no_runtime() {
    let words = ["Utc::now", "SystemTime::now", "Instant::now", "now_v7", "new_v4", "rand::", "tokio::", "std::fs", "std::net"];
    assert_eq!(occurrences(&["domain", "ports", "services"], &words), Vec::<String>::new());
}

#[test]
fn handlers_hold_no_sql_and_adapters_no_routes() {
    assert_eq!(occurrences(&["api"], &["diesel::", "sql_query", "SELECT ", "INSERT INTO"]), Vec::<String>::new());
    let adapters = crates_except(&["api", "app"]);
    let adapters: Vec<&str> = adapters.iter().map(String::as_str).collect();
    assert_eq!(occurrences(&adapters, &["actix_web", "HttpResponse"]), Vec::<String>::new());
}

#[test]
fn the_database_leaves_the_async_threads_in_one_place() {
    let places = occurrences(&["adapters-db"], &["spawn_blocking("]);
    assert!(places.len() <= 1, "DbPool::run alone may call spawn_blocking: {places:#?}");
}

#[test]
fn no_source_file_grows_beyond_what_can_be_read_at_once() {
    const MOST_LINES: usize = 400;
    // A contract is a list of stories: as long as there are stories.
    let crates = crates_except(&["test-support"]);
    let crates: Vec<&str> = crates.iter().map(String::as_str).collect();
    let long: Vec<String> = source_lines(&crates)
        .iter()
        .filter(|(path, lines)| lines.len() > MOST_LINES && !path.ends_with("schema.rs"))
        .map(|(path, lines)| format!("{}: {} lines", path.display(), lines.len()))
        .collect();
    assert!(long.is_empty(), "split at a concept: {long:#?}");
}
