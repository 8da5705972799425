//! Reading a blob for a client: no range leaves with bytes that this process has not vouched for.
//!
//! A frame is compared with its checksum the first time this process serves it, and again when the object's identity
//! has changed or a day has passed. A range is widened to frame bounds only at frames that need it. A bad frame ends the
//! stream with an error before any of its bytes has left: the transfer is cut, never complete and wrong; the callback
//! lets the caller quarantine the object. Once all frames are checked, a read is a look-up in memory and the read itself.

mod body;
mod checks;

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;

use crate::frames::FRAME_BYTES;
use crate::store::BoxFuture;
use crate::{BlobError, BlobKey, BlobObject, BlobStore, Stat};
pub use body::BlobBody;
pub(crate) use checks::Entry;
pub use checks::{Clock, FrameChecks, RECHECK_AFTER};

/// Where frame checksums come from: rows of the database.
pub trait FrameSource: Send + Sync {
    /// The checksums of `frames` of the object, exactly as many; `None` when none are known (they are served unchecked
    /// until the scrub has made them). An error keeps the bytes from being served.
    fn load(
        &self,
        key: BlobKey,
        frames: Range<u32>,
    ) -> BoxFuture<'_, Result<Option<Vec<u32>>, FrameSourceError>>;
}

/// Why checksums could not be loaded.
pub type FrameSourceError = Box<dyn std::error::Error + Send + Sync>;

/// Called with the key and the frame of corrupt bytes; must not block.
pub type OnCorrupt = Arc<dyn Fn(BlobKey, u32) + Send + Sync>;

/// Opens blobs for serving. Cheap to clone.
#[derive(Clone)]
pub struct BlobReader {
    store: Arc<dyn BlobStore>,
    guard: Guard,
}

/// What checking needs.
#[derive(Clone)]
pub(crate) struct Guard {
    checks: Arc<FrameChecks>,
    source: Arc<dyn FrameSource>,
    on_corrupt: OnCorrupt,
}

impl BlobReader {
    /// A reader over a store.
    pub fn new(
        store: Arc<dyn BlobStore>,
        checks: Arc<FrameChecks>,
        source: Arc<dyn FrameSource>,
        on_corrupt: OnCorrupt,
    ) -> Self {
        Self { store, guard: Guard { checks, source, on_corrupt } }
    }

    /// Opens a blob whose row says `size`; `None` when the object is missing. An object of another size is
    /// [`BlobError::Truncated`], reported as corrupt.
    #[tracing::instrument(target = "spans", level = "trace", name = "blob.open", skip_all, fields(size))]
    pub async fn open(&self, key: BlobKey, size: u64) -> Result<Option<OpenBlob>, BlobError> {
        let Some(object) = self.store.open(key).await? else {
            return Ok(None);
        };
        let stat = object.stat();
        if stat.size != size {
            let at = stat.size.min(size);
            (self.guard.on_corrupt)(key, u32::try_from(at / FRAME_BYTES).unwrap_or(u32::MAX));
            return Err(BlobError::Truncated { key, at });
        }
        let entry = self.guard.checks.entry(key, stat);
        Ok(Some(OpenBlob { object, stat, entry, guard: self.guard.clone() }))
    }
}

/// A blob opened for serving.
pub struct OpenBlob {
    object: Arc<dyn BlobObject>,
    stat: Stat,
    entry: Arc<Entry>,
    guard: Guard,
}

impl OpenBlob {
    /// Size and identity.
    pub fn stat(&self) -> Stat {
        self.stat
    }

    /// The bytes of `range`, which lies within the size. What fits into one frame is read at once, so that a bad small
    /// blob is an error instead of a cut transfer; so is a larger one whose first frame is bad.
    #[tracing::instrument(target = "spans", level = "trace", name = "blob.read", skip_all)]
    pub async fn body(&self, range: Range<u64>) -> Result<BlobBody, BlobError> {
        if range.start > range.end || range.end > self.stat.size {
            return Err(BlobError::Truncated { key: self.object.key(), at: self.stat.size });
        }
        let frames = checks::frames_of(&range);
        let clean = self.entry.is_clean(&frames);
        if frames.len() <= 1 && clean {
            return Ok(BlobBody::whole(self.object.read_at(range).await.inspect_err(|e| self.report(e))?));
        }
        if clean {
            return Ok(BlobBody::stream(Arc::clone(&self.object).stream(range.clone()), range));
        }
        let mut checked = body::Checked::new(
            Arc::clone(&self.object),
            self.stat.size,
            Arc::clone(&self.entry),
            self.guard.clone(),
            range.clone(),
        );
        if frames.len() <= 1 {
            return Ok(BlobBody::whole(checked.only().await?));
        }
        // While nothing was sent, a bad frame is still an answer of its own.
        let first = futures_util::stream::iter(checked.next().await?.map(Ok));
        Ok(BlobBody::stream(first.chain(checked.into_stream()).boxed(), range))
    }

    /// The whole blob, if it is not larger than `limit` bytes; `None` when it is.
    pub async fn read_all(&self, limit: u64) -> Result<Option<Bytes>, BlobError> {
        if self.stat.size > limit {
            return Ok(None);
        }
        self.body(0..self.stat.size).await?.collect().await.map(Some)
    }

    /// The file, when every byte of `range` may leave without being read again (sendfile).
    pub fn file_if_clean(&self, range: &Range<u64>) -> Option<&Arc<File>> {
        self.object.file().filter(|_| self.entry.is_clean(&checks::frames_of(range)))
    }

    fn report(&self, error: &BlobError) {
        self.guard.report(self.object.key(), error);
    }
}

impl Guard {
    fn report(&self, key: BlobKey, error: &BlobError) {
        match error {
            BlobError::Corrupt { frame, .. } => (self.on_corrupt)(key, *frame),
            BlobError::Truncated { at, .. } => {
                (self.on_corrupt)(key, u32::try_from(at / FRAME_BYTES).unwrap_or(u32::MAX));
            }
            _ => {}
        }
    }
}
