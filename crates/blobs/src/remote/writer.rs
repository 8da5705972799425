//! Writing a remote object as parts.
//!
//! Memory: one part is filled while up to `MOST_IN_FLIGHT` are on their way. The bytes carry the permits of who writes them
//! and give them back when their part has arrived. While memory is short, parts are of the smallest size, one at a time.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use object_store::multipart::PartId;
use object_store::{Error, ObjectStoreExt as _, PutMode, PutPayload, PutResult};
use tokio::task::JoinHandle;

use super::{COMPLETION_TIME, Remote, back_off, failed, stamp_of, upload_is_gone, within};
use crate::state::{Place, RemotePlace, Tail};
use crate::store::BoxFuture;
use crate::{BlobError, BlobKey, BlobWriter, Permit, StateError, WriteState, Written};

/// The least size of a part but the last (Amazon S3, "Multipart upload limits").
pub(super) const LEAST_PART_BYTES: u64 = 5 * 1024 * 1024;
/// Parts grow to this fraction of the offset: 10,000 of them hold 2 TB.
const GROWTH: u64 = 1500;
/// The smallest part and the batches on their way to it: so much an upload may need before it gives any back.
pub(super) const MEMORY_BYTES: usize = 8 * 1024 * 1024;
const MOST_IN_FLIGHT: usize = 3;
/// A tail's number is its round above this many random bits.
const ROUND_SHIFT: u32 = 16;
/// Tries of a completion whose outcome is unknown.
const MOST_TRIES: u32 = 4;

pub(super) struct RemoteWriter {
    remote: Arc<Remote>,
    key: BlobKey,
    upload: Option<String>,
    /// Tags of the parts that have arrived, in order.
    parts: Vec<String>,
    in_flight: VecDeque<JoinHandle<Result<PartId, BlobError>>>,
    /// Bytes in parts, arrived or in flight.
    part_bytes: u64,
    buffer: Vec<Bytes>,
    buffered: u64,
    /// Size of the part being filled; it may go smaller when memory gets short.
    part_limit: u64,
    tail: Option<Tail>,
    /// Whether a saved state exists, so that a drop leaves everything for it.
    resumed: bool,
    closed: bool,
}

impl RemoteWriter {
    pub(super) fn create(remote: Arc<Remote>, key: BlobKey) -> Self {
        Self {
            remote,
            key,
            upload: None,
            parts: Vec::new(),
            in_flight: VecDeque::new(),
            part_bytes: 0,
            buffer: Vec::new(),
            buffered: 0,
            part_limit: LEAST_PART_BYTES,
            tail: None,
            resumed: false,
            closed: false,
        }
    }

    pub(super) async fn reopen(
        remote: Arc<Remote>,
        key: BlobKey,
        state: &WriteState,
    ) -> Result<Self, BlobError> {
        let Place::Remote(place) = &state.place else {
            return Err(StateError::Store.into());
        };
        let mut this = Self::create(remote, key);
        this.resumed = true;
        this.upload.clone_from(&place.upload);
        this.parts.clone_from(&place.parts);
        this.part_bytes = place.part_bytes;
        this.tail = place.tail;
        this.start_part();
        if let Some(tail) = place.tail {
            let path = this.remote.tail(key, tail.number);
            let get = async { this.remote.parts.objects.get(&path).await?.bytes().await };
            let bytes = match this.remote.patient("get tail", u64::from(tail.bytes), get).await? {
                Ok(bytes) if bytes.len() as u64 == u64::from(tail.bytes) => bytes,
                Ok(_) | Err(Error::NotFound { .. }) => {
                    return Err(BlobError::Lost { key, offset: state.offset });
                }
                Err(error) => return Err(failed("get tail", error)),
            };
            this.buffered = bytes.len() as u64;
            this.buffer.push(bytes);
            this.delete_tails_before(tail.number >> ROUND_SHIFT);
        }
        Ok(this)
    }

    /// Removes the tails of earlier rounds, which no state names any more, in the background: `abort` removes what this
    /// leaves.
    fn delete_tails_before(&self, round: u32) {
        let (remote, key) = (Arc::clone(&self.remote), self.key);
        tokio::spawn(async move {
            if let Err(error) = remote.delete_tails(key, |number| number >> ROUND_SHIFT < round).await {
                tracing::debug!(%key, %error, "old upload tails were not deleted");
            }
        });
    }

    /// A name for the next tail that no other writer of this upload takes: two replicas may go on with it from the same
    /// state, and the one whose state is not saved must not have replaced the bytes of the other.
    fn next_tail(&self) -> u32 {
        let round = self.tail.map_or(0, |tail| (tail.number >> ROUND_SHIFT).wrapping_add(1));
        let random = RandomState::new().build_hasher().finish() & u64::from(u16::MAX);
        (round << ROUND_SHIFT) | u32::try_from(random).unwrap_or_default()
    }

    /// Chooses the size of the next part.
    fn start_part(&mut self) {
        self.part_limit = LEAST_PART_BYTES.max(self.part_bytes / GROWTH);
    }

    /// Whether what is buffered leaves as a part now.
    fn part_is_full(&self) -> bool {
        self.buffered >= self.part_limit
            || (self.buffered >= LEAST_PART_BYTES && self.remote.parts.budget.is_tight())
    }

    async fn add(&mut self, mut bytes: Bytes) -> Result<(), BlobError> {
        while !bytes.is_empty() {
            let room = usize::try_from(self.part_limit.saturating_sub(self.buffered)).unwrap_or(usize::MAX);
            let piece = bytes.split_to(bytes.len().min(room));
            self.buffered += piece.len() as u64;
            self.buffer.push(piece);
            if self.part_is_full() {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    /// Sends the buffer as a part. While memory is short, waits until it has arrived.
    async fn send_part(&mut self) -> Result<(), BlobError> {
        let path = self.remote.blob(self.key);
        let upload = match &self.upload {
            Some(upload) => upload.clone(),
            None => {
                let create = self.remote.parts.multipart.create_multipart(&path);
                let created = self.remote.patient("create upload", 0, create).await?;
                self.upload.insert(created.map_err(|e| failed("create upload", e))?).clone()
            }
        };
        let index = self.parts.len() + self.in_flight.len();
        let size = std::mem::take(&mut self.buffered);
        let payload = PutPayload::from_iter(std::mem::take(&mut self.buffer));
        let (remote, key, offset) = (Arc::clone(&self.remote), self.key, self.part_bytes);
        self.part_bytes += size;
        self.in_flight.push_back(tokio::spawn(async move {
            let put = remote.parts.multipart.put_part(&path, &upload, index, payload);
            let result = remote.patient("put part", size, put).await;
            match result? {
                Ok(part) => Ok(part),
                Err(error) if upload_is_gone(&error) => Err(BlobError::Lost { key, offset }),
                Err(error) => Err(failed("put part", error)),
            }
        }));
        self.start_part();
        let most = if self.remote.parts.budget.is_tight() { 0 } else { MOST_IN_FLIGHT - 1 };
        self.settle(most).await
    }

    /// Waits until at most `most` parts are in flight.
    async fn settle(&mut self, most: usize) -> Result<(), BlobError> {
        while self.in_flight.len() > most
            && let Some(task) = self.in_flight.front_mut()
        {
            let part = task.await.map_err(|e| BlobError::io("upload task", std::io::Error::other(e)));
            self.in_flight.pop_front();
            self.parts.push(part??.content_id);
        }
        Ok(())
    }

    /// One PUT, created only if nothing is there.
    async fn put_whole(&mut self) -> Result<Written, BlobError> {
        let (path, size) = (self.remote.blob(self.key), self.buffered);
        let payload = PutPayload::from_iter(std::mem::take(&mut self.buffer));
        let mut tries = 0;
        let meta = loop {
            let put = self.remote.parts.objects.put_opts(&path, payload.clone(), PutMode::Create.into());
            let error = match self.remote.patient("put", size, put).await? {
                Ok(PutResult { e_tag, .. }) => {
                    return Ok(Written { size, stamp: stamp_of(e_tag.as_deref(), size), own: true });
                }
                Err(error) => error,
            };
            // Ours, if an earlier try arrived and its answer was lost. Keys are unique, but the bytes decide.
            if let Some(meta) = self.remote.head(&path).await? {
                break meta;
            }
            tries += 1;
            if tries >= MOST_TRIES {
                return Err(failed("put", error));
            }
            back_off(tries).await;
        };
        let same = meta.size == size && {
            let get = async { self.remote.parts.objects.get(&path).await?.bytes().await };
            let found = self.remote.patient("get", size, get).await?.map_err(|e| failed("get", e))?;
            payload.iter().try_fold(&found[..], |rest, piece| rest.strip_prefix(&piece[..])) == Some(&[])
        };
        if same {
            return Ok(Written { size, stamp: stamp_of(meta.e_tag.as_deref(), size), own: true });
        }
        Err(BlobError::Exists { key: self.key })
    }

    /// Completes the multipart upload. When the answer is lost, the object tells whether it arrived; but it may be that
    /// of another process which went on from the same saved state, so it is never deleted here, nor called own.
    async fn complete(&mut self, upload: &str) -> Result<Written, BlobError> {
        if self.buffered > 0 {
            self.send_part().await?;
        }
        self.settle(0).await?;
        let (path, size, key) = (self.remote.blob(self.key), self.part_bytes, self.key);
        if self.remote.head(&path).await?.is_some() {
            return Err(BlobError::Exists { key });
        }
        let mut tries = 0;
        loop {
            let parts = self.parts.iter().map(|tag| PartId { content_id: tag.clone() }).collect();
            let upload = upload.to_owned();
            let complete = self.remote.parts.multipart.complete_multipart(&path, &upload, parts);
            let answer = within(COMPLETION_TIME, "complete upload", complete).await;
            match self.remote.head(&path).await? {
                Some(meta) if meta.size == size => {
                    let (stamp, own) = (stamp_of(meta.e_tag.as_deref(), size), matches!(answer, Ok(Ok(_))));
                    return Ok(Written { size, stamp, own });
                }
                Some(_) => return Err(BlobError::Lost { key, offset: size }),
                None => {}
            }
            let error = match answer {
                Ok(Ok(_)) => BlobError::Length { key, expected: size, found: 0 },
                Ok(Err(error)) if upload_is_gone(&error) => {
                    return Err(BlobError::Lost { key, offset: size });
                }
                Ok(Err(error)) => failed("complete upload", error),
                // Waiting so long once is enough.
                Err(error) => return Err(error),
            };
            tries += 1;
            if tries >= MOST_TRIES {
                return Err(error);
            }
            back_off(tries).await;
        }
    }

    async fn save(&mut self) -> Result<WriteState, BlobError> {
        if self.buffered >= LEAST_PART_BYTES {
            self.send_part().await?;
        }
        self.settle(0).await?;
        let offset = self.part_bytes + self.buffered;
        if self.buffered > 0 {
            let number = self.next_tail();
            let bytes = u32::try_from(self.buffered).map_err(|_| StateError::Contradiction)?;
            let payload = PutPayload::from_iter(std::mem::take(&mut self.buffer));
            let path = self.remote.tail(self.key, number);
            let put = self.remote.parts.objects.put(&path, payload);
            self.remote.patient("put tail", self.buffered, put).await?.map_err(|e| failed("put tail", e))?;
            self.tail = Some(Tail { number, bytes });
        } else {
            self.tail = None;
        }
        let place = RemotePlace {
            upload: self.upload.clone(),
            parts: std::mem::take(&mut self.parts),
            part_bytes: self.part_bytes,
            tail: self.tail,
        };
        Ok(WriteState { offset, place: Place::Remote(Box::new(place)) })
    }

    /// What a failure leaves behind: nothing that no state names.
    async fn roll_back(&mut self) -> Result<(), BlobError> {
        self.closed = true;
        for task in self.in_flight.drain(..) {
            task.abort();
        }
        match self.upload.take().filter(|_| !self.resumed) {
            Some(upload) => self.remote.abort_upload(self.key, &upload).await,
            None => Ok(()),
        }
    }
}

impl BlobWriter for RemoteWriter {
    fn offset(&self) -> u64 {
        self.part_bytes + self.buffered
    }

    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), BlobError>> {
        Box::pin(async move {
            if self.closed {
                return Err(BlobError::Closed);
            }
            let result = self.add(bytes).await;
            if result.is_err()
                && let Err(error) = self.roll_back().await
            {
                tracing::warn!(key = %self.key, %error, "a failed upload could not be aborted");
            }
            result
        })
    }

    fn relieve(&mut self) -> BoxFuture<'_, Result<(), BlobError>> {
        Box::pin(async move {
            if self.closed {
                return Err(BlobError::Closed);
            }
            if self.buffered < LEAST_PART_BYTES {
                return Ok(());
            }
            let result = self.send_part().await;
            if result.is_err()
                && let Err(error) = self.roll_back().await
            {
                tracing::warn!(key = %self.key, %error, "a failed upload could not be aborted");
            }
            result
        })
    }

    fn charge(&mut self, permit: Permit) {
        if let [tail] = &mut self.buffer[..] {
            *tail = permit.charge(std::mem::take(tail));
        }
    }

    fn pause(mut self: Box<Self>) -> BoxFuture<'static, Result<WriteState, BlobError>> {
        Box::pin(async move {
            if self.closed {
                return Err(BlobError::Closed);
            }
            let state = self.save().await?;
            self.closed = true;
            Ok(state)
        })
    }

    fn finish(mut self: Box<Self>) -> BoxFuture<'static, Result<Written, BlobError>> {
        Box::pin(async move {
            if self.closed {
                return Err(BlobError::Closed);
            }
            let written = match self.upload.clone() {
                Some(upload) => self.complete(&upload).await?,
                None => self.put_whole().await?,
            };
            self.closed = true;
            if self.tail.is_some() {
                self.delete_tails_before(u32::MAX);
            }
            Ok(written)
        })
    }

    fn discard(mut self: Box<Self>) -> BoxFuture<'static, Result<(), BlobError>> {
        Box::pin(async move { self.roll_back().await })
    }
}

impl Drop for RemoteWriter {
    fn drop(&mut self) {
        if self.closed || self.resumed {
            return;
        }
        let (Some(upload), Ok(runtime)) = (self.upload.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        for task in self.in_flight.drain(..) {
            task.abort();
        }
        let (remote, key) = (Arc::clone(&self.remote), self.key);
        runtime.spawn(async move {
            if let Err(error) = remote.abort_upload(key, &upload).await {
                tracing::warn!(%key, %error, "a dropped upload could not be aborted");
            }
        });
    }
}
