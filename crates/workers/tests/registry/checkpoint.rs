//! The checkpoint and the rebuild: what a registry holds comes back from blob storage alone, whatever cut the writer.

use crate::support::World;

use blobs::{BlobKey, BlobStore as _, Failure, Fault, HookedBlobs, MemoryBlobs, Operation, Series};
use bytes::Bytes;
use metadata::leases::{self, Held};
use metadata::model::checkpoint::{Kind, Record};
use metadata::{SeededRandom, Sqlite, Store};
use oci::{Digest, Reference};
use registry::admin::NewUser;
use registry::{Sealer, Settings};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use workers::Duty as _;
use workers::checkpoint::{CheckpointDuty, RebuildError, RebuildOptions, RebuildReport, rebuild};

const EVERY: Duration = Duration::from_secs(20);

/// The process that writes the checkpoint of a world.
struct Writer {
    duty: CheckpointDuty,
    held: Held,
}

impl Writer {
    /// Takes over from whoever was before.
    async fn new(world: &World, owner: &str) -> Self {
        world.clock.advance(Duration::from_mins(1));
        let store = world.registry.store();
        let held = leases::take(store, CheckpointDuty::NAME, owner, Duration::from_secs(30)).await;
        Self { duty: CheckpointDuty::new(world.registry.clone(), EVERY), held: held.unwrap().unwrap() }
    }

    async fn write(&self, world: &World) {
        world.clock.advance(EVERY);
        self.duty.round(world.registry.store(), &self.held).await.unwrap();
    }
}

fn blank(world: &World) -> Store {
    Store::new(Sqlite::memory().unwrap(), world.clock.clone(), Arc::new(SeededRandom::new(4)))
}

async fn rebuilt(world: &World, options: RebuildOptions) -> Result<(Store, RebuildReport), RebuildError> {
    let store = blank(world);
    let blobs: Arc<dyn blobs::BlobStore> = world.blobs.clone();
    let report = rebuild(&store, &blobs, &Sealer::new(&[7; 32]).unwrap(), options).await?;
    // As another process will see it.
    let engine = store.engine().clone();
    Ok((Store::new(engine, world.clock.clone(), Arc::new(SeededRandom::new(5))), report))
}

/// Everything that a rebuild must bring back, with the bytes; leases of blobs begin anew.
async fn dump(store: &Store) -> Vec<Record> {
    let mut all = Vec::new();
    for kind in Kind::ALL {
        let (mut a, mut b) = (i64::MIN, String::new());
        loop {
            let page = store.records_after(kind, a, &b, 100).await.unwrap();
            let Some(last) = page.last() else { break };
            (a, b) = (last.a, last.b.clone());
            for mut record in page {
                if record.pending_bytes > 0 {
                    record.bytes = store.record_bytes(&record).await.unwrap();
                }
                if kind == Kind::Link {
                    record.fields = None;
                }
                all.push(record);
            }
        }
    }
    all
}

async fn segments(world: &World) -> Vec<BlobKey> {
    let listed = world.blobs.list(None, 10_000).await.unwrap();
    listed.iter().map(|listed| listed.key).filter(|key| key.number_in(Series::Checkpoint).is_some()).collect()
}

async fn replace(blobs: &MemoryBlobs, key: BlobKey, change: impl Fn(&mut Vec<u8>)) {
    let object = blobs.open(key).await.unwrap().unwrap();
    let mut bytes = object.read_at(0..object.stat().size).await.unwrap().to_vec();
    change(&mut bytes);
    blobs.delete(key).await.unwrap();
    let mut writer = blobs.begin(key).await.unwrap();
    writer.write(Bytes::from(bytes)).await.unwrap();
    writer.finish().await.unwrap();
}

async fn user(world: &World, name: &str) -> metadata::model::PrincipalId {
    world.registry.access().refresh(0).await.unwrap();
    let new = NewUser {
        name: name.to_owned(),
        display_name: String::new(),
        email: None,
        password: "a long Passw0rd".to_owned(),
        admin: false,
    };
    world.registry.create_user(&world.caller(), &new).await.unwrap()
}

#[tokio::test]
async fn a_rebuild_brings_back_every_row_with_its_id() {
    let world = World::new(Settings::default()).await;
    let writer = Writer::new(&world, "one").await;
    world.image("before", &[b"base", b"one"]).await.unwrap();
    writer.write(&world).await;
    let gone = world.image("gone", &[b"base", b"two"]).await.unwrap();
    let (_, left) = (user(&world, "alice").await, user(&world, "left").await);
    writer.write(&world).await;
    world.image("before", &[b"base", b"three"]).await.unwrap();
    world.delete(gone).await;
    world.registry.access().refresh(0).await.unwrap();
    world.registry.delete_user(&world.caller(), left).await.unwrap();
    writer.write(&world).await;
    let (store, report) = rebuilt(&world, RebuildOptions::default()).await.unwrap();
    assert_eq!(dump(&store).await, dump(world.registry.store()).await);
    assert_eq!((report.dangling, report.wrong_objects, report.secrets_left_out), (0, 0, 0), "{report:?}");
    let counts = |store: Store| async move {
        let library = store.repository(world_project(&store).await, "app").await.unwrap().unwrap();
        (library.manifest_count, library.tag_count)
    };
    assert_eq!(counts(store.clone()).await, counts(world.registry.store().clone()).await);
    // What was pushed twice waits for its deletion; nobody names it any more.
    let others = world.objects().await;
    assert_eq!(report.objects_without_rows, others as u64 - report.objects);
    // What was known of images is derived again.
    let sweep = store.waiting_jobs(&["scan_all"], workers::scan::priority::SWEEP).await.unwrap();
    assert_eq!(sweep, (1, 0));
    let old = world.registry.store().ids().next().await.unwrap();
    assert!(store.ids().next().await.unwrap() > old + 4096, "an id may be given out again");
    // The registry works on what came back.
    let world = World::with(store, world.clock.clone(), world.blobs.clone(), Settings::default()).await;
    assert!(world.readable(&Digest::sha256(b"three")).await);
    assert!(world.registry.authenticator().verify_password("alice", "a long Passw0rd", "").await.is_ok());
    world.image("after", &[b"base", b"four"]).await.unwrap();
    let writer = Writer::new(&world, "two").await;
    writer.write(&world).await;
    let (store, _) = rebuilt(&world, RebuildOptions::default()).await.unwrap();
    assert_eq!(dump(&store).await, dump(world.registry.store()).await);
}

/// Pushes an index of one manifest that is not there.
async fn index(world: &World, child: &Digest) -> Digest {
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    let entry = format!(r#"{{"mediaType":"{INDEX}","digest":"{child}","size":9}}"#);
    let bytes = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{entry}]}}"#);
    let (digest, media_type) = (Digest::sha256(bytes.as_bytes()), INDEX.parse().unwrap());
    let (grant, caller, reference) = (world.push_grant().await, world.caller(), Reference::Digest(digest));
    let put = world.registry.put_manifest(&caller, &grant, &reference, &[], &media_type, bytes.into());
    put.await.unwrap().digest
}

#[tokio::test]
async fn an_index_that_was_raised_by_a_later_child_comes_back_as_high() {
    let world = World::new(Settings::default()).await;
    let writer = Writer::new(&world, "one").await;
    let (absent, other) = (Digest::sha256(b"absent"), Digest::sha256(b"other"));
    // The child's bytes are known before it is pushed.
    let inner = index(&world, &absent).await;
    let outer = index(&world, &inner).await;
    world.delete(inner).await;
    world.delete(outer).await;
    let outer = index(&world, &inner).await;
    index(&world, &other).await;
    writer.write(&world).await;
    let height = async |store: &Store| {
        let repository = store.repository(world_project(store).await, "app").await.unwrap().unwrap();
        store.manifest_heights(repository.id, &[outer]).await.unwrap()[0].1
    };
    assert_eq!(height(world.registry.store()).await, 1);
    index(&world, &absent).await;
    assert_eq!(height(world.registry.store()).await, 2);
    writer.write(&world).await;
    let (store, _) = rebuilt(&world, RebuildOptions::default()).await.unwrap();
    assert_eq!(height(&store).await, 2);
    assert_eq!(dump(&store).await, dump(world.registry.store()).await);
}

async fn world_project(store: &Store) -> metadata::model::ProjectId {
    let projects = store.access_changes(0).await.unwrap().projects;
    projects.iter().find(|project| project.name == "library").unwrap().id
}

#[tokio::test]
async fn a_writer_that_takes_over_goes_on_with_the_chain() {
    let world = World::new(Settings::default()).await;
    let first = Writer::new(&world, "one").await;
    world.image("a", &[b"1"]).await.unwrap();
    first.write(&world).await;
    let second = Writer::new(&world, "two").await;
    world.image("b", &[b"2"]).await.unwrap();
    second.write(&world).await;
    // The first does not know yet that it is late: what it writes is not kept, and harms nobody.
    world.image("c", &[b"3"]).await.unwrap();
    world.clock.advance(EVERY);
    assert!(first.duty.round(world.registry.store(), &first.held).await.is_err());
    world.image("c", &[b"4"]).await.unwrap();
    second.write(&world).await;
    let (store, _) = rebuilt(&world, RebuildOptions::default()).await.unwrap();
    assert_eq!(dump(&store).await, dump(world.registry.store()).await);
}

#[tokio::test]
async fn a_torn_last_segment_is_not_there_and_a_damaged_one_between_is_refused() {
    let world = World::new(Settings::default()).await;
    let writer = Writer::new(&world, "one").await;
    writer.write(&world).await;
    let mut states = Vec::new();
    for tag in ["a", "b", "c"] {
        world.image(tag, &[tag.as_bytes()]).await.unwrap();
        writer.write(&world).await;
        states.push((dump(world.registry.store()).await, *segments(&world).await.last().unwrap()));
    }
    replace(&world.blobs, states[2].1, |bytes| bytes.truncate(bytes.len() / 2)).await;
    let (store, report) = rebuilt(&world, RebuildOptions::default()).await.unwrap();
    assert_eq!(dump(&store).await, states[1].0);
    assert!(report.objects_without_rows > 0, "the lost image's objects are not told of");
    world.image("d", &[b"d"]).await.unwrap();
    writer.write(&world).await;
    let refused = rebuilt(&world, RebuildOptions::default()).await.map(drop);
    assert!(matches!(refused, Err(RebuildError::Damaged { count: 1, .. })), "{refused:?}");
    let partial = RebuildOptions { partial: true, ..RebuildOptions::default() };
    let (store, _) = rebuilt(&world, partial).await.unwrap();
    assert_eq!(dump(&store).await, states[1].0);
}

#[tokio::test]
async fn a_missing_object_is_reported_and_its_blob_unknown_until_it_is_pushed_again() {
    let world = World::new(Settings::default()).await;
    let writer = Writer::new(&world, "one").await;
    world.image("a", &[b"layer", b"other"]).await.unwrap();
    writer.write(&world).await;
    let layer = Digest::sha256(b"layer");
    world.blobs.delete(world.object(&layer).await).await.unwrap();
    let (store, report) = rebuilt(&world, RebuildOptions::default()).await.unwrap();
    assert_eq!((report.wrong_objects, report.wrong[0].digest, report.wrong[0].found_bytes), (1, layer, None));
    let world = World::with(store, world.clock.clone(), world.blobs.clone(), Settings::default()).await;
    assert!(!world.readable(&layer).await && world.readable(&Digest::sha256(b"other")).await);
    world.blob(b"layer").await.unwrap();
    assert!(world.readable(&layer).await);
}

#[tokio::test]
async fn only_an_empty_database_is_rebuilt_and_only_from_our_own_segments() {
    let world = World::new(Settings::default()).await;
    let blobs: Arc<dyn blobs::BlobStore> = world.blobs.clone();
    let sealer = Sealer::new(&[7; 32]).unwrap();
    let options = RebuildOptions::default();
    let none = rebuild(&blank(&world), &blobs, &sealer, options).await;
    assert!(matches!(none, Err(RebuildError::NoCheckpoint)), "{none:?}");
    user(&world, "alice").await;
    Writer::new(&world, "one").await.write(&world).await;
    let full = rebuild(world.registry.store(), &blobs, &sealer, options).await;
    assert!(matches!(full, Err(RebuildError::NotEmpty)), "{full:?}");
    let other = Sealer::new(&[8; 32]).unwrap();
    let foreign = rebuild(&blank(&world), &blobs, &other, options).await;
    assert!(matches!(foreign, Err(RebuildError::Foreign { .. })), "{foreign:?}");
    let without = RebuildOptions { without_secrets: true, ..options };
    let store = blank(&world);
    let report = rebuild(&store, &blobs, &other, without).await.unwrap();
    assert_eq!(report.secrets_left_out, 2, "alice's password and the signing key");
    let kept = store.access_changes(0).await.unwrap().principals;
    assert!(kept.iter().any(|row| row.name == "alice" && row.password.is_none()), "{kept:?}");
}

/// Three megabytes that zstd makes half of.
fn bulky(seed: u64) -> String {
    let mut state = seed + 1;
    let mut digit = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from_digit((state >> 60) as u32, 16).unwrap()
    };
    (0..3_000_000).map(|_| digit()).collect()
}

#[tokio::test]
async fn a_full_copy_goes_on_where_an_error_stopped_it() {
    let world = World::new(Settings::default()).await;
    for at in 0..8_u8 {
        world.annotated(&format!("big{at}"), &[&[at]], &bulky(at.into())).await.unwrap();
    }
    let (ends, broken) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
    let (counted, breaks) = (ends.clone(), broken.clone());
    let blobs = HookedBlobs::new(world.blobs.clone(), move |operation, key| {
        let segment = key.is_some_and(|key| key.number_in(Series::Checkpoint).is_some());
        let second = segment && operation == Operation::Finish && counted.fetch_add(1, Ordering::SeqCst) > 0;
        if second && breaks.load(Ordering::SeqCst) {
            Fault::Before(Failure::Unavailable)
        } else {
            Fault::None
        }
    });
    let registry =
        World::registry(world.registry.store().clone(), Arc::new(blobs), Settings::default()).await;
    world.clock.advance(EVERY);
    let held = leases::take(registry.store(), CheckpointDuty::NAME, "one", Duration::from_mins(5)).await;
    let (held, duty) = (held.unwrap().unwrap(), CheckpointDuty::new(registry.clone(), EVERY));
    assert!(duty.round(registry.store(), &held).await.is_err());
    let begun = segments(&world).await;
    broken.store(false, Ordering::SeqCst);
    for _ in 0..20 {
        duty.round(registry.store(), &held).await.unwrap();
    }
    assert!(ends.load(Ordering::SeqCst) > 3);
    assert_eq!(segments(&world).await[0], begun[0], "the copy was begun again");
    let (store, _) = rebuilt(&world, RebuildOptions::default()).await.unwrap();
    assert_eq!(dump(&store).await, dump(world.registry.store()).await);
}

#[tokio::test]
async fn old_segments_go_when_a_new_full_copy_replaces_them() {
    let world = World::new(Settings::default()).await;
    let writer = Writer::new(&world, "one").await;
    let mut most = 0;
    for at in 0..12_u8 {
        world.annotated("big", &[&[at]], &bulky(at.into())).await.unwrap();
        writer.write(&world).await;
        most = most.max(segments(&world).await.len());
    }
    let keys = segments(&world).await;
    assert!(keys[0].number_in(Series::Checkpoint) > Some(2), "the first full copy is still there");
    assert!(most < 16, "{most} segments");
    let (store, _) = rebuilt(&world, RebuildOptions::default()).await.unwrap();
    assert_eq!(dump(&store).await, dump(world.registry.store()).await);
}

#[tokio::test]
async fn nothing_is_written_while_nothing_changes() {
    let world = World::new(Settings::default()).await;
    let writer = Writer::new(&world, "one").await;
    writer.write(&world).await;
    let before = segments(&world).await;
    for _ in 0..5 {
        writer.write(&world).await;
    }
    assert_eq!(segments(&world).await, before);
    world.image("a", &[b"a"]).await.unwrap();
    writer.write(&world).await;
    let before = segments(&world).await;
    world.image("b", &[b"b"]).await.unwrap();
    writer.duty.round(world.registry.store(), &writer.held).await.unwrap();
    assert_eq!(segments(&world).await, before, "written before its time");
    writer.duty.last(world.registry.store(), &writer.held).await.unwrap();
    assert_eq!(segments(&world).await.len(), before.len() + 1, "the last round waits");
}
