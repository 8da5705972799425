//! One layer: a stored blob as the stream that the cataloguer reads, and what is kept of it.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use blobs::OpenBlob;
use bytes::{Buf as _, Bytes};
use metadata::model::RepositoryId;
use oci::Digest;
use registry::Registry;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use vuln::layer::{CATALOGUER_VERSION, Mode, catalogue_layer_with};
use vuln::look::{Interest, Look, Seen};
use vuln::secrets::SecretRules;
use vuln::{LayerResult, LayerSource, Limits, Pulse, ScanError};

use super::quiet::quietly;
use super::{Scanner, secret_rules};
use crate::context::JobContext;
use crate::job::JobError;

/// Bytes read from storage at once.
const WINDOW: u64 = 1 << 20;
/// Effort of zstd: three times smaller than without, at a cost that does not show.
const EFFORT: i32 = 3;
/// All that is kept of the layers of one image, unpacked.
pub(super) const MOST_BYTES: usize = 512 << 20;

/// The extractors' version under which layers are kept. Raised with [`CATALOGUER_VERSION`], and here when what is looked
/// at beside packages changes.
pub(super) const VERSION: u32 = CATALOGUER_VERSION * 100 + 1;

/// What is kept of a layer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// What it states about packages.
    pub result: LayerResult,
    /// What was seen beside.
    pub seen: Seen,
}

/// What is kept, as it is stored.
pub(super) fn pack(kept: &impl Serialize) -> io::Result<Bytes> {
    // In one piece, so that the frame states its size.
    Ok(zstd::bulk::compress(&serde_json::to_vec(kept)?, EFFORT)?.into())
}

/// Reads back what was kept; `room` is how many bytes all of an image may still have.
pub(super) fn unpack<T: DeserializeOwned>(bytes: &[u8], room: &mut usize) -> io::Result<T> {
    let stated = zstd::zstd_safe::get_frame_content_size(bytes).ok().flatten();
    let size = stated.and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX);
    *room = room.checked_sub(size).ok_or_else(|| io::Error::other("limit facts reached"))?;
    Ok(serde_json::from_slice(&zstd::bulk::decompress(bytes, size)?)?)
}

/// A stored blob as a layer: read window by window from storage, each checked as a pull's bytes are.
struct StoredLayer {
    registry: Arc<Registry>,
    open: OpenBlob,
    runtime: Handle,
    /// Whether storage failed: what the reader then makes of it says nothing of the layer.
    failed: AtomicBool,
}

impl LayerSource for StoredLayer {
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(Reading { layer: self, at: 0, window: Bytes::new() }))
    }
}

struct Reading<'a> {
    layer: &'a StoredLayer,
    at: u64,
    window: Bytes,
}

impl Read for Reading<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let StoredLayer { registry, open, runtime, failed } = self.layer;
        let size = open.stat().size;
        if self.window.is_empty() && self.at < size {
            let end = size.min(self.at + WINDOW);
            let read = async {
                let body = registry.read_stored(open, self.at..end).await.map_err(io::Error::other)?;
                body.collect().await.map_err(io::Error::other)
            };
            self.window = runtime.block_on(read).inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            self.at = end;
        }
        let count = into.len().min(self.window.len());
        self.window.copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}

/// Tells the reading thread to stop when the one who waits is gone.
pub(super) struct StopOnDrop(Arc<AtomicBool>);

impl StopOnDrop {
    /// The switch, and what it sets.
    pub(super) fn new() -> (Self, Arc<AtomicBool>) {
        let stopped = Arc::<AtomicBool>::default();
        (Self(Arc::clone(&stopped)), stopped)
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Reads a layer; the outer error is worth another attempt, the inner one is the layer's.
pub(super) async fn read(
    scanner: &Scanner,
    repository: RepositoryId,
    digest: &Digest,
    context: &JobContext,
) -> Result<Result<Bytes, ScanError>, JobError> {
    let open = scanner.registry.open_held(repository, digest).await.map_err(JobError::retry)?;
    let Some(open) = open else {
        return Ok(Err(ScanError::Missing(format!("layer {digest}"))));
    };
    let layer = StoredLayer {
        registry: Arc::clone(&scanner.registry),
        open,
        runtime: Handle::current(),
        failed: AtomicBool::default(),
    };
    let (rules, allowed) = (secret_rules().await?, scanner.settings.layer_timeout);
    let (_stop, stopped) = StopOnDrop::new();
    let work = quietly("scan-layer", move || {
        let read = catalogue(&layer, &rules, allowed, &stopped);
        (read, layer.failed.into_inner())
    });
    tokio::select! {
        () = context.stopped() => Err(JobError::Stopped),
        read = work => match read? {
            // Storage that fails now may answer later.
            (Err(error), true) => Err(JobError::retry(format!("layer {digest}: {error}"))),
            (read, _) => Ok(read),
        },
    }
}

/// Processor time of this thread: one that gives way to all others may wait long for it.
fn own_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.try_into().unwrap_or_default()
}

/// Reads a layer within the processor time `allowed` for it, until `stopped`.
pub(super) fn catalogue(
    layer: &dyn LayerSource,
    rules: &SecretRules,
    allowed: Duration,
    stopped: &AtomicBool,
) -> Result<Bytes, ScanError> {
    let begun = own_time();
    let watch = || match stopped.load(Ordering::Relaxed) {
        true => Pulse::Cancelled,
        false if own_time().saturating_sub(begun) > allowed => Pulse::TimeOver,
        false => Pulse::Go,
    };
    let mut look = Look::new(Interest { secrets: Some(rules), misconfig: true, malware: None });
    let result = catalogue_layer_with(layer, Mode::Image, &Limits::default(), &watch, &mut look)?;
    pack(&Record { result, seen: look.finish() }).map_err(ScanError::Read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was() {
        let result = LayerResult { version: CATALOGUER_VERSION, entries: 7, ..LayerResult::default() };
        let packed = pack(&Record { result: result.clone(), seen: Seen::default() }).expect("packed");
        let mut room = MOST_BYTES;
        let back: Record = unpack(&packed, &mut room).expect("unpacked");
        assert_eq!((back.result, back.seen), (result, Seen::default()));
        assert!(unpack::<Record>(b"not a frame", &mut room).is_err());
        assert!(unpack::<Record>(&packed, &mut 10).is_err(), "what is kept of an image is bounded");
    }
}
