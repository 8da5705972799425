//! A store that fails on demand, around any other: for tests of what lies above.
//!
//! A hook sees every operation and answers what shall go wrong. It has no blocking form, so the paths of remote stores
//! are exercised over local ones too. With a hook that answers [`Fault::None`] it keeps the whole contract.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use url::Url;

use crate::store::{BoxFuture, BoxStream, Capabilities};
use crate::{
    BlobError, BlobKey, BlobObject, BlobStore, BlobWriter, FreeSpace, Listed, Permit, Presign, Stat,
    Unfinished, WriteState, Written,
};

/// What is about to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `BlobStore::begin`.
    Begin,
    /// `BlobStore::resume`.
    Resume,
    /// `BlobStore::open`.
    Open,
    /// `BlobStore::stat`.
    Stat,
    /// `BlobStore::delete`.
    Delete,
    /// `BlobStore::abort`.
    Abort,
    /// `BlobStore::list` and `unfinished`.
    List,
    /// `BlobWriter::write`.
    Write,
    /// `BlobWriter::pause`.
    Pause,
    /// `BlobWriter::finish`.
    Finish,
    /// `BlobWriter::discard`.
    Discard,
    /// `BlobObject::read_at` and each piece of `BlobObject::stream`.
    Read,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The operation fails before it does anything.
    Before(Failure),
    /// The operation is done, and then reported as failed: an uncertain outcome.
    After(Failure),
    /// A read gives the bytes with the lowest bit of this byte of the object flipped.
    Flip(u64),
    /// A read finds the object ending here.
    EndAt(u64),
}

/// The error that is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// [`BlobError::NoSpace`].
    NoSpace,
    /// [`BlobError::Unavailable`].
    Unavailable,
    /// [`BlobError::Io`].
    Io,
}

impl Failure {
    fn error(self) -> BlobError {
        let source = || std::io::Error::other("injected");
        match self {
            Self::NoSpace => BlobError::NoSpace,
            Self::Unavailable => BlobError::Unavailable { operation: "injected", source: Box::new(source()) },
            Self::Io => BlobError::Io { operation: "injected", source: source() },
        }
    }
}

type Hook = Arc<dyn Fn(Operation, Option<BlobKey>) -> Fault + Send + Sync>;

/// A store with a hook.
#[derive(Clone)]
pub struct HookedBlobs {
    inner: Arc<dyn BlobStore>,
    hook: Hook,
}

impl std::fmt::Debug for HookedBlobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HookedBlobs").field(&self.inner).finish()
    }
}

impl HookedBlobs {
    /// Wraps a store.
    pub fn new(
        inner: Arc<dyn BlobStore>,
        hook: impl Fn(Operation, Option<BlobKey>) -> Fault + Send + Sync + 'static,
    ) -> Self {
        Self { inner, hook: Arc::new(hook) }
    }
}

/// Runs an operation between the two places where it can be made to fail.
async fn around<T>(
    hook: &Hook,
    operation: Operation,
    key: Option<BlobKey>,
    run: impl Future<Output = Result<T, BlobError>>,
) -> Result<T, BlobError> {
    match hook(operation, key) {
        Fault::Before(failure) => Err(failure.error()),
        Fault::After(failure) => {
            let done = run.await;
            drop(done);
            Err(failure.error())
        }
        Fault::None | Fault::Flip(_) | Fault::EndAt(_) => run.await,
    }
}

impl BlobStore for HookedBlobs {
    fn begin(&self, key: BlobKey) -> BoxFuture<'_, Result<Box<dyn BlobWriter>, BlobError>> {
        Box::pin(around(&self.hook, Operation::Begin, Some(key), async move {
            let writer = self.inner.begin(key).await?;
            Ok(HookedWriter { writer: Some(writer), offset: 0, key, hook: Arc::clone(&self.hook) }.boxed())
        }))
    }

    fn writer_memory_bytes(&self) -> usize {
        self.inner.writer_memory_bytes()
    }

    fn resume<'a>(
        &'a self,
        key: BlobKey,
        state: &'a WriteState,
    ) -> BoxFuture<'a, Result<Box<dyn BlobWriter>, BlobError>> {
        Box::pin(around(&self.hook, Operation::Resume, Some(key), async move {
            let writer = self.inner.resume(key, state).await?;
            let offset = writer.offset();
            Ok(HookedWriter { writer: Some(writer), offset, key, hook: Arc::clone(&self.hook) }.boxed())
        }))
    }

    fn open(&self, key: BlobKey) -> BoxFuture<'_, Result<Option<Arc<dyn BlobObject>>, BlobError>> {
        Box::pin(around(&self.hook, Operation::Open, Some(key), async move {
            let object = self.inner.open(key).await?;
            let hook = &self.hook;
            Ok(object
                .map(|inner| Arc::new(HookedObject { inner, hook: Arc::clone(hook) }) as Arc<dyn BlobObject>))
        }))
    }

    fn stat(&self, key: BlobKey) -> BoxFuture<'_, Result<Option<Stat>, BlobError>> {
        Box::pin(around(&self.hook, Operation::Stat, Some(key), self.inner.stat(key)))
    }

    fn delete(&self, key: BlobKey) -> BoxFuture<'_, Result<(), BlobError>> {
        Box::pin(around(&self.hook, Operation::Delete, Some(key), self.inner.delete(key)))
    }

    fn abort<'a>(
        &'a self,
        key: BlobKey,
        state: Option<&'a WriteState>,
    ) -> BoxFuture<'a, Result<(), BlobError>> {
        Box::pin(around(&self.hook, Operation::Abort, Some(key), self.inner.abort(key, state)))
    }

    fn list(&self, after: Option<BlobKey>, limit: usize) -> BoxFuture<'_, Result<Vec<Listed>, BlobError>> {
        Box::pin(around(&self.hook, Operation::List, None, self.inner.list(after, limit)))
    }

    fn unfinished(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Unfinished>, BlobError>> {
        Box::pin(around(&self.hook, Operation::List, None, self.inner.unfinished(limit)))
    }

    fn free_space(&self) -> BoxFuture<'_, Result<Option<FreeSpace>, BlobError>> {
        self.inner.free_space()
    }

    fn presign<'a>(
        &'a self,
        key: BlobKey,
        presign: &'a Presign,
    ) -> BoxFuture<'a, Result<Option<Url>, BlobError>> {
        self.inner.presign(key, presign)
    }

    fn probe(&self) -> BoxFuture<'_, Result<Capabilities, BlobError>> {
        self.inner.probe()
    }
}

struct HookedWriter {
    /// Taken when a failure was injected, so that the wrapped writer rolls back as after a real one.
    writer: Option<Box<dyn BlobWriter>>,
    offset: u64,
    key: BlobKey,
    hook: Hook,
}

impl HookedWriter {
    fn boxed(self) -> Box<dyn BlobWriter> {
        Box::new(self)
    }
}

impl BlobWriter for HookedWriter {
    fn offset(&self) -> u64 {
        self.writer.as_ref().map_or(self.offset, |writer| writer.offset())
    }

    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), BlobError>> {
        Box::pin(async move {
            let writer = self.writer.as_mut().ok_or(BlobError::Closed)?;
            let result = around(&self.hook, Operation::Write, Some(self.key), writer.write(bytes)).await;
            if result.is_err()
                && let Some(writer) = self.writer.take()
            {
                writer.discard().await?;
            }
            result
        })
    }

    fn relieve(&mut self) -> BoxFuture<'_, Result<(), BlobError>> {
        Box::pin(async move {
            match &mut self.writer {
                Some(writer) => writer.relieve().await,
                None => Err(BlobError::Closed),
            }
        })
    }

    fn charge(&mut self, permit: Permit) {
        if let Some(writer) = &mut self.writer {
            writer.charge(permit);
        }
    }

    fn needs_recheck(&self) -> bool {
        self.writer.as_ref().is_some_and(|writer| writer.needs_recheck())
    }

    fn pause(self: Box<Self>) -> BoxFuture<'static, Result<WriteState, BlobError>> {
        Box::pin(async move {
            let writer = self.writer.ok_or(BlobError::Closed)?;
            around(&self.hook, Operation::Pause, Some(self.key), writer.pause()).await
        })
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<Written, BlobError>> {
        Box::pin(async move {
            let writer = self.writer.ok_or(BlobError::Closed)?;
            around(&self.hook, Operation::Finish, Some(self.key), writer.finish()).await
        })
    }

    fn discard(self: Box<Self>) -> BoxFuture<'static, Result<(), BlobError>> {
        Box::pin(async move {
            match self.writer {
                Some(writer) => {
                    around(&self.hook, Operation::Discard, Some(self.key), writer.discard()).await
                }
                None => Ok(()),
            }
        })
    }
}

struct HookedObject {
    inner: Arc<dyn BlobObject>,
    hook: Hook,
}

/// Applies a read's fault to the bytes that begin at `start`.
fn spoil(hook: &Hook, key: BlobKey, start: u64, bytes: Bytes) -> Result<Bytes, BlobError> {
    let end = start + bytes.len() as u64;
    match hook(Operation::Read, Some(key)) {
        Fault::Before(failure) | Fault::After(failure) => Err(failure.error()),
        Fault::EndAt(at) if at < end => Err(BlobError::Truncated { key, at }),
        Fault::Flip(at) if (start..end).contains(&at) => {
            let mut copy = BytesMut::from(&bytes[..]);
            if let Some(byte) = usize::try_from(at - start).ok().and_then(|index| copy.get_mut(index)) {
                *byte ^= 1;
            }
            Ok(copy.freeze())
        }
        Fault::None | Fault::EndAt(_) | Fault::Flip(_) => Ok(bytes),
    }
}

impl BlobObject for HookedObject {
    fn key(&self) -> BlobKey {
        self.inner.key()
    }

    fn stat(&self) -> Stat {
        self.inner.stat()
    }

    fn read_at(&self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, BlobError>> {
        Box::pin(async move {
            let bytes = self.inner.read_at(range.clone()).await?;
            spoil(&self.hook, self.key(), range.start, bytes)
        })
    }

    fn drop_cached(&self) {
        self.inner.drop_cached();
    }

    fn stream(self: Arc<Self>, range: Range<u64>) -> BoxStream<'static, Result<Bytes, BlobError>> {
        let mut position = range.start;
        let inner = Arc::clone(&self.inner).stream(range);
        inner
            .map(move |bytes| {
                let bytes = bytes?;
                let start = position;
                position += bytes.len() as u64;
                spoil(&self.hook, self.inner.key(), start, bytes)
            })
            .boxed()
    }
}
