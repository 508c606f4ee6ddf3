//! Taking everything along.

use std::process::Command;

use actix_web::test::read_body;
use serde_json::{Value, json};

use crate::support::{World, to, with_token};

#[actix_web::test]
async fn everything_of_the_caller_and_nothing_of_anybody_else_is_in_the_archive() {
    let world = World::new().await;
    let (admin, ana) = (world.sign_in("admin").await, world.sign_in("ana").await);
    let request = json!({"prompt": "Once upon a time"});
    world.call_json("POST", "/text_generations", admin.token(), request.clone()).await;
    for _ in 0..205 {
        world.call_json("POST", "/text_generations", ana.token(), request.clone()).await;
    }
    let key = world.key_of(&ana, &["text"]).await;
    for (user, message) in [(&ana, "Mine"), (&admin, "Theirs")] {
        world.call_json("POST", "/chat/stream", user.token(), json!({"message": message})).await;
    }

    let response = world.open(with_token(to("GET", "/users/me/export"), ana.token())).await;
    assert_eq!(response.status(), 200);
    let disposition = response.headers().get("content-disposition").unwrap();
    assert_eq!(disposition, "attachment; filename=\"tertulia-export.zip\"");
    let files = unzipped(&read_body(response).await);

    let texts = lines(&files["text_generations.jsonl"]);
    assert_eq!(texts.len(), 205, "more than a page");
    let listed = world.call("GET", "/text_generations?limit=1", ana.token()).await.json();
    assert_eq!(texts[0], listed["items"][0]);
    assert_eq!(lines(&files["account.jsonl"])[0]["username"], "ana");
    let conversations = lines(&files["conversations.jsonl"]);
    assert_eq!((conversations.len(), &conversations[0]["messages"][0]["content"]), (1, &json!("Mine")));
    assert_eq!(conversations[0]["messages"][1]["content"], " there was a king");
    assert_eq!(lines(&files["sessions.jsonl"]).len(), 1);
    assert_eq!(lines(&files["models.jsonl"]).len(), 1);
    assert_eq!(lines(&files["api_keys.jsonl"])[0]["name"], "a program");
    assert!(!files.to_string().contains(&key), "a key is shown once");

    let events = world.call("GET", "/admin/audit?action=account.exported", admin.token()).await.json();
    assert_eq!(events["items"].as_array().unwrap().len(), 1);
}

/// The files of an archive, as another program reads them.
fn unzipped(archive: &[u8]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.zip");
    std::fs::write(&path, archive).unwrap();
    let script = "import json, sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; \
                  print(json.dumps({n: z.read(n).decode() for n in z.namelist()}))";
    let output = Command::new("python3").args(["-c", script]).arg(&path).output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn lines(file: &Value) -> Vec<Value> {
    file.as_str().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
