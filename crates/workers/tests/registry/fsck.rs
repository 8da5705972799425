//! fsck and scrub over objects that are damaged, missing, unreadable, unknown – or right after all.

use crate::support::World;
use blobs::{BlobKey, BlobStore, Failure, Fault, HookedBlobs, Operation};
use oci::Digest;
use registry::{Registry, Settings};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use workers::maintenance::{self, FsckOptions, FsckProblem, FsckReport};

const LAYERS: [&[u8]; 3] = [b"one", b"two", b"three"];

/// A registry whose objects can be made to fail.
struct Faulty {
    world: World,
    registry: Arc<Registry>,
    on: Arc<AtomicBool>,
    objects: Arc<Mutex<Vec<BlobKey>>>,
}

impl Faulty {
    /// The reads of the objects chosen later fail like this while the fault is on.
    async fn new(fault: Fault) -> Self {
        let world = World::new(Settings::default()).await;
        world.image("app", &LAYERS).await.unwrap();
        let (on, objects) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (is_on, chosen) = (on.clone(), objects.clone());
        let hooked = HookedBlobs::new(world.blobs.clone(), move |operation, key| {
            let hit = operation == Operation::Read
                && is_on.load(Ordering::SeqCst)
                && key.is_some_and(|key| chosen.lock().unwrap().contains(&key));
            if hit { fault } else { Fault::None }
        });
        let store = world.registry.store().clone();
        let registry = World::registry(store, Arc::new(hooked), Settings::default()).await;
        Self { world, registry, on, objects }
    }

    async fn with(fault: Fault, layers: &[&[u8]]) -> Self {
        let faulty = Self::new(fault).await;
        for layer in layers {
            let key = faulty.world.object(&Digest::sha256(layer)).await;
            faulty.objects.lock().unwrap().push(key);
        }
        faulty.on.store(true, Ordering::SeqCst);
        faulty
    }

    async fn fsck(&self, read: bool, repair: bool) -> FsckReport {
        let options = FsckOptions { read, repair, ..FsckOptions::default() };
        maintenance::fsck(&self.registry, options).await.unwrap()
    }

    async fn corrupt(&self) -> u64 {
        self.registry.store().corrupt_blobs().await.unwrap()
    }
}

#[tokio::test]
async fn without_repair_nothing_changes_and_what_is_damaged_stays_a_problem() {
    let faulty = Faulty::with(Fault::Flip(1), &[b"two"]).await;
    for _ in 0..2 {
        let report = faulty.fsck(true, false).await;
        assert!(matches!(report.problems[..], [FsckProblem::Content { .. }]), "{report:?}");
        assert_eq!((report.quarantined, report.repaired, report.remaining()), (0, 0, 1));
        assert_eq!(faulty.corrupt().await, 0, "reading changed something");
    }
    let report = faulty.fsck(true, true).await;
    assert_eq!((report.quarantined, report.repaired, report.remaining()), (1, 0, 1), "{report:?}");
    assert_eq!((faulty.corrupt().await, faulty.registry.damage().quarantined()), (1, 1));
    let report = faulty.fsck(false, false).await;
    assert!(matches!(report.problems[..], [FsckProblem::OutOfService { .. }]), "a damaged store is healthy");
    let report = faulty.fsck(false, true).await;
    assert_eq!((report.repaired, report.remaining()), (0, 1), "{report:?}");
}

#[tokio::test]
async fn repair_puts_blobs_back_whose_bytes_are_right() {
    let faulty = Faulty::with(Fault::Flip(1), &LAYERS).await;
    faulty.fsck(true, true).await;
    assert_eq!(faulty.corrupt().await, 3);
    // The disk is back, or the right one is mounted.
    faulty.on.store(false, Ordering::SeqCst);
    let report = faulty.fsck(false, true).await;
    assert_eq!((report.problems.len(), report.repaired, report.remaining()), (3, 3, 0), "{report:?}");
    assert_eq!(faulty.corrupt().await, 0);
    for layer in LAYERS {
        assert!(faulty.world.readable(&Digest::sha256(layer)).await);
    }
    assert!(faulty.fsck(true, false).await.problems.is_empty());
}

#[tokio::test]
async fn one_unreadable_object_is_reported_and_does_not_stop_the_rest() {
    let faulty = Faulty::with(Fault::Before(Failure::Io), &[b"one"]).await;
    let report = faulty.fsck(true, true).await;
    let [FsckProblem::Unreadable { digest, object, error }] = &report.problems[..] else {
        panic!("{report:?}")
    };
    assert_eq!(*digest, Digest::sha256(b"one"));
    assert!(object.len() == 35 && error.contains("injected"), "{object}: {error}");
    assert_eq!((report.blobs, report.quarantined, faulty.corrupt().await), (4, 0, 0));
    let period = Duration::from_hours(24);
    faulty.world.clock.advance(Duration::from_hours(25));
    let scrubbed = maintenance::scrub(&faulty.registry, period, 0).await.unwrap();
    assert_eq!((scrubbed.sound, scrubbed.damaged, scrubbed.unreadable), (3, 0, 1));
    // It is tried again soon, and the others are not.
    faulty.on.store(false, Ordering::SeqCst);
    faulty.world.clock.advance(Duration::from_hours(2));
    let scrubbed = maintenance::scrub(&faulty.registry, period, 0).await.unwrap();
    assert_eq!((scrubbed.sound, scrubbed.unreadable), (1, 0));
}

#[tokio::test]
async fn a_store_that_is_away_stops_the_check() {
    let faulty = Faulty::new(Fault::Before(Failure::Unavailable)).await;
    for n in 0..6 {
        let layer = format!("layer {n}");
        let digest = faulty.world.blob(layer.as_bytes()).await.unwrap();
        let key = faulty.world.object(&digest).await;
        faulty.objects.lock().unwrap().push(key);
    }
    for layer in [&b"{}"[..], b"one", b"two", b"three"] {
        let key = faulty.world.object(&Digest::sha256(layer)).await;
        faulty.objects.lock().unwrap().push(key);
    }
    faulty.on.store(true, Ordering::SeqCst);
    let options = FsckOptions { read: true, repair: true, ..FsckOptions::default() };
    assert!(maintenance::fsck(&faulty.registry, options).await.is_err());
    assert_eq!(faulty.corrupt().await, 0);
}

#[tokio::test]
async fn objects_without_rows_are_found_whatever_their_age_when_no_server_runs() {
    let world = World::new(Settings::default()).await;
    let key = BlobKey::begun_at(1_795_251_600_000, 9);
    let mut writer = world.blobs.begin(key).await.unwrap();
    writer.write(bytes::Bytes::from_static(b"orphan")).await.unwrap();
    writer.finish().await.unwrap();
    let listed = world.blobs.list(None, 10).await.unwrap();
    let modified = listed.iter().find(|listed| listed.key == key).unwrap().modified_unix_s;
    world.clock.set(metadata::Timestamp::from_secs(modified));
    let found = async |orphan_age| {
        let options = FsckOptions { orphan_age, ..FsckOptions::default() };
        maintenance::fsck(&world.registry, options).await.unwrap().problems.len()
    };
    assert_eq!(found(FsckOptions::default().orphan_age).await, 0, "it may belong to a running upload");
    assert_eq!(found(Duration::ZERO).await, 1);
}

#[tokio::test]
async fn a_damaged_object_that_was_replaced_is_given_back_after_its_quarantine() {
    let world = World::new(Settings::default()).await;
    let (replaced, still_damaged) = (b"replaced", b"damaged!");
    world.image("app", &[replaced, still_damaged]).await.unwrap();
    for layer in [replaced, still_damaged] {
        let key = world.object(&Digest::sha256(layer)).await;
        world.registry.quarantine(registry::CorruptObject { key, frame: 0 }).await.unwrap();
    }
    world.blob(replaced).await.unwrap();
    let collect = async || maintenance::collect(&world.registry, false).await.unwrap();
    world.clock.advance(Duration::from_hours(24 * 30 - 1));
    world.registry.access().refresh(0).await.unwrap();
    assert_eq!(collect().await.quarantined, 0, "given back too soon");
    let before = world.objects().await;
    world.clock.advance(Duration::from_hours(1));
    assert_eq!(maintenance::collect(&world.registry, true).await.unwrap().quarantined, 1);
    let report = collect().await;
    assert_eq!((report.quarantined, report.objects, report.freed_bytes), (1, 1, 8), "{report:?}");
    assert_eq!(world.objects().await, before - 1);
    assert!(world.readable(&Digest::sha256(replaced)).await);
    // What its blob still names may turn out to be right.
    let kept = world.object(&Digest::sha256(still_damaged)).await;
    assert!(world.blobs.stat(kept).await.unwrap().is_some());
}
