//! Writing a file of the store.

use std::fs::File;
use std::io::IoSlice;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::{MODE_FILE, Shared, hop, size_of, stat_of};
use crate::state::Place;
use crate::store::BoxFuture;
use crate::{BlobError, BlobKey, BlobWriter, SyncWriter, WriteState, Written};

/// Slices handed to one `pwritev`; the kernel's limit is 1,024.
const MOST_SLICES: usize = 512;

/// A writer; owns the file's lock until it is dropped.
pub(super) struct FsWriter {
    /// Taken when the writer ends one way or another.
    open: Option<Open>,
    offset: u64,
    recheck: bool,
}

/// A file being written, which rolls itself back unless it is released.
struct Open {
    shared: Arc<Shared>,
    key: BlobKey,
    file: File,
    /// Length to go back to; `None`: the file did not exist.
    base: Option<u64>,
    released: bool,
}

impl FsWriter {
    pub(super) fn create(shared: &Arc<Shared>, key: BlobKey) -> Result<Self, BlobError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file: File = match rustix::fs::openat(&shared.root, key.to_string(), flags, MODE_FILE) {
            Ok(file) => file.into(),
            Err(Errno::EXIST) => return Err(Self::why_exists(shared, key)),
            Err(error) => return Err(BlobError::io("create", error)),
        };
        let open = Open { shared: Arc::clone(shared), key, file, base: None, released: false };
        open.lock()?;
        Ok(Self { open: Some(open), offset: 0, recheck: false })
    }

    /// An object that is there is the caller's mistake, unless its dropped writer is just removing it.
    fn why_exists(shared: &Arc<Shared>, key: BlobKey) -> BlobError {
        match shared.open_file(key, OFlags::RDWR) {
            Ok(Some(file)) => {
                let open = Open { shared: Arc::clone(shared), key, file, base: None, released: true };
                open.lock().err().unwrap_or(BlobError::Exists { key })
            }
            Ok(None) => BlobError::Busy { key },
            Err(error) => error,
        }
    }

    pub(super) fn reopen(
        shared: &Arc<Shared>,
        key: BlobKey,
        offset: u64,
        incarnation: u64,
    ) -> Result<Self, BlobError> {
        let file = shared.open_file(key, OFlags::RDWR)?.ok_or(BlobError::Lost { key, offset })?;
        // Released until the lock is ours and the length is right: before that there is nothing to take back.
        let mut open = Open { shared: Arc::clone(shared), key, file, base: Some(offset), released: true };
        open.lock()?;
        let stat = rustix::fs::fstat(&open.file).map_err(|e| BlobError::io("fstat", e))?;
        if size_of(&stat) < offset {
            return Err(BlobError::Lost { key, offset });
        }
        if size_of(&stat) > offset {
            rustix::fs::ftruncate(&open.file, offset).map_err(|e| BlobError::io("truncate", e))?;
        }
        open.released = false;
        Ok(Self { open: Some(open), offset, recheck: incarnation != shared.incarnation })
    }

    /// Removes an unfinished object unless its writer lives. The lock makes sure that a roll-back that is still under
    /// way cannot hit a later object of the same key.
    pub(super) fn remove(shared: &Arc<Shared>, key: BlobKey) -> Result<(), BlobError> {
        let Some(file) = shared.open_file(key, OFlags::RDWR)? else {
            return Ok(());
        };
        let open = Open { shared: Arc::clone(shared), key, file, base: None, released: true };
        open.lock()?;
        open.roll_back()
    }

    fn append(&mut self, batch: &[Bytes]) -> Result<(), BlobError> {
        let open = self.open.as_ref().ok_or(BlobError::Closed)?;
        match write_all(&open.file, batch, self.offset) {
            Ok(written) => {
                self.offset += written;
                Ok(())
            }
            Err(error) => {
                // Dropping it here, on a thread that may block, gives the space back before the error is answered.
                if let Some(open) = self.open.take() {
                    open.roll_back_now();
                }
                Err(BlobError::io("write", error))
            }
        }
    }

    fn complete(&mut self) -> Result<Written, BlobError> {
        let mut open = self.open.take().ok_or(BlobError::Closed)?;
        match open.make_durable(self.offset) {
            Ok(written) => {
                open.released = true;
                Ok(written)
            }
            Err(error) => {
                // A failed sync may have lost pages of what was saved before, too, and the next one would not say so:
                // nothing of the object can be trusted.
                open.base = None;
                open.roll_back_now();
                Err(error)
            }
        }
    }
}

/// Writes all slices at `offset`; answers how many bytes that were.
fn write_all(file: &File, batch: &[Bytes], mut offset: u64) -> Result<u64, Errno> {
    let begin = offset;
    for group in batch.chunks(MOST_SLICES) {
        let mut slices: Vec<IoSlice<'_>> = group.iter().map(|bytes| IoSlice::new(bytes)).collect();
        let mut rest = &mut slices[..];
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match rustix::io::pwritev(file, rest, offset) {
                Ok(0) => return Err(Errno::IO),
                Ok(written) => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(offset - begin)
}

impl Open {
    fn lock(&self) -> Result<(), BlobError> {
        match rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(()),
            Err(Errno::WOULDBLOCK) => Err(BlobError::Busy { key: self.key }),
            Err(error) => Err(BlobError::io("lock", error)),
        }
    }

    /// The order is the invariant: length checked, file synced, then its name.
    fn make_durable(&self, size: u64) -> Result<Written, BlobError> {
        let stat = rustix::fs::fstat(&self.file).map_err(|e| BlobError::io("fstat", e))?;
        let found = size_of(&stat);
        if found != size {
            return Err(BlobError::Length { key: self.key, expected: size, found });
        }
        retry_on_intr(|| rustix::fs::fsync(&self.file)).map_err(|e| BlobError::io("fsync", e))?;
        self.shared.sync_directory(self.key)?;
        Ok(Written { size, stamp: stat_of(&stat).stamp, own: true })
    }

    fn roll_back(&self) -> Result<(), BlobError> {
        match self.base {
            None => self.shared.remove(self.key),
            Some(length) => {
                rustix::fs::ftruncate(&self.file, length).map_err(|e| BlobError::io("truncate", e))
            }
        }
    }

    fn roll_back_now(mut self) {
        self.released = true;
        if let Err(error) = self.roll_back() {
            tracing::warn!(key = %self.key, %error, "an unfinished blob could not be rolled back");
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.released {
            return;
        }
        let (shared, key, base) = (Arc::clone(&self.shared), self.key, self.base);
        let Ok(file) = self.file.try_clone() else {
            return;
        };
        let open = Self { shared, key, file, base, released: true };
        // A drop may happen on an async thread (a cancelled request), and freeing a large file blocks.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || open.roll_back_now())),
            Err(_) => open.roll_back_now(),
        }
    }
}

impl SyncWriter for FsWriter {
    fn write_batch(&mut self, batch: &[Bytes]) -> Result<(), BlobError> {
        self.append(batch)
    }

    fn finish_now(&mut self) -> Result<Written, BlobError> {
        self.complete()
    }
}

impl BlobWriter for FsWriter {
    fn offset(&self) -> u64 {
        self.offset
    }

    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), BlobError>> {
        let mut moved = Self { open: self.open.take(), offset: self.offset, recheck: self.recheck };
        Box::pin(async move {
            let (result, moved) = hop(move || {
                let result = moved.append(&[bytes]);
                Ok((result, moved))
            })
            .await?;
            *self = moved;
            result
        })
    }

    fn as_sync(&mut self) -> Option<&mut dyn SyncWriter> {
        Some(self)
    }

    fn needs_recheck(&self) -> bool {
        self.recheck
    }

    fn pause(self: Box<Self>) -> BoxFuture<'static, Result<WriteState, BlobError>> {
        Box::pin(async move {
            let mut open = self.open.ok_or(BlobError::Closed)?;
            open.released = true;
            let place = Place::File { incarnation: open.shared.incarnation };
            Ok(WriteState { offset: self.offset, place })
        })
    }

    fn finish(mut self: Box<Self>) -> BoxFuture<'static, Result<Written, BlobError>> {
        Box::pin(hop(move || self.complete()))
    }

    fn discard(mut self: Box<Self>) -> BoxFuture<'static, Result<(), BlobError>> {
        Box::pin(hop(move || match self.open.take() {
            Some(mut open) => {
                open.released = true;
                open.roll_back()
            }
            None => Ok(()),
        }))
    }
}
