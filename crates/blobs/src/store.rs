//! The contract of blob storage.
//!
//! A store maps keys to immutable byte objects. It is deliberately small: no rename, no copy, no overwrite, no metadata.
//! What a caller may rely on, on every implementation (executed by [`crate::suite`]):
//!
//! - **Exclusive creation.** A key gets an object once. `begin` on a key that has one is [`BlobError::Exists`]; two
//!   writers of one object are not possible at once on files ([`BlobError::Busy`]), and harmless on S3 (parts are named
//!   by their tags). A session without a saved state calls `abort(key, None)` and then `begin` again.
//! - **Durability.** When `finish` has returned, the object survives a power cut, whole. Before, nothing is promised
//!   across a power cut; across kill -9 everything below a returned [`WriteState`]'s offset is promised.
//! - **Roll-back.** A writer that fails, is discarded or is dropped takes the object back to the state it was begun or
//!   resumed from: bytes beyond are removed, a fresh object disappears (in the background after a drop).
//! - **Visibility.** Unfinished objects may or may not be seen by `open`, `stat` and `list`; rows decide, not the store.
//! - **Deletion** is idempotent; a missing object is success. Open objects may go on being read, or fail.
//! - **Not found** is `Ok(None)`.
//! - **Order.** `list` goes by ascending key.

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
pub use futures_util::future::BoxFuture;
pub use futures_util::stream::BoxStream;
use url::Url;

use crate::{BlobError, BlobKey, Permit, WriteState};

/// Shorthand for the futures of this contract.
type Answer<'a, T> = BoxFuture<'a, Result<T, BlobError>>;

/// A place for objects; see the module's contract.
pub trait BlobStore: Send + Sync + fmt::Debug {
    /// Creates an object and opens it for writing.
    ///
    /// Must be called in a tokio runtime, like everything here that answers a future.
    fn begin(&self, key: BlobKey) -> Answer<'_, Box<dyn BlobWriter>>;

    /// The blocking form of this store, where it has one: all its writers answer `as_sync`.
    fn local(&self) -> Option<Arc<dyn LocalStore>> {
        None
    }

    /// Memory that one writer holds at most, with what is on its way to it, before it gives any back: whoever writes takes
    /// it from the [`Budget`], and then needs no more to make progress. 0: the writer keeps nothing.
    ///
    /// [`Budget`]: crate::Budget
    fn writer_memory_bytes(&self) -> usize {
        0
    }

    /// Goes on writing at `state.offset()`; bytes beyond it are dropped. [`BlobError::Lost`] when bytes below are gone.
    fn resume<'a>(&'a self, key: BlobKey, state: &'a WriteState) -> Answer<'a, Box<dyn BlobWriter>>;

    /// Opens an object for reading.
    fn open(&self, key: BlobKey) -> Answer<'_, Option<Arc<dyn BlobObject>>>;

    /// Size and identity of an object.
    fn stat(&self, key: BlobKey) -> Answer<'_, Option<Stat>>;

    /// Deletes an object; one that is not there is success.
    fn delete(&self, key: BlobKey) -> Answer<'_, ()>;

    /// Drops an unfinished object with all that belongs to it: parts, multipart uploads, tails. Idempotent. Without a
    /// state it looks for what may be there, which is slower on S3. [`BlobError::Busy`] while its writer lives on.
    fn abort<'a>(&'a self, key: BlobKey, state: Option<&'a WriteState>) -> Answer<'a, ()>;

    /// Objects with keys after `after`, ascending, at most `limit`; fewer than `limit` means the end. Names that are not
    /// keys are passed over.
    fn list(&self, after: Option<BlobKey>, limit: usize) -> Answer<'_, Vec<Listed>>;

    /// Unfinished writes that `list` cannot show (S3 multipart uploads and tails), oldest first, at most `limit`. The
    /// caller aborts those that no session row owns: `abort(key, None)`.
    fn unfinished(&self, limit: usize) -> Answer<'_, Vec<Unfinished>> {
        let _ = limit;
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Room left, where the store knows it.
    fn free_space(&self) -> Answer<'_, Option<FreeSpace>>;

    /// A URL from which anybody may read the object until it expires, where the store can make one.
    fn presign<'a>(&'a self, key: BlobKey, presign: &'a Presign) -> Answer<'a, Option<Url>> {
        let _ = (key, presign);
        Box::pin(async { Ok(None) })
    }

    /// Tries at start what the store will need. [`BlobError::Unfit`] holds one actionable line.
    fn probe(&self) -> Answer<'_, Capabilities>;
}

/// The blocking form of a [`BlobStore`] that needs no network, for threads that may block.
pub trait LocalStore: Send + Sync {
    /// [`BlobStore::begin`] on the calling thread.
    fn begin_now(&self, key: BlobKey) -> Result<Box<dyn BlobWriter>, BlobError>;
}

/// An object being written, strictly in order.
///
/// Dropping it without `pause` or `finish` rolls it back (see the module's contract).
pub trait BlobWriter: Send {
    /// Bytes of the object so far.
    fn offset(&self) -> u64;

    /// Appends bytes. After an error the writer is rolled back and takes nothing more.
    fn write(&mut self, bytes: Bytes) -> Answer<'_, ()>;

    /// Sends off what it can of the bytes it holds, because memory is short. After an error the writer is rolled back.
    fn relieve(&mut self) -> Answer<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Has the bytes that it read when it was resumed count for this permit.
    fn charge(&mut self, permit: Permit) {
        drop(permit);
    }

    /// The blocking form of this writer, where it has one.
    fn as_sync(&mut self) -> Option<&mut dyn SyncWriter> {
        None
    }

    /// Whether bytes below the offset must be compared with their checksums before they are built upon, because the
    /// process that wrote them is gone and a power cut may have taken them with it.
    fn needs_recheck(&self) -> bool {
        false
    }

    /// Stops for now. What the state tells survives kill -9 of this process; another one continues.
    fn pause(self: Box<Self>) -> Answer<'static, WriteState>;

    /// Makes the object durable: when this has returned, a power cut does not lose it.
    fn finish(self: Box<Self>) -> Answer<'static, Written>;

    /// Rolls back now, and says whether that worked.
    fn discard(self: Box<Self>) -> Answer<'static, ()>;
}

/// The blocking form of a [`BlobWriter`], for threads that may block: hashing and writing share one hop.
pub trait SyncWriter: Send {
    /// Appends a batch.
    fn write_batch(&mut self, batch: &[Bytes]) -> Result<(), BlobError>;

    /// Makes the object durable; the writer takes nothing more.
    fn finish_now(&mut self) -> Result<Written, BlobError>;
}

/// An object opened for reading.
pub trait BlobObject: Send + Sync {
    /// The key.
    fn key(&self) -> BlobKey;

    /// Size in bytes and identity when it was opened.
    fn stat(&self) -> Stat;

    /// Reads exactly `range` into memory; the caller bounds it. [`BlobError::Truncated`] when the object ends earlier.
    fn read_at(&self, range: Range<u64>) -> Answer<'_, Bytes>;

    /// Streams exactly `range`. Each item ends at the next multiple of [`crate::FRAME_BYTES`] of the object or at the
    /// range's end: one item per frame touched.
    fn stream(self: Arc<Self>, range: Range<u64>) -> BoxStream<'static, Result<Bytes, BlobError>>;

    /// Asks the system to forget cached copies, so that the next read comes from the medium (for scrubs).
    fn drop_cached(&self) {}

    /// The file, when there is one (for sendfile). Bytes sent from it are not checked: see
    /// [`crate::FrameChecks::is_clean`].
    fn file(&self) -> Option<&Arc<File>> {
        None
    }
}

/// Identity of an object's bytes as far as the store can tell without reading them: changed bytes have (almost always)
/// another stamp. On files from inode, size, and modification time; on S3 from the ETag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp(pub(crate) [u64; 2]);

/// Size and identity of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Bytes.
    pub size: u64,
    /// Identity.
    pub stamp: Stamp,
}

/// What `finish` made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes.
    pub size: u64,
    /// Identity.
    pub stamp: Stamp,
    /// Whether it is known that this writer made the object. If not – the answer was lost, and another process may
    /// have finished the same upload – its bytes must be compared before anything relies on them.
    pub own: bool,
}

/// One row of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The key.
    pub key: BlobKey,
    /// Bytes.
    pub size: u64,
    /// Last modification, seconds since 1970 by the store's clock.
    pub modified_unix_s: i64,
}

/// An unfinished write that no listing shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The key it will have.
    pub key: BlobKey,
    /// When it was begun, seconds since 1970 by the store's clock.
    pub begun_unix_s: i64,
}

/// Room in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeSpace {
    /// Bytes that this process may still write.
    pub available_bytes: u64,
    /// Bytes that the volume has.
    pub total_bytes: u64,
}

/// What a presigned URL shall answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presign {
    /// How long it is good for.
    pub expires_in: Duration,
    /// The Content-Type of the answer.
    pub content_type: Option<String>,
}

/// What a start-up probe found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Lines for the operator about what works worse than it could.
    pub warnings: Vec<String>,
    /// Whether presigned URLs can be made.
    pub presigns: bool,
}
