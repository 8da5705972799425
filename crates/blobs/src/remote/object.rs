//! Reading a remote object.
//!
//! A stream is one GET whose bytes are cut at frame bounds; when it breaks or ends early it goes on with another GET
//! from where it stopped, a bounded number of times, and only while the entity tag is the same.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use object_store::{Error, GetOptions, GetRange};

use super::{Remote, back_off, failed};
use crate::frames::piece_end;
use crate::store::{BoxFuture, BoxStream};
use crate::{BlobError, BlobKey, BlobObject, Stat};

/// Tries for one piece before a transfer is given up. (Any byte as progress would make a service that breaks off after
/// each one hold a transfer for ever.)
const MOST_TRIES: u32 = 5;

pub(super) struct RemoteObject {
    pub(super) remote: Arc<Remote>,
    pub(super) key: BlobKey,
    pub(super) stat: Stat,
    pub(super) tag: Option<String>,
}

/// A transfer that may need several requests.
struct Transfer {
    object: Arc<RemoteObject>,
    position: u64,
    end: u64,
    body: Option<BoxStream<'static, Result<Bytes, Error>>>,
    ahead: BytesMut,
    tries: u32,
}

impl Transfer {
    /// The next piece, up to a frame's end.
    async fn next(&mut self) -> Result<Option<Bytes>, BlobError> {
        if self.position >= self.end {
            return Ok(None);
        }
        let size = self.object.stat.size;
        if self.end > size {
            return Err(BlobError::Truncated { key: self.object.key, at: size });
        }
        let end = piece_end(self.position, self.end);
        let length = usize::try_from(end - self.position).unwrap_or(usize::MAX);
        while self.ahead.len() < length {
            let error = match self.receive(length).await {
                Ok(()) => continue,
                Err(error) => error,
            };
            self.body = None;
            self.tries += 1;
            if self.tries >= MOST_TRIES {
                return Err(error);
            }
            back_off(self.tries).await;
        }
        self.position = end;
        self.tries = 0;
        Ok(Some(self.ahead.split_to(length).freeze()))
    }

    /// Adds the next chunk of the body, asking for a body first if there is none.
    async fn receive(&mut self, length: usize) -> Result<(), BlobError> {
        let from = self.position + self.ahead.len() as u64;
        let body = match &mut self.body {
            Some(body) => body,
            none => none.insert(self.object.get(from..self.end).await?),
        };
        let silence = |elapsed| BlobError::Unavailable { operation: "get", source: Box::new(elapsed) };
        match tokio::time::timeout(self.object.remote.parts.stall, body.next()).await.map_err(silence)? {
            Some(Ok(chunk)) => {
                if self.ahead.is_empty() {
                    self.ahead.reserve(length.max(chunk.len()));
                }
                self.ahead.extend_from_slice(&chunk);
                Ok(())
            }
            Some(Err(error)) => Err(failed("get", error)),
            None => Err(BlobError::Truncated { key: self.object.key, at: from }),
        }
    }
}

impl RemoteObject {
    async fn get(&self, range: Range<u64>) -> Result<BoxStream<'static, Result<Bytes, Error>>, BlobError> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            if_match: self.tag.clone(),
            ..GetOptions::default()
        };
        let path = self.remote.blob(self.key);
        match self.remote.patient("get", 0, self.remote.parts.objects.get_opts(&path, options)).await? {
            Ok(found) => Ok(found.into_stream()),
            Err(error) => Err(failed("get", error)),
        }
    }

    fn transfer(self: Arc<Self>, range: Range<u64>) -> Transfer {
        let (position, end) = (range.start, range.end);
        Transfer { object: self, position, end, body: None, ahead: BytesMut::new(), tries: 0 }
    }
}

impl BlobObject for RemoteObject {
    fn key(&self) -> BlobKey {
        self.key
    }

    fn stat(&self) -> Stat {
        self.stat
    }

    fn read_at(&self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, BlobError>> {
        let this =
            Self { remote: Arc::clone(&self.remote), key: self.key, stat: self.stat, tag: self.tag.clone() };
        let mut transfer = Arc::new(this).transfer(range);
        Box::pin(async move {
            let Some(first) = transfer.next().await? else {
                return Ok(Bytes::new());
            };
            if transfer.position >= transfer.end {
                return Ok(first);
            }
            let mut all = BytesMut::from(first);
            while let Some(piece) = transfer.next().await? {
                all.extend_from_slice(&piece);
            }
            Ok(all.freeze())
        })
    }

    fn stream(self: Arc<Self>, range: Range<u64>) -> BoxStream<'static, Result<Bytes, BlobError>> {
        futures_util::stream::try_unfold(self.transfer(range), |mut transfer| async move {
            Ok(transfer.next().await?.map(|piece| (piece, transfer)))
        })
        .boxed()
    }
}
