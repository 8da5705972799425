//! Database and blob storage that belong together: another storage, or none, is refused before anything counts as lost.

use crate::support::World;
use blobs::{BlobKey, BlobStore, Budget, MemoryBlobs, Series};
use metadata::{Expect, ManualClock, SeededRandom, Sqlite, Store};
use oci::Digest;
use registry::{Error, Parts, Registry, Sealer, Settings};
use std::sync::Arc;
use std::time::Duration;
use workers::maintenance::{self, FsckOptions};

metadata::statements! {
    FORGET_ID = Write "DELETE FROM setting WHERE name = 'installation'";
}

async fn open(store: &Store, blobs: &Arc<MemoryBlobs>) -> Result<Arc<Registry>, Error> {
    let parts = Parts {
        store: store.clone(),
        blobs: blobs.clone(),
        budget: Budget::new(64 << 20, Duration::from_secs(10)),
        sealer: Arc::new(Sealer::new(&[7; 32]).unwrap()),
        settings: Settings::default(),
    };
    Registry::open(parts).await.map(|(registry, _)| registry)
}

fn key() -> BlobKey {
    BlobKey::of_series(Series::Installation, 0, 0)
}

async fn forget_id(store: &Store) {
    let mut tx = store.begin().await.unwrap();
    tx.step(&FORGET_ID, Vec::new(), Expect::Rows(1));
    store.commit(tx).await.unwrap();
}

/// A registry with an image, and its store as another process sees it.
async fn with_an_image() -> (World, Store) {
    let world = World::new(Settings::default()).await;
    world.image("app", &[b"layer"]).await.unwrap();
    let engine = world.registry.store().engine().clone();
    let store = Store::new(engine, world.clock.clone(), Arc::new(SeededRandom::new(9)));
    (world, store)
}

#[tokio::test]
async fn empty_or_foreign_storage_is_refused_and_the_right_one_still_serves_everything() {
    let (world, store) = with_an_image().await;
    let empty = Arc::new(MemoryBlobs::new());
    let (clock, foreign) = (Arc::new(ManualClock::default()), Arc::new(MemoryBlobs::new()));
    let another = Store::new(Sqlite::memory().unwrap(), clock.clone(), Arc::new(SeededRandom::new(8)));
    World::with(another, clock, foreign.clone(), Settings::default()).await;
    for other in [&empty, &foreign] {
        let Err(Error::WrongStorage(why)) = open(&store, other).await else { panic!("opened") };
        assert!(why.contains("storage settings"), "{why}");
    }
    assert!(empty.list(None, 10).await.unwrap().is_empty(), "something was written to the wrong place");
    let again = open(&store, &world.blobs).await.unwrap();
    assert_eq!(again.store().corrupt_blobs().await.unwrap(), 0);
    assert!(world.readable(&Digest::sha256(b"layer")).await);
}

#[tokio::test]
async fn storage_that_vanishes_under_a_running_registry_is_not_taken_for_damage() {
    let (world, _) = with_an_image().await;
    for listed in world.blobs.list(None, 100).await.unwrap() {
        world.blobs.delete(listed.key).await.unwrap();
    }
    world.clock.advance(Duration::from_hours(24 * 31));
    let registry = &world.registry;
    let repair = FsckOptions { repair: true, read: true, ..FsckOptions::default() };
    assert!(matches!(maintenance::scrub(registry, Duration::ZERO, 0).await, Err(Error::WrongStorage(_))));
    assert!(matches!(maintenance::fsck(registry, repair).await, Err(Error::WrongStorage(_))));
    assert!(matches!(maintenance::collect(registry, false).await, Err(Error::WrongStorage(_))));
    assert_eq!(registry.store().corrupt_blobs().await.unwrap(), 0);
}

#[tokio::test]
async fn whichever_lacks_the_id_gets_it_from_the_other_that_belongs_to_it() {
    let (world, store) = with_an_image().await;
    let id = store.installation().await.unwrap().expect("an id");
    // A database from before there were ids, or rebuilt from a checkpoint of then.
    forget_id(&store).await;
    open(&store, &world.blobs).await.unwrap();
    assert_eq!(store.installation().await.unwrap().as_deref(), Some(&*id));
    // Storage that was copied without it, or with what a crash left of it.
    world.blobs.delete(key()).await.unwrap();
    open(&store, &world.blobs).await.unwrap();
    world.blobs.delete(key()).await.unwrap();
    let mut torn = world.blobs.begin(key()).await.unwrap();
    torn.write(bytes::Bytes::from_static(b"0123")).await.unwrap();
    torn.finish().await.unwrap();
    open(&store, &world.blobs).await.unwrap();
    let fresh = Arc::new(ManualClock::default());
    let fresh = Store::new(Sqlite::memory().unwrap(), fresh, Arc::new(SeededRandom::new(5)));
    open(&fresh, &world.blobs).await.unwrap();
    assert_eq!(fresh.installation().await.unwrap(), Some(id), "storage has lost its id");
    // Both lack it, as after an upgrade: storage must hold something of what the database names.
    forget_id(&store).await;
    world.blobs.delete(key()).await.unwrap();
    assert!(matches!(open(&store, &Arc::new(MemoryBlobs::new())).await, Err(Error::WrongStorage(_))));
    open(&store, &world.blobs).await.unwrap();
    assert!(store.installation().await.unwrap().is_some());
}
