//! The part of an upload that moves to the thread that hashes and writes.

use std::sync::Arc;

use bytes::Bytes;
use oci::{Digest, Hasher};

use super::IngestError;
use crate::{BlobError, BlobKey, BlobStore, BlobWriter, FrameSums, LocalStore, Written};

/// Below this hashing on the async thread is cheaper than a hop (some 40 us).
const INLINE_HASH_BYTES: usize = 64 * 1024;

/// Hash, checksums and writer. Dropping it rolls the object back, because it drops the writer.
pub(super) struct Core {
    pub(super) store: Arc<dyn BlobStore>,
    pub(super) key: BlobKey,
    pub(super) hash: Hash,
    /// Begun with the first bytes that must leave memory: a small body is created, written and synced in one hop.
    pub(super) writer: Option<Box<dyn BlobWriter>>,
}

/// The running hash and checksums.
pub(super) struct Hash {
    pub(super) hasher: Hasher,
    pub(super) sums: FrameSums,
}

impl Hash {
    fn update(&mut self, batch: &[Bytes]) {
        for bytes in batch {
            // In steps that stay in the first-level caches, so that the second pass reads no memory.
            for step in bytes.chunks(16 * 1024) {
                self.hasher.update(step);
                self.sums.update(step);
            }
        }
    }

    /// The digest so far, if `expected` is of the same algorithm; an error when it differs.
    pub(super) fn check(&self, expected: &Digest) -> Result<bool, IngestError> {
        if self.hasher.algorithm() != expected.algorithm() {
            return Ok(false);
        }
        let actual = self.hasher.clone().finish();
        if actual == *expected { Ok(true) } else { Err(IngestError::Digest { actual }) }
    }
}

impl Core {
    /// Hashes and writes a batch, in one hop where the store is local, side by side where it is remote.
    pub(super) async fn absorb(mut self, batch: Vec<Bytes>) -> Result<Self, BlobError> {
        if let Some(local) = self.store.local() {
            return hop(move || {
                self.absorb_now(&*local, &batch)?;
                Ok(self)
            })
            .await;
        }
        self.begin().await?;
        let Self { store, key, mut hash, mut writer } = self;
        let copy = batch.clone();
        let hashing = hop(move || {
            hash.update(&copy);
            Ok(hash)
        });
        let writing = async {
            for bytes in batch {
                writer.as_mut().ok_or(BlobError::Closed)?.write(bytes).await?;
            }
            Ok(writer)
        };
        let (hash, writer) = futures_util::future::try_join(hashing, writing).await?;
        Ok(Self { store, key, hash, writer })
    }

    fn absorb_now(&mut self, local: &dyn LocalStore, batch: &[Bytes]) -> Result<(), BlobError> {
        self.hash.update(batch);
        self.write_now(local, batch)
    }

    fn write_now(&mut self, local: &dyn LocalStore, batch: &[Bytes]) -> Result<(), BlobError> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(local.begin_now(self.key)?),
        };
        writer.as_sync().ok_or(BlobError::Closed)?.write_batch(batch)
    }

    /// Creates the object if that has not happened yet.
    pub(super) async fn begin(&mut self) -> Result<(), BlobError> {
        if self.writer.is_none() {
            self.writer = Some(self.store.begin(self.key).await?);
        }
        Ok(())
    }

    /// Hashes the rest, checks the digest, and only then writes the rest and makes the object durable.
    pub(super) async fn complete(mut self, rest: Vec<Bytes>, expected: Digest) -> Result<Done, IngestError> {
        let Some(local) = self.store.local() else {
            return self.complete_remote(rest, expected).await;
        };
        let finished = tokio::task::spawn_blocking(move || {
            self.hash.update(&rest);
            let checked = self.hash.check(&expected)?;
            self.write_now(&*local, &rest)?;
            let writer = self.writer.as_mut().and_then(|writer| writer.as_sync()).ok_or(BlobError::Closed)?;
            let written = writer.finish_now()?;
            Ok(Done { store: self.store, key: self.key, sums: self.hash.sums, written, checked })
        });
        finished.await.map_err(lost_thread)?
    }

    async fn complete_remote(mut self, rest: Vec<Bytes>, expected: Digest) -> Result<Done, IngestError> {
        if rest.iter().map(Bytes::len).sum::<usize>() <= INLINE_HASH_BYTES {
            self.hash.update(&rest);
        } else {
            let (copy, mut hash) = (rest.clone(), self.hash);
            self.hash = hop(move || {
                hash.update(&copy);
                Ok(hash)
            })
            .await?;
        }
        let checked = match self.hash.check(&expected) {
            Ok(checked) => checked,
            Err(error) => {
                if let Some(writer) = self.writer {
                    writer.discard().await?;
                }
                return Err(error);
            }
        };
        self.begin().await?;
        let mut writer = self.writer.ok_or(BlobError::Closed)?;
        for bytes in rest {
            writer.write(bytes).await?;
        }
        let written = writer.finish().await?;
        let checked = checked && written.own;
        Ok(Done { store: self.store, key: self.key, sums: self.hash.sums, written, checked })
    }
}

/// A durable object.
pub(super) struct Done {
    pub(super) store: Arc<dyn BlobStore>,
    pub(super) key: BlobKey,
    pub(super) sums: FrameSums,
    pub(super) written: Written,
    /// Whether the running hash was of the algorithm of the expected digest, and of what the object holds.
    pub(super) checked: bool,
}

/// Runs blocking work on tokio's pool.
pub(super) async fn hop<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    tokio::task::spawn_blocking(work).await.map_err(lost_thread)?
}

pub(super) fn lost_thread(error: tokio::task::JoinError) -> BlobError {
    BlobError::io("hashing task", std::io::Error::other(error))
}
