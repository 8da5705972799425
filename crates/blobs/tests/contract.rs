//! The executable contract on every implementation and wrapper that needs no server.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Arc;
use std::time::Duration;

use blobs::{BlobStore, Budget, Fault, FsBlobs, HookedBlobs, MemoryBlobs, RemoteBlobs, suite};

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
