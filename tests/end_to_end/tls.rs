//! HTTPS by the process itself.

use std::path::Path;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use reqwest::StatusCode;
use serde_json::json;

use crate::support::{PATIENCE, Server, eventually, run_to_the_end, tertulia};

const FILES: [(&str, &str); 2] = [("TLS_CERT_FILE", "tls.crt"), ("TLS_KEY_FILE", "tls.key")];

/// Puts a fresh self-signed certificate into the folder, and answers a client that trusts this one and no other.
fn put_certificate(folder: &Path) -> reqwest::Client {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(folder.join("tls.crt"), cert.pem()).unwrap();
    std::fs::write(folder.join("tls.key"), signing_key.serialize_pem()).unwrap();
    let trusted = reqwest::Certificate::from_pem(cert.pem().as_bytes()).unwrap();
    reqwest::Client::builder().no_proxy().timeout(PATIENCE).tls_certs_only([trusted]).build().unwrap()
}

#[tokio::test]
async fn a_certificate_is_served_replaced_on_sighup_and_kept_where_the_new_one_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let first = put_certificate(folder.path());
    let server = Server::start_in(folder, &FILES);
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    let ana = server.anonymous_by(first.clone());
    let registered = ana.post("/users", &json!({"username": "ana", "password": "correct horse battery"})).await;
    assert_eq!(registered.status, StatusCode::CREATED, "{registered:?}");

    let second = put_certificate(server.folder.path());
    let reaches = async |client: &reqwest::Client| client.get(format!("{}/healthz", server.url)).send().await.is_ok();
    assert!(!reaches(&second).await, "files alone change nothing");
    server.signal("-HUP");
    eventually("the new certificate is served", async || reaches(&second).await.then_some(())).await;
    assert!(reaches(&first).await, "a connection that was open goes on");

    std::fs::write(server.folder.path().join("tls.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    server.signal("-HUP");
    eventually("the log says what is wrong", async || server.log().contains("tls.key is not the key of tls.crt").then_some(()))
        .await;
    let newcomer = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(&std::fs::read(server.folder.path().join("tls.crt")).unwrap()).unwrap()]);
    assert!(reaches(&newcomer.build().unwrap()).await, "what was current is served on");
}

#[test]
fn files_that_make_no_certificate_are_refused_in_one_line_that_names_them() {
    let folder = tempfile::tempdir().unwrap();
    put_certificate(folder.path());
    let other_key = KeyPair::generate().unwrap().serialize_pem();
    std::fs::write(folder.path().join("other.key"), other_key).unwrap();
    std::fs::write(folder.path().join("empty"), "").unwrap();
    for (certificate, key, problem) in [
        ("tls.crt", "nowhere", "TLS_KEY_FILE: nowhere is not there"),
        ("nowhere", "tls.key", "TLS_CERT_FILE: nowhere is not there"),
        ("empty", "tls.key", "TLS_CERT_FILE: empty holds no certificate in PEM format"),
        ("tls.crt", "tls.crt", "TLS_KEY_FILE: tls.crt holds no private key in PEM format"),
        ("tls.crt", "other.key", "TLS_KEY_FILE: other.key is not the key of tls.crt"),
        ("tls.crt", "", "TLS_KEY_FILE: must be set too"),
    ] {
        let settings = [("TLS_CERT_FILE", certificate), ("TLS_KEY_FILE", key)];
        let ended = run_to_the_end(tertulia(folder.path(), &["serve"], &settings));
        assert_eq!(ended.status.code(), Some(1), "{problem}: {}{}", ended.stdout, ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        assert!(ended.stderr.contains(problem), "{problem}: {}", ended.stderr);
        assert!(!folder.path().join("data").exists(), "nothing is written");
    }
}

#[tokio::test]
async fn a_health_check_asks_the_server_of_its_settings_over_tls_too() {
    let check = |url: &str, arguments: &[&str], tls: bool| {
        let folder = tempfile::tempdir().unwrap();
        put_certificate(folder.path());
        let port = url.rsplit(':').next().unwrap().to_owned();
        let mut settings = vec![("HOST", "0.0.0.0"), ("PORT", port.as_str())];
        settings.extend(tls.then_some(FILES).into_iter().flatten());
        run_to_the_end(tertulia(folder.path(), &[&["healthcheck"], arguments].concat(), &settings))
    };
    let plain = Server::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    put_certificate(folder.path());
    let encrypted = Server::start_in(folder, &FILES);
    for (server, tls) in [(&plain, false), (&encrypted, true)] {
        for arguments in [&[][..], &["--ready"]] {
            let checked = check(&server.url, arguments, tls);
            assert!(checked.status.success() && checked.stderr.is_empty(), "{}", checked.stderr);
        }
    }
    let url = plain.url.clone();
    drop(plain);
    let checked = check(&url, &[], false);
    assert_eq!(checked.status.code(), Some(1));
    assert!(
        checked.stderr.contains("/healthz does not answer") && checked.stderr.trim().lines().count() == 1,
        "{}",
        checked.stderr
    );
}
