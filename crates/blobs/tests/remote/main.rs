//! The remote adapter against real servers.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking and say what they skip"
)]

mod faults;
mod proxy;
mod server;

use std::sync::Arc;
use std::time::Duration;

use blobs::{BlobError, BlobKey, BlobStore, Budget, Ingest, Presign, RemoteBlobs, S3Config, suite};
use oci::{Algorithm, Digest};
use server::Server;

fn budget() -> Budget {
    Budget::new(64 << 20, Duration::from_secs(30))
}

async fn holds(open: impl FnOnce(Budget) -> Result<RemoteBlobs, BlobError>) {
    let budget = budget();
    let store = Arc::new(open(budget.clone()).unwrap());
    let found = store.probe().await.unwrap();
    println!("{found:?}");
    let held = suite::run(store.clone(), 1000).await.unwrap();
    assert!(held.len() >= 17, "{held:?}");
    assert_eq!(store.list(None, 10).await.unwrap(), [], "the suite left objects");
    assert_eq!(budget.free_bytes(), 64 << 20, "memory was not given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn versitygw_keeps_the_contract() {
    let Some(server) = Server::versitygw().await else { return };
    holds(|budget| RemoteBlobs::s3(&server.config(), budget)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn moto_keeps_the_contract() {
    let Some(server) = Server::moto().await else { return };
    holds(|budget| RemoteBlobs::s3(&server.config(), budget)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn azurite_keeps_the_contract() {
    let Some(server) = Server::azurite().await else { return };
    holds(|budget| RemoteBlobs::azure(&server.azure_config(), budget)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_presigned_url_reads_the_object_with_the_wanted_type() {
    let Some(server) = Server::versitygw().await else { return };
    let store: Arc<dyn BlobStore> = Arc::new(RemoteBlobs::s3(&server.config(), budget()).unwrap());
    let (key, content) = (BlobKey::from_id(77), suite::sample(100_000));
    let mut ingest = Ingest::begin(store.clone(), key, Algorithm::Sha256, budget());
    ingest.push(content.clone()).await.unwrap();
    ingest.finish(&Digest::sha256(&content)).await.unwrap();
    let presign =
        Presign { expires_in: Duration::from_mins(1), content_type: Some("application/x-a+b".to_owned()) };
    let url = store.presign(key, &presign).await.unwrap().unwrap();
    assert!(url.path().ends_with(&key.to_string()), "the URL tells more than the key: {}", url.path());
    let answer = reqwest::get(url).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/x-a+b");
    assert_eq!(answer.bytes().await.unwrap(), content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_bucket_or_a_wrong_secret_is_one_actionable_line() {
    let Some(server) = Server::versitygw().await else { return };
    for config in [
        S3Config { bucket: "nothere".to_owned(), ..server.config() },
        S3Config { credentials: Some(server::credentials("wrong")), ..server.config() },
    ] {
        let error = RemoteBlobs::s3(&config, budget()).unwrap().probe().await.unwrap_err().to_string();
        assert!(error.contains("check endpoint, bucket") && error.lines().count() == 1, "{error}");
        assert!(!error.contains("wrong"), "the secret is shown: {error}");
    }
}

/// A service that takes requests and answers none; the receiver gets the head of each.
async fn silent_service() -> (u16, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heads, seen) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = vec![0; 8192];
            let length = tokio::io::AsyncReadExt::read(&mut socket, &mut head).await.unwrap_or(0);
            head.truncate(length);
            let _ = heads.send(String::from_utf8_lossy(&head).to_lowercase());
            open.push(socket);
        }
    });
    (port, seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_token_goes_along_and_a_silent_service_is_given_up_after_its_stall() {
    let (port, mut seen) = silent_service().await;
    let token = Some("token-of-the-session".to_owned().into());
    let credentials = blobs::S3Credentials { session_token: token, ..server::credentials("sk") };
    let config = S3Config {
        credentials: Some(credentials),
        stall: Duration::from_millis(300),
        ..server::config(port)
    };
    let store = RemoteBlobs::s3(&config, budget()).unwrap();
    // The usual limits would let it wait longer than this test does.
    let asked = tokio::time::timeout(Duration::from_secs(25), store.stat(BlobKey::from_id(1))).await;
    asked.expect("given up").expect_err("nobody answered");
    let head = seen.recv().await.expect("a request");
    assert!(head.contains("x-amz-security-token: token-of-the-session"), "{head}");
}
