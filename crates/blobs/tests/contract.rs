//! The executable contract on every implementation and wrapper that needs no server; and what uploads to a store that
//! takes whole parts may hold.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Arc;
use std::time::Duration;

use blobs::{
    BlobError, BlobKey, BlobStore, Budget, Fault, FsBlobs, HookedBlobs, Ingest, IngestState, MemoryBlobs,
    RemoteBlobs, suite,
};
use bytes::Bytes;
use oci::{Algorithm, Digest};

const MIB: usize = 1 << 20;

async fn holds(store: Arc<dyn BlobStore>) {
    let held = suite::run(Arc::clone(&store), 1000).await.unwrap();
    assert!(held.len() >= 17, "{held:?}");
    assert_eq!(store.list(None, 10).await.unwrap(), [], "the suite left objects");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_keep_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    holds(Arc::new(FsBlobs::open(directory.path().join("blobs")).unwrap())).await;
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    holds(Arc::new(MemoryBlobs::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hooked_stores_keep_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let files = Arc::new(FsBlobs::open(directory.path()).unwrap());
    holds(Arc::new(HookedBlobs::new(files, |_, _| Fault::None))).await;
    holds(Arc::new(HookedBlobs::new(Arc::new(MemoryBlobs::new()), |_, _| Fault::None))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_remote_adapter_keeps_the_contract_over_the_librarys_memory() {
    let budget = Budget::new(64 << 20, Duration::from_secs(30));
    holds(Arc::new(RemoteBlobs::in_memory(budget.clone()))).await;
    assert_eq!(budget.free_bytes(), 64 << 20, "memory was not given back");
}

/// A store that takes whole parts, and its budget.
fn in_parts(budget_bytes: usize) -> (Arc<dyn BlobStore>, Budget) {
    let budget = Budget::new(budget_bytes, Duration::from_secs(5));
    (Arc::new(RemoteBlobs::in_memory(budget.clone())), budget)
}

fn begin(store: &Arc<dyn BlobStore>, id: u128, budget: &Budget) -> Ingest {
    Ingest::begin(Arc::clone(store), BlobKey::from_id(id), Algorithm::Sha256, budget.clone())
}

#[tokio::test(start_paused = true)]
async fn slow_uploads_hold_what_they_have_sent_and_do_not_keep_others_out() {
    let (store, budget) = in_parts(64 * MIB);
    let mut slow = Vec::new();
    for id in 0..200 {
        let mut upload = begin(&store, id, &budget.of(1));
        upload.push(Bytes::from(vec![1; 20_000])).await.unwrap();
        slow.push(upload);
    }
    let content = suite::sample(12_000_000);
    for (id, principal) in [(1000, 1), (1001, 2)] {
        let mut upload = begin(&store, id, &budget.of(principal));
        upload.push(content.clone()).await.unwrap();
        upload.finish(&Digest::sha256(&content)).await.unwrap();
    }
    for upload in slow {
        upload.discard().await.unwrap();
    }
    assert_eq!(budget.free_bytes(), 64 * MIB, "memory was not given back");
}

#[tokio::test(start_paused = true)]
async fn who_holds_its_share_in_unfinished_parts_keeps_nobody_else_out() {
    let (store, budget) = in_parts(64 * MIB);
    let mut greedy = Vec::new();
    let refused = loop {
        let mut upload = begin(&store, greedy.len() as u128, &budget.of(1));
        match upload.push(Bytes::from(vec![1; 4 * MIB])).await {
            Ok(()) => greedy.push(upload),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, BlobError::Overloaded), "{refused:?}");
    assert!((2..=4).contains(&greedy.len()), "{} uploads", greedy.len());
    let content = suite::sample(30_000_000);
    let mut upload = begin(&store, 1000, &budget.of(2));
    upload.push(content.clone()).await.unwrap();
    upload.finish(&Digest::sha256(&content)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_uploads_in_parts_share_one_small_budget_and_none_waits_for_ever() {
    let (store, budget) = in_parts(32 * MIB);
    let content = suite::sample(7 * MIB);
    let digest = Digest::sha256(&content);
    let uploads = (0..48).map(|id: u16| {
        let (store, content) = (Arc::clone(&store), content.clone());
        let budget = Budget::of(&budget, i64::from(id % 5));
        tokio::spawn(async move {
            let mut upload = begin(&store, u128::from(id), &budget);
            for (at, chunk) in content.chunks(300_000).enumerate() {
                upload.push(Bytes::copy_from_slice(chunk)).await?;
                // Some are resumed by another request in between.
                if at == 9 && id.is_multiple_of(3) {
                    let state = IngestState::from_bytes(&upload.pause().await?.to_bytes())?;
                    let key = BlobKey::from_id(u128::from(id));
                    upload = Ingest::resume(Arc::clone(&store), key, &state, budget.clone()).await?;
                }
                tokio::task::yield_now().await;
            }
            upload
                .finish(&digest)
                .await
                .map_err(|error| BlobError::Unavailable { operation: "finish", source: Box::new(error) })
        })
    });
    for upload in uploads.collect::<Vec<_>>() {
        upload.await.unwrap().unwrap();
    }
    assert_eq!(budget.free_bytes(), 32 * MIB, "memory was not given back");
}
