//! What is particular to S3, against a real server that speaks its protocol and checks every signature.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use adapters_storage::{S3Config, S3Storage};
use bytes::Bytes;
use domain::{ObjectKey, Timestamp};
use ports::{ObjectStorage, StoreError};
use tokio::net::TcpListener;

use crate::loopback_s3::{ACCESS_KEY, BUCKET, LoopbackS3, SECRET_KEY};

/// A bucket of a server of its own. The server ends with it.
pub(crate) struct Bucket {
    storage: Arc<dyn ObjectStorage>,
    config: S3Config,
    server: LoopbackS3,
}

impl Deref for Bucket {
    type Target = Arc<dyn ObjectStorage>;

    fn deref(&self) -> &Self::Target {
        &self.storage
    }
}

pub(crate) async fn an_empty_bucket() -> Bucket {
    let server = LoopbackS3::start().await;
    let config = S3Config {
        endpoint: Some(server.endpoint.clone()),
        region: "us-east-1".into(),
        bucket: BUCKET.into(),
        access_key_id: ACCESS_KEY.into(),
        secret_access_key: SECRET_KEY.into(),
        path_style: true,
    };
    Bucket { storage: Arc::new(S3Storage::new(&config).unwrap()), config, server }
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).unwrap()
}

async fn fetch(url: &str) -> (u16, String, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client.get(url).send().await.unwrap();
    let content_type = response.headers().get("content-type").map_or("", |value| value.to_str().unwrap()).to_owned();
    (response.status().as_u16(), content_type, response.text().await.unwrap())
}

#[tokio::test]
async fn a_signed_url_opens_its_object_to_anybody_and_no_other() {
    let bucket = an_empty_bucket().await;
    for name in ["tale", "other"] {
        let mut upload = bucket.begin(&key(name), "audio/mpeg").await.unwrap();
        upload.write(Bytes::copy_from_slice(name.as_bytes())).await.unwrap();
        upload.finish().await.unwrap();
    }
    let now = Timestamp::from(std::time::SystemTime::now());
    let url = bucket.signed_url(&key("tale"), now, Duration::from_mins(1)).await.unwrap();
    assert!(url.starts_with(bucket.config.endpoint.as_deref().unwrap()), "{url}");
    assert_eq!(fetch(&url).await, (200, "audio/mpeg".into(), "tale".into()));
    assert_eq!(fetch(&url.replace("/tale", "/other")).await.0, 403, "another object");
    assert_eq!(fetch(&with_another_signature(&url)).await.0, 403, "a changed byte");
    assert!(fetch(&url.replace("Expires=60", "Expires=6000")).await.0 >= 400, "a longer time");
    let short = bucket.signed_url(&key("tale"), now, Duration::from_secs(1)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert!(fetch(&short).await.0 >= 400, "its time is over");
}

/// The same URL with another first digit in its signature.
fn with_another_signature(url: &str) -> String {
    let (head, signature) = url.split_once("Signature=").unwrap();
    let digit = if signature.starts_with('0') { '1' } else { '0' };
    format!("{head}Signature={digit}{}", &signature[1..])
}

#[tokio::test]
async fn a_wrong_key_is_told_without_the_secret() {
    let bucket = an_empty_bucket().await;
    let wrong_key = S3Config { secret_access_key: "another-secret".into(), ..bucket.config.clone() };
    let storage = S3Storage::new(&wrong_key).unwrap();
    let upload = storage.begin(&key("a"), "text/plain").await.unwrap();
    let error = upload.finish().await.unwrap_err();
    assert!(!error.to_string().contains("another-secret") && !error.to_string().contains('\n'), "{error}");
    let StoreError::Unavailable(told) = &error else { panic!("{error:?}") };
    assert!(told.contains("S3_ACCESS_KEY_ID") && told.contains("S3_SECRET_ACCESS_KEY"), "{told}");
    assert!(!format!("{wrong_key:?}").contains("another-secret"));
    let kept = std::fs::read_dir(bucket.server.place.path().join(BUCKET)).unwrap();
    assert_eq!(kept.count(), 0);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let bucket = an_empty_bucket().await;
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let config = S3Config { endpoint: Some(format!("http://127.0.0.1:{port}")), ..bucket.config.clone() };
    let error = S3Storage::new(&config).unwrap().info(&key("a")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
}
