//! SQLite against the contract, and what only it promises: its lock, its file, its way through a full disk.

use metadata::{CommitError, Engine, Sqlite, StoreError, suite};
use std::sync::Arc;

#[tokio::test]
async fn sqlite_in_memory_keeps_the_contract() {
    let engine = Sqlite::memory().unwrap();
    println!("{} claims hold", suite::run(engine).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_on_a_file_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Sqlite::open(dir.path()).unwrap();
    println!("{} claims hold", suite::run(engine.clone()).await.unwrap());
    engine.close().await;
}

#[tokio::test]
async fn a_data_directory_has_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Sqlite::open(dir.path()).unwrap();
    assert!(matches!(Sqlite::open(dir.path()), Err(StoreError::Locked { .. })));
    engine.close().await;
    Sqlite::open(dir.path()).unwrap().close().await;
}

#[tokio::test]
async fn a_closed_store_is_unavailable_and_keeps_what_was_handed_in() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Sqlite::open(dir.path()).unwrap();
    let dynamic: Arc<dyn Engine> = engine.clone();
    let store = metadata::Store::new(
        dynamic,
        Arc::new(metadata::ManualClock::default()),
        Arc::new(metadata::SeededRandom::new(1)),
    );
    let tx = store.begin().await.unwrap();
    let late = store.begin().await.unwrap();
    let commit = engine.commit(tx);
    engine.close().await;
    assert_eq!(commit.await, Ok(()));
    assert!(matches!(store.commit(late).await, Err(CommitError::Unavailable { .. })));
    assert!(matches!(engine.health().await, Err(StoreError::Unavailable { .. })));
    let size = std::fs::metadata(dir.path().join("bonded.db-wal")).map_or(0, |meta| meta.len());
    assert_eq!(size, 0, "the log was not copied at the end");
}
