//! Blob storage in memory, for tests and for the contract's reference.
//!
//! Keeps every rule of the contract except durability; the stamp counts generations. A capacity makes a full disk.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt as _;

use crate::busy::while_busy;
use crate::state::Place;
use crate::store::{BoxFuture, BoxStream, Capabilities};
use crate::{
    BlobError, BlobKey, BlobObject, BlobStore, BlobWriter, FreeSpace, Listed, LocalStore, Stamp, Stat,
    StateError, SyncWriter, WriteState, Written,
};

/// Blob storage in memory. Clones share the objects.
#[derive(Clone, Debug)]
pub struct MemoryBlobs {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    objects: BTreeMap<BlobKey, Object>,
    generation: u64,
    capacity: u64,
}

#[derive(Debug)]
struct Object {
    content: Content,
    generation: u64,
    busy: bool,
}

/// Growing while written; shared without copying once finished.
#[derive(Debug)]
enum Content {
    Growing(Vec<u8>),
    Whole(Bytes),
}

impl Content {
    fn len(&self) -> u64 {
        match self {
            Self::Growing(bytes) => bytes.len() as u64,
            Self::Whole(bytes) => bytes.len() as u64,
        }
    }

    fn share(&self) -> Bytes {
        match self {
            Self::Growing(bytes) => Bytes::copy_from_slice(bytes),
            Self::Whole(bytes) => bytes.clone(),
        }
    }
}

impl Default for MemoryBlobs {
    fn default() -> Self {
        Self::with_capacity(u64::MAX)
    }
}

impl MemoryBlobs {
    /// A store without a limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// A store that is full at `bytes`.
    pub fn with_capacity(bytes: u64) -> Self {
        Self {
            state: Arc::new(Mutex::new(State { objects: BTreeMap::new(), generation: 0, capacity: bytes })),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reopen(&self, key: BlobKey, offset: u64) -> Result<Box<dyn BlobWriter>, BlobError> {
        let length = usize::try_from(offset).map_err(|_| StateError::Contradiction)?;
        match self.lock().objects.get_mut(&key) {
            Some(object) if object.busy => Err(BlobError::Busy { key }),
            Some(Object { content: Content::Growing(bytes), busy, .. }) if bytes.len() >= length => {
                bytes.truncate(length);
                *busy = true;
                Ok(Box::new(MemoryWriter {
                    store: self.clone(),
                    key,
                    offset,
                    base: Some(length),
                    open: true,
                }))
            }
            _ => Err(BlobError::Lost { key, offset }),
        }
    }
}

impl State {
    fn used(&self) -> u64 {
        self.objects.values().map(|object| object.content.len()).sum()
    }

    fn stat(&self, key: BlobKey) -> Option<Stat> {
        let object = self.objects.get(&key)?;
        Some(Stat { size: object.content.len(), stamp: Stamp([object.generation, 0]) })
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, T> {
    Box::pin(std::future::ready(value))
}

impl LocalStore for MemoryBlobs {
    fn begin_now(&self, key: BlobKey) -> Result<Box<dyn BlobWriter>, BlobError> {
        let mut state = self.lock();
        if state.objects.contains_key(&key) {
            return Err(BlobError::Exists { key });
        }
        state.generation += 1;
        let generation = state.generation;
        state.objects.insert(key, Object { content: Content::Growing(Vec::new()), generation, busy: true });
        Ok(Box::new(MemoryWriter { store: self.clone(), key, offset: 0, base: None, open: true }))
    }
}

impl BlobStore for MemoryBlobs {
    fn begin(&self, key: BlobKey) -> BoxFuture<'_, Result<Box<dyn BlobWriter>, BlobError>> {
        ready(self.begin_now(key))
    }

    fn local(&self) -> Option<Arc<dyn LocalStore>> {
        Some(Arc::new(self.clone()))
    }

    fn resume<'a>(
        &'a self,
        key: BlobKey,
        saved: &'a WriteState,
    ) -> BoxFuture<'a, Result<Box<dyn BlobWriter>, BlobError>> {
        let offset = saved.offset;
        Box::pin(while_busy(move || {
            let place = &saved.place;
            ready(if *place == Place::Memory {
                self.reopen(key, offset)
            } else {
                Err(StateError::Store.into())
            })
        }))
    }

    fn open(&self, key: BlobKey) -> BoxFuture<'_, Result<Option<Arc<dyn BlobObject>>, BlobError>> {
        let state = self.lock();
        let object = state.stat(key).zip(state.objects.get(&key)).map(|(stat, object)| {
            Arc::new(MemoryObject { key, bytes: object.content.share(), stat }) as Arc<dyn BlobObject>
        });
        ready(Ok(object))
    }

    fn stat(&self, key: BlobKey) -> BoxFuture<'_, Result<Option<Stat>, BlobError>> {
        ready(Ok(self.lock().stat(key)))
    }

    fn delete(&self, key: BlobKey) -> BoxFuture<'_, Result<(), BlobError>> {
        self.lock().objects.remove(&key);
        ready(Ok(()))
    }

    fn abort<'a>(&'a self, key: BlobKey, _: Option<&'a WriteState>) -> BoxFuture<'a, Result<(), BlobError>> {
        Box::pin(while_busy(move || {
            let mut state = self.lock();
            if state.objects.get(&key).is_some_and(|object| object.busy) {
                return ready(Err(BlobError::Busy { key }));
            }
            state.objects.remove(&key);
            ready(Ok(()))
        }))
    }

    fn list(&self, after: Option<BlobKey>, limit: usize) -> BoxFuture<'_, Result<Vec<Listed>, BlobError>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        let state = self.lock();
        let rows = state.objects.range((from, Unbounded)).take(limit);
        ready(Ok(rows
            .map(|(key, o)| Listed { key: *key, size: o.content.len(), modified_unix_s: 0 })
            .collect()))
    }

    fn free_space(&self) -> BoxFuture<'_, Result<Option<FreeSpace>, BlobError>> {
        let state = self.lock();
        let total_bytes = state.capacity;
        ready(Ok(Some(FreeSpace { available_bytes: total_bytes.saturating_sub(state.used()), total_bytes })))
    }

    fn probe(&self) -> BoxFuture<'_, Result<Capabilities, BlobError>> {
        let warnings = vec!["blobs are kept in memory and lost with the process".to_owned()];
        ready(Ok(Capabilities { warnings, presigns: false }))
    }
}

struct MemoryWriter {
    store: MemoryBlobs,
    key: BlobKey,
    offset: u64,
    base: Option<usize>,
    open: bool,
}

impl MemoryWriter {
    fn roll_back(&mut self) {
        if !std::mem::replace(&mut self.open, false) {
            return;
        }
        let mut state = self.store.lock();
        match (self.base, state.objects.get_mut(&self.key)) {
            (Some(length), Some(Object { content: Content::Growing(bytes), busy, .. })) => {
                bytes.truncate(length);
                *busy = false;
            }
            _ => {
                state.objects.remove(&self.key);
            }
        }
    }
}

impl SyncWriter for MemoryWriter {
    fn write_batch(&mut self, batch: &[Bytes]) -> Result<(), BlobError> {
        if !self.open {
            return Err(BlobError::Closed);
        }
        let more: u64 = batch.iter().map(|bytes| bytes.len() as u64).sum();
        let result = {
            let mut state = self.store.lock();
            let room = state.used().saturating_add(more) <= state.capacity;
            match state.objects.get_mut(&self.key) {
                _ if !room => Err(BlobError::NoSpace),
                Some(Object { content: Content::Growing(content), .. }) => {
                    for bytes in batch {
                        content.extend_from_slice(bytes);
                    }
                    Ok(())
                }
                _ => Err(BlobError::Closed),
            }
        };
        match result {
            Ok(()) => self.offset += more,
            Err(_) => self.roll_back(),
        }
        result
    }

    fn finish_now(&mut self) -> Result<Written, BlobError> {
        if !std::mem::replace(&mut self.open, false) {
            return Err(BlobError::Closed);
        }
        let (key, expected) = (self.key, self.offset);
        let mut state = self.store.lock();
        let object = state.objects.get_mut(&key).ok_or(BlobError::Length { key, expected, found: 0 })?;
        object.busy = false;
        if let Content::Growing(bytes) = &mut object.content {
            object.content = Content::Whole(std::mem::take(bytes).into());
        }
        Ok(Written { size: expected, stamp: Stamp([object.generation, 0]), own: true })
    }
}

impl BlobWriter for MemoryWriter {
    fn offset(&self) -> u64 {
        self.offset
    }

    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), BlobError>> {
        ready(self.write_batch(&[bytes]))
    }

    fn as_sync(&mut self) -> Option<&mut dyn SyncWriter> {
        Some(self)
    }

    fn pause(mut self: Box<Self>) -> BoxFuture<'static, Result<WriteState, BlobError>> {
        if !std::mem::replace(&mut self.open, false) {
            return ready(Err(BlobError::Closed));
        }
        if let Some(object) = self.store.lock().objects.get_mut(&self.key) {
            object.busy = false;
        }
        ready(Ok(WriteState { offset: self.offset, place: Place::Memory }))
    }

    fn finish(mut self: Box<Self>) -> BoxFuture<'static, Result<Written, BlobError>> {
        ready(self.finish_now())
    }

    fn discard(mut self: Box<Self>) -> BoxFuture<'static, Result<(), BlobError>> {
        self.roll_back();
        ready(Ok(()))
    }
}

impl Drop for MemoryWriter {
    fn drop(&mut self) {
        self.roll_back();
    }
}

struct MemoryObject {
    key: BlobKey,
    bytes: Bytes,
    stat: Stat,
}

impl MemoryObject {
    fn slice(&self, range: &Range<u64>) -> Result<Bytes, BlobError> {
        let size = self.bytes.len();
        let (start, end) = (usize::try_from(range.start), usize::try_from(range.end));
        match (start, end) {
            (Ok(start), Ok(end)) if start <= end && end <= size => Ok(self.bytes.slice(start..end)),
            _ => Err(BlobError::Truncated { key: self.key, at: size as u64 }),
        }
    }
}

impl BlobObject for MemoryObject {
    fn key(&self) -> BlobKey {
        self.key
    }

    fn stat(&self) -> Stat {
        self.stat
    }

    fn read_at(&self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, BlobError>> {
        ready(self.slice(&range))
    }

    fn stream(self: Arc<Self>, range: Range<u64>) -> BoxStream<'static, Result<Bytes, BlobError>> {
        let pieces = crate::frames::pieces(range);
        futures_util::stream::iter(pieces).map(move |piece| self.slice(&piece)).boxed()
    }
}
