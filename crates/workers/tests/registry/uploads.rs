//! Uploads that another process goes on with. Two replicas on one remote store: one of them wins, and nothing that was
//! acknowledged is touched by the other. One process after the other on a local store.

use std::sync::Arc;
use std::time::Duration;

use blobs::{BlobKey, BlobStore as _, Budget, RemoteBlobs};
use bytes::Bytes;
use futures_util::StreamExt as _;
use metadata::{ManualClock, SeededRandom, Sqlite, Store};
use oci::{Digest, UploadId};
use registry::upload::{BodyError, ChunkHeaders, StoredBlob};
use registry::{Error, Grant, Principal, Push, Registry, Settings};
use tokio::sync::mpsc;

use crate::support::{World, body};

/// One of two processes.
struct Replica {
    registry: Arc<Registry>,
    grant: Grant<Push>,
}

async fn replicas() -> (Replica, Replica) {
    let blobs = Arc::new(RemoteBlobs::in_memory(Budget::new(64 << 20, Duration::from_secs(10))));
    let store = Store::new(
        Sqlite::memory().unwrap(),
        Arc::new(ManualClock::default()),
        Arc::new(SeededRandom::new(3)),
    );
    let one = async || {
        let registry = World::registry(store.clone(), blobs.clone(), Settings::default()).await;
        let facts = registry.access().facts();
        let id = Some(facts.principal_named("admin").unwrap().row.id);
        let admin = Principal { id, name: "admin".into(), scope: None, address: None };
        let grant = registry.access().grant(&admin, &World::repo()).await.unwrap();
        Replica { registry, grant }
    };
    (one().await, one().await)
}

impl Replica {
    /// Ends an upload with a body that comes as it is sent.
    fn finish(
        self: &Arc<Self>,
        id: UploadId,
        digest: Digest,
    ) -> (mpsc::Sender<Bytes>, tokio::task::JoinHandle<Result<StoredBlob, Error>>) {
        let (send, receive) = mpsc::channel::<Bytes>(1);
        let pieces = futures_util::stream::unfold(receive, async |mut receive| {
            let piece = receive.recv().await?;
            Some((Ok::<_, BodyError>(piece), receive))
        });
        let own = Arc::clone(self);
        let done = tokio::spawn(async move {
            own.registry.finish_upload(&own.grant, id, &digest, ChunkHeaders::default(), pieces.boxed()).await
        });
        (send, done)
    }

    async fn content(&self, digest: &Digest) -> Option<Bytes> {
        let admin = Principal { id: None, name: "admin".into(), scope: None, address: None };
        let facts = self.registry.access().facts();
        let admin = Principal { id: Some(facts.principal_named("admin").unwrap().row.id), ..admin };
        let grant = self.registry.access().grant(&admin, &World::repo()).await.unwrap();
        let blob = self.registry.pull_blob(&grant, digest).await.ok()?;
        let body = self.registry.read_blob(&blob, 0..blob.size_bytes).await.ok()?;
        match body.try_into_bytes() {
            Ok(bytes) => Some(bytes),
            Err(stream) => stream.collect().await.ok(),
        }
    }
}

#[tokio::test]
async fn an_upload_that_another_replica_takes_over_is_acknowledged_once_and_kept() {
    let (one, two) = replicas().await;
    let (one, two) = (Arc::new(one), Arc::new(two));
    let contents = [Bytes::from(vec![1; 3_000_000]), Bytes::from(vec![2; 3_000_000])];
    let digests = contents.each_ref().map(|content| Digest::sha256(content));
    for first in [0, 1] {
        let id = one.registry.start_upload(&one.grant, None, None).await.unwrap().id;
        let (to_one, at_one) = one.finish(id, digests[0]);
        to_one.send(contents[0].slice(..2_000_000)).await.unwrap();
        to_one.send(contents[0].slice(2_000_000..2_000_001)).await.unwrap();
        let (to_two, at_two) = two.finish(id, digests[1]);
        to_two.send(contents[1].slice(..2_000_000)).await.unwrap();
        to_two.send(contents[1].slice(2_000_000..2_000_001)).await.unwrap();
        let mut ends = [(to_one, at_one, 0), (to_two, at_two, 1)];
        ends.rotate_left(first);
        let mut acknowledged = Vec::new();
        for (send, done, which) in ends {
            send.send(contents[which].slice(2_000_001..)).await.unwrap();
            drop(send);
            if done.await.unwrap().is_ok() {
                acknowledged.push(which);
            }
        }
        assert_eq!(acknowledged.len(), 1, "whoever ends first: {first}");
        for which in acknowledged {
            assert_eq!(two.content(&digests[which]).await.as_ref(), Some(&contents[which]));
        }
    }
}

#[tokio::test]
async fn two_that_go_on_from_one_saved_state_do_not_touch_each_others_object() {
    let (one, two) = replicas().await;
    let (one, two) = (Arc::new(one), Arc::new(two));
    let start = vec![0; 6_000_000];
    for (lengths, first) in [([100, 100], 0), ([100, 200], 0), ([200, 100], 1)] {
        let id = one.registry.start_upload(&one.grant, None, None).await.unwrap().id;
        one.registry.put_chunk(&one.grant, id, ChunkHeaders::default(), body(&start)).await.unwrap();
        let tails = [vec![1; lengths[0]], vec![2; lengths[1]]];
        let contents = tails.each_ref().map(|tail| Bytes::from([start.clone(), tail.clone()].concat()));
        let digests = contents.each_ref().map(|content| Digest::sha256(content));
        let mut ends = Vec::new();
        for (replica, which) in [(&one, 0), (&two, 1)] {
            let (send, done) = replica.finish(id, digests[which]);
            send.send(Bytes::copy_from_slice(&tails[which][..50])).await.unwrap();
            send.send(Bytes::copy_from_slice(&tails[which][50..51])).await.unwrap();
            ends.push((send, done, which));
        }
        ends.rotate_left(first);
        let mut acknowledged = Vec::new();
        for (send, done, which) in ends {
            send.send(Bytes::copy_from_slice(&tails[which][51..])).await.unwrap();
            drop(send);
            if done.await.unwrap().is_ok() {
                acknowledged.push(which);
            }
        }
        assert_eq!(acknowledged, [first], "{lengths:?}");
        assert_eq!(two.content(&digests[first]).await.as_ref(), Some(&contents[first]), "{lengths:?}");
    }
}

/// A process died while it wrote the first bytes; the next one is told of a shorter life of uploads.
#[tokio::test]
async fn an_upload_begun_by_a_former_process_goes_on_whatever_the_settings_became() {
    for upload_ttl in [Duration::from_hours(1), Duration::from_hours(24), Duration::from_hours(72)] {
        let world = World::new(Settings::default()).await;
        let grant = world.push_grant().await;
        let id = world.registry.start_upload(&grant, None, None).await.unwrap().id;
        let row = world.registry.store().upload(id).await.unwrap().unwrap();
        // What a killed process leaves: an object that was begun, and a session that knows nothing of it.
        std::mem::forget(world.blobs.begin(BlobKey::parse(&row.object_key).unwrap()).await.unwrap());
        world.clock.advance(Duration::from_mins(1));
        let settings = Settings { upload_ttl, ..Settings::default() };
        let next = World::with(world.registry.store().clone(), world.clock, world.blobs, settings).await;
        let grant = next.push_grant().await;
        let chunk = next.registry.put_chunk(&grant, id, ChunkHeaders::default(), body(b"all of it")).await;
        assert_eq!(chunk.unwrap_or_else(|error| panic!("{upload_ttl:?}: {error}")).offset, 9);
    }
}
