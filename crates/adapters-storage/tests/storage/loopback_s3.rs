//! A real S3 server in this process, which checks every signature. The end-to-end stories use it too.

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub(crate) const BUCKET: &str = "tales";
pub(crate) const ACCESS_KEY: &str = "a-key";
pub(crate) const SECRET_KEY: &str = "a-secret";

/// A server with one empty bucket. It ends when this is dropped.
pub(crate) struct LoopbackS3 {
    pub(crate) endpoint: String,
    /// Holds the bucket as a folder, and each object as a file.
    pub(crate) place: TempDir,
    accepting: JoinHandle<()>,
}

impl LoopbackS3 {
    pub(crate) async fn start() -> Self {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join(BUCKET)).unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(place.path()).unwrap());
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = service.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service.clone()));
            }
        });
        Self { endpoint, place, accepting }
    }
}

impl Drop for LoopbackS3 {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
