//! The bytes of a range on their way to a client.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};

use super::{Entry, Guard};
use crate::frames::{FRAME_BYTES, frame_count};
use crate::store::BoxStream;
use crate::{BlobError, BlobKey, BlobObject};

/// Checksums loaded at once (for 256 MiB of bytes).
const WINDOW_FRAMES: u32 = 1024;

/// The bytes of a blob or of a range of it: a stream of pieces of at most 256 KiB. After an error it is at its end and
/// `remaining` is not zero: cut the transfer.
pub struct BlobBody {
    kind: Kind,
    remaining: u64,
}

enum Kind {
    Whole(Bytes),
    Stream(BoxStream<'static, Result<Bytes, BlobError>>),
    End,
}

impl BlobBody {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self { remaining: bytes.len() as u64, kind: Kind::Whole(bytes) }
    }

    pub(super) fn stream(stream: BoxStream<'static, Result<Bytes, BlobError>>, range: Range<u64>) -> Self {
        Self { remaining: range.end - range.start, kind: Kind::Stream(stream) }
    }

    /// Bytes still to come: the exact length for Content-Length and size hints.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The bytes, when they are all in memory already.
    pub fn try_into_bytes(self) -> Result<Bytes, Self> {
        match self.kind {
            Kind::Whole(bytes) => Ok(bytes),
            kind => Err(Self { kind, remaining: self.remaining }),
        }
    }

    /// Everything that is left, in memory; the caller has bounded it.
    pub async fn collect(mut self) -> Result<Bytes, BlobError> {
        let Some(first) = self.next().await.transpose()? else {
            return Ok(Bytes::new());
        };
        if self.remaining == 0 {
            return Ok(first);
        }
        let mut all = BytesMut::from(first);
        while let Some(bytes) = self.next().await.transpose()? {
            all.extend_from_slice(&bytes);
        }
        Ok(all.freeze())
    }
}

impl Stream for BlobBody {
    type Item = Result<Bytes, BlobError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let item = match &mut this.kind {
            Kind::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                (!bytes.is_empty()).then_some(Ok(bytes))
            }
            Kind::Stream(stream) => std::task::ready!(stream.as_mut().poll_next(context)),
            Kind::End => None,
        };
        match &item {
            Some(Ok(bytes)) => this.remaining = this.remaining.saturating_sub(bytes.len() as u64),
            Some(Err(_)) | None => this.kind = Kind::End,
        }
        if this.remaining == 0 {
            this.kind = Kind::End;
        }
        Poll::Ready(item)
    }
}

/// A range of which some frames still need their check.
pub(super) struct Checked {
    key: BlobKey,
    entry: Arc<Entry>,
    guard: Guard,
    /// Of the object, in bytes.
    size: u64,
    /// What the client wants.
    wanted: Range<u64>,
    /// Where the next piece of the object's stream begins.
    position: u64,
    pieces: BoxStream<'static, Result<Bytes, BlobError>>,
    window: Window,
}

/// Checksums at hand.
#[derive(Default)]
struct Window {
    first: u32,
    sums: Vec<u32>,
    /// The object has none.
    absent: bool,
}

impl Checked {
    pub(super) fn new(
        object: Arc<dyn BlobObject>,
        size: u64,
        entry: Arc<Entry>,
        guard: Guard,
        wanted: Range<u64>,
    ) -> Self {
        // Widened only at an end whose frame needs its check.
        let (first, last) = (frame_of(wanted.start), frame_of(wanted.end.saturating_sub(1)));
        let start = if entry.is_checked(first) { wanted.start } else { u64::from(first) * FRAME_BYTES };
        let end = if entry.is_checked(last) { wanted.end } else { frame_end(last, size) };
        let key = object.key();
        let pieces = object.stream(start..end);
        Self { key, entry, guard, size, wanted, position: start, pieces, window: Window::default() }
    }

    /// The only piece of a range that lies within one frame.
    pub(super) async fn only(mut self) -> Result<Bytes, BlobError> {
        let at = self.wanted.start;
        self.next().await?.ok_or(BlobError::Truncated { key: self.key, at })
    }

    pub(super) fn into_stream(self) -> BoxStream<'static, Result<Bytes, BlobError>> {
        futures_util::stream::try_unfold(self, |mut this| async move {
            Ok(this.next().await?.map(|bytes| (bytes, this)))
        })
        .boxed()
    }

    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, BlobError> {
        let result = self.piece().await;
        if let Err(error) = &result {
            self.guard.report(self.key, error);
        }
        result
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, BlobError> {
        let Some(bytes) = self.pieces.next().await.transpose()? else {
            return Ok(None);
        };
        let (start, end) = (self.position, self.position + bytes.len() as u64);
        self.position = end;
        let frame = frame_of(start);
        let whole = start == u64::from(frame) * FRAME_BYTES && end == frame_end(frame, self.size);
        if whole && !self.entry.is_checked(frame) {
            match self.sum(frame).await? {
                Some(sum) if sum == crc32c::crc32c(&bytes) => self.entry.mark(frame),
                Some(_) => return Err(BlobError::Corrupt { key: self.key, frame }),
                None => {}
            }
        }
        let skip =
            usize::try_from(self.wanted.start.saturating_sub(start)).unwrap_or(usize::MAX).min(bytes.len());
        let over = usize::try_from(end.saturating_sub(self.wanted.end)).unwrap_or(usize::MAX);
        Ok(Some(bytes.slice(skip..bytes.len().saturating_sub(over).max(skip))))
    }

    /// The checksum of a frame; `None` when the object has none.
    async fn sum(&mut self, frame: u32) -> Result<Option<u32>, BlobError> {
        if self.window.absent {
            return Ok(None);
        }
        let held = |window: &Window| {
            frame.checked_sub(window.first).and_then(|index| window.sums.get(index as usize).copied())
        };
        if let Some(sum) = held(&self.window) {
            return Ok(Some(sum));
        }
        let last = frame_of(self.wanted.end.saturating_sub(1));
        let frames = frame..last.saturating_add(1).min(frame.saturating_add(WINDOW_FRAMES));
        let count = frames.len();
        match self.guard.source.load(self.key, frames).await.map_err(BlobError::Frames)? {
            None => self.window.absent = true,
            Some(sums) if sums.len() == count => self.window = Window { first: frame, sums, absent: false },
            Some(sums) => {
                let text = format!("{} checksums instead of {count}", sums.len());
                return Err(BlobError::Frames(text.into()));
            }
        }
        Ok(held(&self.window))
    }
}

fn frame_of(at: u64) -> u32 {
    u32::try_from(at / FRAME_BYTES).unwrap_or(u32::MAX)
}

fn frame_end(frame: u32, size: u64) -> u64 {
    debug_assert!(frame < frame_count(size), "a frame lies in its object");
    (u64::from(frame) + 1).saturating_mul(FRAME_BYTES).min(size)
}
