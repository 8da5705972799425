//! The S3 adapter when the service misbehaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use blobs::{
    BlobError, BlobKey, BlobStore, Budget, Ingest, IngestError, IngestState, Ingested, RemoteBlobs, suite,
};
use bytes::Bytes;
use oci::{Algorithm, Digest};

use crate::proxy::{self, Break};
use crate::server::{Server, config};

const LARGE: usize = 12_000_000;

fn store(port: u16) -> Arc<dyn BlobStore> {
    let budget = Budget::new(64 << 20, Duration::from_secs(30));
    Arc::new(RemoteBlobs::s3(&config(port), budget).unwrap())
}

fn ingest(store: &Arc<dyn BlobStore>, id: u128) -> Ingest {
    let budget = Budget::new(64 << 20, Duration::from_secs(30));
    Ingest::begin(Arc::clone(store), BlobKey::from_id(id), Algorithm::Sha256, budget)
}

async fn put(store: &Arc<dyn BlobStore>, id: u128, content: &Bytes) -> Result<Ingested, IngestError> {
    let mut upload = ingest(store, id);
    upload.push(content.clone()).await?;
    upload.finish(&Digest::sha256(content)).await
}

async fn stored(store: &Arc<dyn BlobStore>, id: u128) -> Bytes {
    let object = store.open(BlobKey::from_id(id)).await.unwrap().unwrap();
    object.read_at(0..object.stat().size).await.unwrap()
}

/// A judge that breaks the first `times` requests whose line contains both texts.
fn first(
    times: usize,
    method: &'static str,
    mark: &'static str,
    fault: Break,
) -> impl FnMut(&str) -> Break + Send {
    let mut left = times;
    move |line| {
        if left > 0 && line.starts_with(method) && line.contains(mark) {
            left -= 1;
            return fault;
        }
        Break::Nothing
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_outlives_bursts_of_failures_and_lost_answers() {
    let Some(server) = Server::versitygw().await else { return };
    let direct = store(server.port);
    for (id, size, method, mark, fault) in [
        (1, LARGE, "PUT", "partNumber", Break::SlowDown),
        (2, LARGE, "PUT", "partNumber", Break::CutAnswer),
        (3, LARGE, "POST", "uploads", Break::SlowDown),
        (4, LARGE, "POST", "uploadId", Break::SlowDown),
        (5, LARGE, "POST", "uploadId", Break::CutAnswer),
        (6, LARGE, "POST", "uploadId", Break::ErrorIn200),
        (7, 1000, "PUT", "blobs/", Break::SlowDown),
        (8, 1000, "PUT", "blobs/", Break::CutAnswer),
        (9, 1000, "HEAD", "blobs/", Break::SlowDown),
    ] {
        let port = proxy::start(server.port, first(2, method, mark, fault)).await;
        let content = suite::sample(size + usize::try_from(id).unwrap());
        let done = put(&store(port), id, &content).await;
        assert_eq!(done.unwrap_or_else(|e| panic!("{id}: {e:?}")).size, content.len() as u64);
        assert_eq!(stored(&direct, id).await, content, "{id}");
    }
    assert_eq!(direct.unfinished(10).await.unwrap(), [], "uploads were left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_goes_on_where_the_connection_broke() {
    let Some(server) = Server::versitygw().await else { return };
    let content = suite::sample(LARGE);
    put(&store(server.port), 1, &content).await.unwrap();
    for fault in [Break::Truncate(700_001), Break::Truncate(0), Break::CutAnswer, Break::SlowDown] {
        let port = proxy::start(server.port, first(3, "GET", "blobs/", fault)).await;
        assert!(stored(&store(port), 1).await == content, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_service_is_unavailable_after_bounded_tries() {
    let Some(server) = Server::versitygw().await else { return };
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let port = proxy::start(server.port, move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        Break::SlowDown
    })
    .await;
    let result = store(port).open(BlobKey::from_id(1)).await;
    assert!(matches!(result, Err(BlobError::Unavailable { .. })));
    assert!(asked.load(Ordering::SeqCst) < 20, "{asked:?} requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_breaks_off_after_every_byte_is_given_up() {
    let Some(server) = Server::versitygw().await else { return };
    let content = suite::sample(LARGE);
    put(&store(server.port), 1, &content).await.unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let port = proxy::start(server.port, move |line| {
        if !line.starts_with("GET") {
            return Break::Nothing;
        }
        count.fetch_add(1, Ordering::SeqCst);
        Break::Truncate(1)
    })
    .await;
    let object = store(port).open(BlobKey::from_id(1)).await.unwrap().unwrap();
    let read = object.read_at(0..LARGE as u64).await;
    assert!(read.is_err(), "{} bytes", read.map_or(0, |bytes| bytes.len()));
    assert!(asked.load(Ordering::SeqCst) < 50, "{asked:?} requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_at_another_replica_after_the_first_died() {
    let Some(server) = Server::versitygw().await else { return };
    let content = suite::sample(LARGE);
    let (one, two) = (store(server.port), store(server.port));
    let mut upload = ingest(&one, 1);
    upload.push(content.slice(..7_000_000)).await.unwrap();
    let saved = upload.pause().await.unwrap().to_bytes();
    let state = IngestState::from_bytes(&saved).unwrap();
    // The first replica receives more and dies: no roll-back runs.
    let budget = || Budget::new(64 << 20, Duration::from_secs(30));
    let mut dying = Ingest::resume(one, BlobKey::from_id(1), &state, budget()).await.unwrap();
    dying.push(suite::sample(6_000_000)).await.unwrap();
    std::mem::forget(dying);
    let open = two.unfinished(10).await.unwrap();
    assert!(open.iter().any(|write| write.key == BlobKey::from_id(1)), "{open:?}");
    let mut upload = Ingest::resume(Arc::clone(&two), BlobKey::from_id(1), &state, budget()).await.unwrap();
    upload.push(content.slice(7_000_000..)).await.unwrap();
    upload.finish(&Digest::sha256(&content)).await.unwrap();
    assert_eq!(stored(&two, 1).await, content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_state_was_not_saved_has_not_harmed_the_one_whose_was() {
    let Some(server) = Server::versitygw().await else { return };
    let content = suite::sample(3_000_000);
    let (one, two) = (store(server.port), store(server.port));
    let mut upload = ingest(&one, 1);
    upload.push(content.slice(..100_000)).await.unwrap();
    let begun = IngestState::from_bytes(&upload.pause().await.unwrap().to_bytes()).unwrap();
    let budget = || Budget::new(64 << 20, Duration::from_secs(30));
    // Both go on from the same state; the second is later, and its state is dropped.
    let mut first = Ingest::resume(one, BlobKey::from_id(1), &begun, budget()).await.unwrap();
    let mut second = Ingest::resume(Arc::clone(&two), BlobKey::from_id(1), &begun, budget()).await.unwrap();
    first.push(content.slice(100_000..1_000_000)).await.unwrap();
    let saved = IngestState::from_bytes(&first.pause().await.unwrap().to_bytes()).unwrap();
    second.push(content.slice(100_000..2_000_000)).await.unwrap();
    second.pause().await.unwrap();
    let mut upload = Ingest::resume(Arc::clone(&two), BlobKey::from_id(1), &saved, budget()).await.unwrap();
    assert_eq!(upload.offset(), 1_000_000);
    upload.push(content.slice(1_000_000..)).await.unwrap();
    upload.finish(&Digest::sha256(&content)).await.unwrap();
    assert_eq!(stored(&two, 1).await, content);
}
