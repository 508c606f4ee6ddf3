//! What an operator does without the web: accounts by the command line, and the audit log's check.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use reqwest::StatusCode;
use serde_json::json;

use crate::limits::log_in;
use crate::support::{Ended, PASSWORD, Server, run_to_the_end, tertulia};

fn run(folder: &Path, arguments: &[&str]) -> Ended {
    run_to_the_end(tertulia(folder, arguments, &[]))
}

/// `tertulia user create NAME`, with a password on its standard input.
fn create(folder: &Path, name: &str, password: &str) -> Ended {
    let mut command = tertulia(folder, &["user", "create", name], &[]);
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    writeln!(process.stdin.take().unwrap(), "{password}").unwrap();
    let output = process.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[tokio::test]
async fn accounts_are_made_and_managed_by_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let first = create(folder.path(), "ana", PASSWORD);
    assert_eq!((first.status.code(), first.stdout.as_str()), (Some(0), "ana admin enabled\n"), "{}", first.stderr);
    assert_eq!(create(folder.path(), "ben", PASSWORD).stdout, "ben user enabled\n");
    for (name, password, problem) in
        [("ben", PASSWORD, "already exists"), ("cleo", "short", "8"), ("cleo", &"x".repeat(80), "72")]
    {
        let refused = create(folder.path(), name, password);
        assert_eq!((refused.status.code(), refused.stderr.lines().count()), (Some(1), 1), "{}", refused.stderr);
        assert!(refused.stderr.contains(problem) && !refused.stderr.contains(password), "{}", refused.stderr);
    }

    let server = Server::start_in(folder, &[("REGISTRATION", "closed")]);
    let there = server.folder.path();
    let anonymous = server.anonymous();
    let closed = anonymous.post("/users", &json!({"username": "cleo", "password": PASSWORD})).await;
    assert_eq!((closed.status, closed.body["code"].as_str()), (StatusCode::FORBIDDEN, Some("E039")), "{closed:?}");
    let ben = server.sign_in("ben").await;
    assert_eq!(ben.get("/users").await.status, StatusCode::FORBIDDEN);
    assert_eq!(run(there, &["user", "promote", "ben"]).stdout, "ben admin enabled\n");
    assert_eq!(ben.get("/users/me").await.status, StatusCode::UNAUTHORIZED, "what a session was allowed, it no longer is");
    assert_eq!(server.sign_in("ben").await.get("/users").await.status, StatusCode::OK);
    assert_eq!(run(there, &["user", "disable", "ben"]).stdout, "ben admin disabled\n");
    assert_eq!(log_in(&anonymous, "ben", PASSWORD).await.body["code"], "E009");
    assert_eq!(run(there, &["user", "enable", "ben"]).stdout, "ben admin enabled\n");

    let issued = run(there, &["user", "reset-password", "ben"]);
    let reset = json!({"code": issued.stdout.trim(), "new_password": "another horse battery"});
    assert_eq!(anonymous.post("/auth/password-reset", &reset).await.status, StatusCode::NO_CONTENT, "{}", issued.stderr);
    assert_eq!(anonymous.post("/auth/password-reset", &reset).await.body["code"], "E038", "a code works once");
    assert_eq!(log_in(&anonymous, "ben", PASSWORD).await.body["code"], "E003");
    assert_eq!(log_in(&anonymous, "ben", "another horse battery").await.status, StatusCode::OK);
    let nobody = run(there, &["user", "promote", "nobody"]);
    assert_eq!((nobody.status.code(), nobody.stderr.lines().count()), (Some(1), 1), "{}", nobody.stderr);
}

#[tokio::test]
async fn an_invitation_lets_one_person_in_once() {
    let server = Server::start(&[("REGISTRATION", "invite")]);
    let admin = server.newcomer("admin").await;
    let anonymous = server.anonymous();
    let register = async |name: &str, invitation: Option<&str>| {
        let mut body = json!({"username": name, "password": PASSWORD});
        if let Some(code) = invitation {
            body["invitation"] = json!(code);
        }
        anonymous.post("/users", &body).await
    };
    assert_eq!(register("ben", None).await.body["code"], "E039");
    assert_eq!(register("ben", Some("made-up")).await.body["code"], "E038");
    let invitation = admin.post("/admin/invitations", &json!({})).await;
    assert_eq!(invitation.status, StatusCode::CREATED, "{invitation:?}");
    let code = invitation.body["code"].as_str().unwrap();
    let ben = register("ben", Some(code)).await;
    assert_eq!((ben.status, ben.body["role"].as_str()), (StatusCode::CREATED, Some("user")), "{ben:?}");
    assert_eq!(register("cleo", Some(code)).await.body["code"], "E038");
    assert!(!server.log().contains(code));
}

#[tokio::test]
async fn the_audit_log_tells_who_did_what_and_shows_when_it_was_tampered_with() {
    let server = Server::start(&[]);
    let admin = server.newcomer("admin").await;
    assert_eq!(log_in(&server.anonymous(), "admin", "a wrong password").await.status, StatusCode::UNAUTHORIZED);
    let events = admin.get("/admin/audit").await;
    for action in ["account.registered", "session.signed_in", "session.sign_in_failed"] {
        assert!(events.text.contains(&format!("\"{action}\"")), "{action}: {}", events.text);
    }
    let folder = server.folder.path();
    let intact = run(folder, &["audit", "verify"]);
    assert!(intact.status.success() && intact.stdout.starts_with("intact: "), "{}{}", intact.stdout, intact.stderr);

    let path = folder.join("data/database.db");
    let mut database = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    let cover_up = "UPDATE audit_events SET detail = 'nothing to see' WHERE action = 'session.sign_in_failed'";
    assert!(database.batch_execute(cover_up).is_err(), "the table itself refuses it");
    database.batch_execute(&format!("PRAGMA busy_timeout = 10000; DROP TRIGGER audit_events_refuse_update; {cover_up}")).unwrap();
    let broken = run(folder, &["audit", "verify"]);
    assert_eq!((broken.status.code(), broken.stderr.lines().count()), (Some(1), 1), "{}", broken.stderr);
    assert!(broken.stderr.contains("the audit log is broken at event "), "{}", broken.stderr);
}
