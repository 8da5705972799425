//! Receiving a chunk.

use blobs::Ingest;
use futures_util::StreamExt as _;
use metadata::model::upload::{self, UploadRow};
use oci::{Algorithm, ContentRange, UploadId};

use super::{Body, UploadView, blob_error, give_up};
use crate::Registry;
use crate::access::{Grant, Push};
use crate::error::Error;

/// What the headers of a chunk say about it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChunkHeaders {
    /// `Content-Range`.
    pub range: Option<ContentRange>,
    /// `Content-Length`.
    pub length: Option<u64>,
}

impl ChunkHeaders {
    /// Checks the headers against each other and the session before a byte is read.
    pub(super) fn check(self, offset: u64, max_blob_bytes: u64) -> Result<(), Error> {
        if let Some(range) = self.range {
            if range.start != offset {
                return Err(Error::RangeInvalid { received: offset });
            }
            if self.length.is_some_and(|length| length != range.len()) {
                return Err(Error::Size("Content-Length is not the length of Content-Range".to_owned()));
            }
        }
        let length = self.length.or(self.range.map(|range| range.len())).unwrap_or(0);
        if offset.saturating_add(length) > max_blob_bytes {
            return Err(Error::TooLarge(format!("a blob has at most {max_blob_bytes} bytes here")));
        }
        Ok(())
    }
}

impl Registry {
    /// Appends a chunk to a session. What arrived before the client went away is kept: the session goes on there.
    pub async fn put_chunk(
        &self,
        grant: &Grant<Push>,
        id: UploadId,
        headers: ChunkHeaders,
        body: impl Body,
    ) -> Result<UploadView, Error> {
        let Some(_turn) = self.uploads.turn(id) else {
            let row = self.session(grant, id).await?;
            return Err(Error::RangeInvalid { received: row.offset_bytes });
        };
        let mut row = self.session(grant, id).await?;
        headers.check(row.offset_bytes, self.settings.max_blob_bytes)?;
        let mut ingest = self.open_ingest(&mut row, Algorithm::Sha256).await?;
        let received = self.receive(&mut ingest, body).await;
        match received {
            Err(error) if !matches!(error, Error::BodyIncomplete) => {
                give_up(ingest).await;
                return Err(error);
            }
            _ => {}
        }
        if let (Ok(count), Some(range)) = (&received, headers.range)
            && *count != range.len()
        {
            give_up(ingest).await;
            return Err(Error::Size("the chunk's length is not that of its Content-Range".to_owned()));
        }
        let offset = self.save(&row, ingest).await?;
        received?;
        Ok(UploadView { id, offset })
    }

    /// Reads the body to its end into the ingest; answers the bytes read.
    pub(super) async fn receive(&self, ingest: &mut Ingest, mut body: impl Body) -> Result<u64, Error> {
        let mut count = 0_u64;
        while let Some(item) = body.next().await {
            let Ok(bytes) = item else { return Err(Error::BodyIncomplete) };
            count += bytes.len() as u64;
            if ingest.offset().saturating_add(bytes.len() as u64) > self.settings.max_blob_bytes {
                let limit = self.settings.max_blob_bytes;
                return Err(Error::TooLarge(format!("a blob has at most {limit} bytes here")));
            }
            ingest.push(bytes).await.map_err(blob_error)?;
        }
        Ok(count)
    }

    async fn save(&self, row: &UploadRow, ingest: Ingest) -> Result<u64, Error> {
        let state = ingest.pause().await.map_err(blob_error)?;
        let offset = state.offset();
        let mut tx = self.store.begin().await?;
        let expires_at = self.store.now().plus(self.settings.upload_ttl);
        upload::advance(&mut tx, row, state.to_bytes().into(), offset, expires_at);
        tx.relaxed();
        match self.store.commit(tx).await {
            Err(error) if error.conflicts_at("upload") => {
                let now = self.store.upload(row.id).await?.ok_or(Error::UploadUnknown)?;
                Err(Error::RangeInvalid { received: now.offset_bytes })
            }
            other => {
                other?;
                Ok(offset)
            }
        }
    }
}
