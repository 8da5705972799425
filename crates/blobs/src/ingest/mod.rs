//! Receiving a blob: hash, frame checksums and writing in one pass.
//!
//! Bytes gather to batches of 512 KiB; while one batch is hashed and written on the blocking pool, the next is received.
//! All uploads share one memory [`Budget`]: the permit travels inside the `Bytes`, into the parts of a remote store, too, so
//! memory is given back exactly when the last copy is dropped. A body that never filled a batch is hashed, created, written and synced in a single hop.
//!
//! Invariants: the digest is compared before the object is made durable; an upload that fails or is dropped leaves
//! nothing beyond its last saved state; a saved state whose bytes another process wrote is compared with its checksums
//! before it is built upon (a power cut may have kept the row and lost the bytes).

mod core;
mod state;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use oci::{Algorithm, Digest, Hasher};
use tokio::task::JoinHandle;

use crate::budget::{Account, Budget, Permit};
use crate::frames::FrameSums;
use crate::{BlobError, BlobKey, BlobStore, Stamp};
use core::{Core, Done, Hash, lost_thread};
pub use state::IngestState;

/// Bytes that leave together for the blocking pool.
const BATCH_BYTES: usize = 512 * 1024;
/// Most slices in a batch.
const BATCH_SLICES: usize = 256;
/// Chunks smaller than this are copied together, so that tiny ones neither pin large buffers nor fill batches.
const SMALL_BYTES: usize = 16 * 1024;
/// Size of the buffer into which they are copied.
const GATHER_BYTES: usize = 64 * 1024;

/// Why an upload did not become a blob.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// The bytes are not those of the digest; the object is gone. Answer `DIGEST_INVALID`.
    #[error("uploaded bytes have digest {actual}")]
    Digest {
        /// What arrived, by the algorithm it was hashed with.
        actual: Digest,
    },
    /// Storage failed.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// A finished, durable blob. Only now a row may name its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingested {
    /// The verified digest, that which was expected.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// CRC32C of each 256 KiB frame; see [`crate::frames_to_bytes`].
    pub frames: Vec<u32>,
    /// Identity of the object at that moment.
    pub stamp: Stamp,
}

/// An upload being received. Run it in a task of its own if the request's future may be dropped: a dropped ingest rolls
/// back to its last saved state.
pub struct Ingest {
    account: Account,
    received: u64,
    pending: Vec<Bytes>,
    pending_bytes: usize,
    gather: Option<Gather>,
    /// Whether the store's writer holds what it is given until it has a part.
    in_parts: bool,
    work: Work,
}

/// Where the core is.
enum Work {
    Idle(Box<Core>),
    Busy(JoinHandle<Result<Core, BlobError>>),
    Failed,
}

/// Small chunks copied together.
struct Gather {
    buffer: BytesMut,
    capacity: usize,
    permit: Permit,
}

impl Ingest {
    /// Starts an upload to a fresh key; touches the store with the first full batch.
    ///
    /// `algorithm` is that of the digest to come, if the client said it, else SHA-256: when `finish` then expects the
    /// other algorithm the object is read once more.
    pub fn begin(store: Arc<dyn BlobStore>, key: BlobKey, algorithm: Algorithm, budget: Budget) -> Self {
        let hash = Hash { hasher: Hasher::new(algorithm), sums: FrameSums::new() };
        let account = budget.account(store.writer_memory_bytes());
        Self::with_core(Core { store, key, hash, writer: None }, 0, account)
    }

    /// Continues an upload. [`BlobError::Lost`]: its bytes are gone, the client restarts it.
    pub async fn resume(
        store: Arc<dyn BlobStore>,
        key: BlobKey,
        state: &IngestState,
        budget: Budget,
    ) -> Result<Self, BlobError> {
        let hasher = Hasher::resume(state.algorithm, &state.hash).ok_or(crate::StateError::Contradiction)?;
        let account = budget.account(store.writer_memory_bytes());
        let tail = match state.write.tail_bytes() {
            0 => None,
            bytes => Some(account.take(bytes).await?),
        };
        let mut writer = store.resume(key, &state.write).await?;
        if let Some(permit) = tail {
            writer.charge(permit);
        }
        if writer.needs_recheck() {
            recheck(&*store, key, state).await?;
        }
        let hash = Hash { hasher, sums: state.sums.clone() };
        let core = Core { store, key, hash, writer: Some(writer) };
        Ok(Self::with_core(core, state.offset(), account))
    }

    fn with_core(core: Core, received: u64, account: Account) -> Self {
        let in_parts = core.store.writer_memory_bytes() > 0;
        let work = Work::Idle(Box::new(core));
        Self { account, received, pending: Vec::new(), pending_bytes: 0, gather: None, in_parts, work }
    }

    /// Bytes received so far, including those that are still on their way to the store.
    pub fn offset(&self) -> u64 {
        self.received
    }

    /// Takes the next bytes of the body; waits while the store or the memory budget is behind.
    ///
    /// After an error the upload has failed: its bytes since the last saved state are removed.
    pub async fn push(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.received += bytes.len() as u64;
        if bytes.len() < SMALL_BYTES {
            return self.gather(&bytes).await;
        }
        self.flush_gathered();
        let mut rest = bytes;
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(BATCH_BYTES));
            let permit = self.permit(piece.len()).await?;
            self.add(permit.charge(piece));
            self.send_if_due().await?;
        }
        Ok(())
    }

    /// Stops for now, with everything that was pushed. The state goes into the session's row.
    #[tracing::instrument(target = "spans", level = "trace", name = "blob.pause", skip_all)]
    pub async fn pause(mut self) -> Result<IngestState, BlobError> {
        self.flush_gathered();
        if !self.pending.is_empty() {
            self.send().await?;
        }
        let mut core = self.core().await?;
        core.begin().await?;
        let Core { hash, writer, .. } = *core;
        let write = writer.ok_or(BlobError::Closed)?.pause().await?;
        Ok(IngestState {
            algorithm: hash.hasher.algorithm(),
            hash: hash.hasher.save(),
            sums: hash.sums,
            write,
        })
    }

    /// Verifies the digest and makes the blob durable.
    #[tracing::instrument(target = "spans", level = "trace", name = "blob.finish", skip_all)]
    pub async fn finish(mut self, expected: &Digest) -> Result<Ingested, IngestError> {
        self.flush_gathered();
        let core = self.core().await?;
        let rest = std::mem::take(&mut self.pending);
        let done = core.complete(rest, *expected).await?;
        if !done.checked {
            check_by_reading(&done, expected).await?;
        }
        Ok(Ingested {
            digest: *expected,
            size: done.written.size,
            frames: done.sums.finish(),
            stamp: done.written.stamp,
        })
    }

    /// Gives the upload up and its space back: to its last saved state, or to nothing.
    pub async fn discard(mut self) -> Result<(), BlobError> {
        self.pending.clear();
        match self.core().await?.writer {
            Some(writer) => writer.discard().await,
            None => Ok(()),
        }
    }

    /// Copies a small chunk to the others. While memory is tight it is not kept for others to come.
    async fn gather(&mut self, mut bytes: &[u8]) -> Result<(), BlobError> {
        while !bytes.is_empty() {
            if self.gather.is_none() {
                let capacity = if self.account.is_tight() { SMALL_BYTES } else { GATHER_BYTES };
                let permit = self.permit(capacity).await?;
                self.gather = Some(Gather { buffer: BytesMut::with_capacity(capacity), capacity, permit });
            }
            let Some(gather) = &mut self.gather else { continue };
            let (now, later) = bytes.split_at(bytes.len().min(gather.capacity - gather.buffer.len()));
            gather.buffer.extend_from_slice(now);
            bytes = later;
            if gather.buffer.len() == gather.capacity || self.account.is_tight() {
                self.flush_gathered();
                self.send_if_due().await?;
            }
        }
        Ok(())
    }

    fn flush_gathered(&mut self) {
        if let Some(Gather { buffer, permit, .. }) = self.gather.take() {
            self.add(permit.charge(buffer.freeze()));
        }
    }

    fn add(&mut self, bytes: Bytes) {
        self.pending_bytes += bytes.len();
        self.pending.push(bytes);
    }

    /// Budget for bytes; hands over what is held back before it waits, so that waiting uploads hold nothing but what is
    /// too short for a part.
    async fn permit(&mut self, bytes: usize) -> Result<Permit, BlobError> {
        if let Some(permit) = self.account.try_take(bytes) {
            return Ok(permit);
        }
        self.flush_gathered();
        if !self.pending.is_empty() {
            self.send().await?;
        }
        if self.in_parts {
            let mut core = self.core().await?;
            if let Some(writer) = &mut core.writer {
                writer.relieve().await?;
            }
            self.work = Work::Idle(core);
        }
        self.account.take(bytes).await
    }

    async fn send_if_due(&mut self) -> Result<(), BlobError> {
        let full = self.pending_bytes >= BATCH_BYTES || self.pending.len() >= BATCH_SLICES;
        let early = !self.in_parts && self.account.is_tight() && matches!(self.work, Work::Idle(_));
        if full || early { self.send().await } else { Ok(()) }
    }

    /// Hands the pending batch over, once the previous one is done.
    async fn send(&mut self) -> Result<(), BlobError> {
        let core = self.core().await?;
        let batch = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        self.work = Work::Busy(tokio::spawn(core.absorb(batch)));
        Ok(())
    }

    /// The core, once the batch that it is working on is done.
    async fn core(&mut self) -> Result<Box<Core>, BlobError> {
        if let Work::Busy(task) = &mut self.work {
            let result = task.await;
            self.work = Work::Failed;
            self.work = Work::Idle(Box::new(result.map_err(lost_thread)??));
        }
        match std::mem::replace(&mut self.work, Work::Failed) {
            Work::Idle(core) => Ok(core),
            Work::Busy(_) | Work::Failed => Err(BlobError::Closed),
        }
    }
}

/// Compares the bytes that another process wrote with the checksums of the saved state.
async fn recheck(store: &dyn BlobStore, key: BlobKey, state: &IngestState) -> Result<(), BlobError> {
    let lost = BlobError::Lost { key, offset: state.offset() };
    let Some(object) = store.open(key).await? else {
        return Err(lost);
    };
    let mut sums = FrameSums::new();
    let mut stream = object.stream(0..state.offset());
    while let Some(bytes) = stream.next().await {
        match bytes {
            Ok(bytes) => sums.update(&bytes),
            Err(BlobError::Truncated { .. }) => return Err(lost),
            Err(error) => return Err(error),
        }
    }
    if sums == state.sums { Ok(()) } else { Err(lost) }
}

/// Hashes a finished object: by another algorithm than it was received with, or because it may be another's. Removes it
/// when it is the wrong one, unless it is not known to be ours.
async fn check_by_reading(done: &Done, expected: &Digest) -> Result<(), IngestError> {
    let key = done.key;
    let object = done.store.open(key).await?.ok_or(BlobError::Lost { key, offset: done.written.size })?;
    let mut hasher = Hasher::new(expected.algorithm());
    let mut stream = object.stream(0..done.written.size);
    while let Some(bytes) = stream.next().await {
        let bytes = bytes?;
        hasher = core::hop(move || {
            hasher.update(&bytes);
            Ok(hasher)
        })
        .await?;
    }
    let actual = hasher.finish();
    if actual == *expected {
        return Ok(());
    }
    if !done.written.own {
        return Err(BlobError::Lost { key, offset: done.written.size }.into());
    }
    done.store.delete(key).await?;
    Err(IngestError::Digest { actual })
}
