//! fsck and scrub over objects that are damaged, missing, unreadable, unknown – or right after all.

use crate::support::{Gated, World};
use blobs::{BlobKey, BlobStore, Failure, Fault, HookedBlobs, MemoryBlobs, Operation};
use metadata::{ManualClock, SeededRandom, Store};
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

/// A registry on which fsck can be stopped at a read.
async fn gated(settings: Settings) -> (World, Arc<Gated>) {
    let engine = Gated::new();
    let clock = Arc::new(ManualClock::default());
    let store = Store::new(engine.clone(), clock.clone(), Arc::new(SeededRandom::new(3)));
    (World::with(store, clock, Arc::new(MemoryBlobs::new()), settings).await, engine)
}

/// Runs a check and, when it has come to a statement, something beside it.
async fn beside<R: std::fmt::Debug>(
    (world, engine): &(World, Arc<Gated>),
    (statement, after): (&'static str, bool),
    check: impl Future<Output = Result<R, registry::Error>>,
    act: impl AsyncFnOnce(&World),
) -> R {
    let (reached, leave) = engine.stop(statement, after);
    let mut check = std::pin::pin!(check);
    tokio::select! {
        report = &mut check => panic!("it never came to {statement}: {report:?}"),
        _ = reached => {
            act(world).await;
            let _ = leave.send(());
            check.await.unwrap()
        }
    }
}

fn nothing_kept() -> Settings {
    let zero = Duration::ZERO;
    Settings { blob_lease: zero, restore_window: zero, collect_grace: zero, ..Settings::default() }
}

#[tokio::test]
async fn what_is_collected_while_fsck_looks_is_no_problem() {
    for (read, repair) in [(false, false), (true, false), (false, true), (true, true)] {
        let gated = gated(nothing_kept()).await;
        let gone = gated.0.image("gone", &LAYERS).await.unwrap();
        gated.0.image("kept", &[b"kept"]).await.unwrap();
        let options = FsckOptions { read, repair, ..FsckOptions::default() };
        let check = maintenance::fsck(&gated.0.registry, options);
        let report = beside(&gated, ("blob::AFTER", true), check, async |world| {
            world.delete(gone).await;
            world.clock.advance(Duration::from_secs(1));
            world.collect().await;
            assert!(world.registry.store().blob(&Digest::sha256(b"one")).await.unwrap().is_none());
        })
        .await;
        assert_eq!((report.blobs, report.problems.len(), report.quarantined), (5, 0, 0), "{report:?}");
        assert_eq!(gated.0.registry.damage().quarantined(), 0);
    }
}

#[tokio::test]
async fn what_is_repaired_by_a_push_while_fsck_looks_is_no_problem() {
    for (read, repair) in [(false, false), (true, false), (false, true), (true, true)] {
        let gated = gated(nothing_kept()).await;
        gated.0.image("app", &LAYERS).await.unwrap();
        for layer in [&b"one"[..], b"two"] {
            let key = gated.0.object(&Digest::sha256(layer)).await;
            gated.0.blobs.delete(key).await.unwrap();
        }
        // One was found, the other not yet.
        let key = gated.0.object(&Digest::sha256(b"one")).await;
        gated.0.registry.quarantine_missing(key).await.unwrap();
        let options = FsckOptions { read, repair, ..FsckOptions::default() };
        let check = maintenance::fsck(&gated.0.registry, options);
        let report = beside(&gated, ("blob::AFTER", true), check, async |world| {
            let key = world.object(&Digest::sha256(b"two")).await;
            world.registry.quarantine_missing(key).await.unwrap();
            world.blob(b"one").await.unwrap();
            world.blob(b"two").await.unwrap();
        })
        .await;
        assert_eq!((report.problems.len(), report.quarantined, report.repaired), (0, 0, 0), "{report:?}");
        assert_eq!(gated.0.registry.store().corrupt_blobs().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn an_object_that_is_deleted_while_fsck_looks_is_no_orphan() {
    for repair in [false, true] {
        let gated = gated(nothing_kept()).await;
        // What is pushed twice waits in the trash.
        gated.0.image("app", &[b"layer"]).await.unwrap();
        gated.0.image("app", &[b"layer"]).await.unwrap();
        assert_eq!(gated.0.objects().await, 4);
        let options = FsckOptions { repair, orphan_age: Duration::ZERO, ..FsckOptions::default() };
        let check = maintenance::fsck(&gated.0.registry, options);
        let report = beside(&gated, ("blob::KNOWN_OBJECTS", false), check, async |world| {
            world.collect().await;
            assert_eq!(world.objects().await, 2);
        })
        .await;
        assert_eq!((report.problems.len(), report.repaired), (0, 0), "{report:?}");
        assert_eq!(gated.0.registry.store().trash_totals().await.unwrap(), (0, 0));
    }
}

#[tokio::test]
async fn what_is_collected_while_the_scrub_looks_is_no_damage() {
    let gated = gated(nothing_kept()).await;
    let gone = gated.0.image("gone", &LAYERS).await.unwrap();
    gated.0.image("kept", &[b"kept"]).await.unwrap();
    gated.0.clock.advance(Duration::from_hours(25));
    let check = maintenance::scrub(&gated.0.registry, Duration::from_hours(24), 0);
    let report = beside(&gated, ("blob::OLDEST_CHECKED", true), check, async |world| {
        world.delete(gone).await;
        world.clock.advance(Duration::from_secs(1));
        world.collect().await;
    })
    .await;
    assert_eq!((report.sound, report.damaged, report.unreadable), (2, 0, 0), "{report:?}");
}
