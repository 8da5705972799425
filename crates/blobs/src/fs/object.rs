//! Reading a file of the store.
//!
//! Bytes in the page cache are read on the calling thread by `preadv2(RWF_NOWAIT)`; what the disk must deliver is read
//! on the blocking pool, so that a cold file stalls nobody else's transfer.

use std::fs::File;
use std::io::IoSliceMut;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use rustix::fs::Advice;
use rustix::io::{Errno, ReadWriteFlags};

use super::{Shared, hop};
use crate::buffers::Buffer;
use crate::frames::piece_end;
use crate::store::{BoxFuture, BoxStream};
use crate::{BlobError, BlobKey, BlobObject, Stat};

/// How far ahead of a cold read the kernel is asked to read.
const READ_AHEAD_BYTES: Option<NonZeroU64> = NonZeroU64::new(4 * 1024 * 1024);

/// A file opened for reading.
pub(super) struct FsObject {
    pub(super) shared: Arc<Shared>,
    pub(super) key: BlobKey,
    pub(super) file: Arc<File>,
    pub(super) stat: Stat,
}

/// What a read without waiting gave.
enum Quick {
    Whole(Bytes),
    /// The first bytes only; a thread that may block reads the rest.
    Part(Buffer, usize),
}

impl FsObject {
    fn read_quick(&self, range: &Range<u64>) -> Result<Quick, BlobError> {
        let length = length_of(range)?;
        let mut buffer = self.shared.buffers.take(length);
        if length == 0 {
            return Ok(Quick::Whole(Bytes::new()));
        }
        if !self.shared.nowait_read.load(Ordering::Relaxed) {
            return Ok(Quick::Part(buffer, 0));
        }
        let mut slices = [IoSliceMut::new(buffer.as_mut())];
        match rustix::io::preadv2(&self.file, &mut slices, range.start, ReadWriteFlags::NOWAIT) {
            Ok(0) => Err(BlobError::Truncated { key: self.key, at: range.start }),
            Ok(read) if read == length => Ok(Quick::Whole(buffer.freeze())),
            Ok(read) => Ok(Quick::Part(buffer, read)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Quick::Part(buffer, 0)),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                self.shared.nowait_read.store(false, Ordering::Relaxed);
                Ok(Quick::Part(buffer, 0))
            }
            Err(error) => Err(BlobError::io("read", error)),
        }
    }

    /// Fills the rest of a buffer, on a thread that may block.
    fn read_slow(&self, start: u64, mut buffer: Buffer, mut filled: usize) -> Result<Bytes, BlobError> {
        while let Some(rest) = buffer.as_mut().get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let at = start + filled as u64;
            match self.file.read_at(rest, at) {
                Ok(0) => return Err(BlobError::Truncated { key: self.key, at }),
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(BlobError::io("read", error)),
            }
        }
        Ok(buffer.freeze())
    }

    fn read_ahead(&self, from: u64) {
        // Advice only: a file system that does not take it reads as before.
        let _ = rustix::fs::fadvise(&self.file, from, READ_AHEAD_BYTES, Advice::WillNeed);
    }
}

fn length_of(range: &Range<u64>) -> Result<usize, BlobError> {
    usize::try_from(range.end.saturating_sub(range.start))
        .map_err(|_| BlobError::io("read", std::io::Error::from(std::io::ErrorKind::OutOfMemory)))
}

impl BlobObject for FsObject {
    fn key(&self) -> BlobKey {
        self.key
    }

    fn stat(&self) -> Stat {
        self.stat
    }

    fn read_at(&self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, BlobError>> {
        Box::pin(async move {
            match self.read_quick(&range)? {
                Quick::Whole(bytes) => Ok(bytes),
                Quick::Part(buffer, filled) => {
                    let this = Self {
                        shared: Arc::clone(&self.shared),
                        key: self.key,
                        file: Arc::clone(&self.file),
                        stat: self.stat,
                    };
                    hop(move || this.read_slow(range.start, buffer, filled)).await
                }
            }
        })
    }

    fn stream(self: Arc<Self>, range: Range<u64>) -> BoxStream<'static, Result<Bytes, BlobError>> {
        Box::pin(FsStream { object: self, range, pending: None })
    }

    fn drop_cached(&self) {
        // Advice only, see `read_ahead`.
        let _ = rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed);
    }

    fn file(&self) -> Option<&Arc<File>> {
        Some(&self.file)
    }
}

/// The frames of a range, in order.
struct FsStream {
    object: Arc<FsObject>,
    range: Range<u64>,
    pending: Option<BoxFuture<'static, Result<Bytes, BlobError>>>,
}

impl Stream for FsStream {
    type Item = Result<Bytes, BlobError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.pending.is_none() {
            if this.range.is_empty() {
                return Poll::Ready(None);
            }
            let start = this.range.start;
            let end = piece_end(start, this.range.end);
            this.range.start = end;
            match this.object.read_quick(&(start..end)) {
                Ok(Quick::Whole(bytes)) => return Poll::Ready(Some(Ok(bytes))),
                Ok(Quick::Part(buffer, filled)) => {
                    let object = Arc::clone(&this.object);
                    this.pending = Some(Box::pin(hop(move || {
                        object.read_ahead(start);
                        object.read_slow(start, buffer, filled)
                    })));
                }
                Err(error) => {
                    this.range.start = this.range.end;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        let Some(pending) = this.pending.as_mut() else {
            return Poll::Ready(None);
        };
        let result = std::task::ready!(pending.as_mut().poll(context));
        this.pending = None;
        if result.is_err() {
            this.range.start = this.range.end;
        }
        Poll::Ready(Some(result))
    }
}
