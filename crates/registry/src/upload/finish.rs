//! The end of an upload: verified, durable, then one transaction that makes the blob and ends the session.

use blobs::{Ingest, IngestState, Ingested};
use metadata::Timestamp;
use metadata::model::blob::{self, BlobRow};
use metadata::model::collect::{self, TrashRow};
use metadata::model::upload::{self, UploadRow};
use oci::{Algorithm, Digest, UploadId};

use super::chunk::ChunkHeaders;
use super::{Body, algorithm_of, blob_error, busy, give_up, ingest_error};
use crate::Registry;
use crate::access::{Grant, Push};
use crate::error::Error;

/// A blob that a push made or found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub size_bytes: u64,
}

impl Registry {
    /// Uploads a whole blob in one request.
    pub async fn put_blob(
        &self,
        grant: &Grant<Push>,
        digest: &Digest,
        headers: ChunkHeaders,
        body: impl Body,
    ) -> Result<StoredBlob, Error> {
        headers.check(0, self.settings.max_blob_bytes)?;
        let row = self.new_session(grant, digest.algorithm()).await?;
        let done = match self.own_ingest(&row, digest.algorithm()).await {
            Ok(ingest) => self.complete(&row, ingest, digest, headers, body).await,
            Err(error) => Err(error),
        };
        if done.is_err()
            && let Err(error) = self.drop_session(&row).await
        {
            tracing::debug!(%error, "session of a failed upload is left to the janitor");
        }
        done
    }

    /// Appends the last bytes, if any, and ends a session as the blob `digest`. A wrong digest leaves the session as
    /// it was before this request – unless it is of another algorithm than the bytes were hashed with while they came:
    /// then only the finished object could be compared, and the session is over.
    pub async fn finish_upload(
        &self,
        grant: &Grant<Push>,
        id: UploadId,
        digest: &Digest,
        headers: ChunkHeaders,
        body: impl Body,
    ) -> Result<StoredBlob, Error> {
        let _turn = self.uploads.turn(id).ok_or_else(|| busy("it is being written to"))?;
        let mut row = self.session(grant, id).await?;
        headers.check(row.offset_bytes, self.settings.max_blob_bytes)?;
        let ingest = self.open_ingest(&mut row, algorithm_of(Some(digest), None)).await?;
        let done = self.complete(&row, ingest, digest, headers, body).await;
        if matches!(done, Err(Error::DigestMismatch { .. }))
            && algorithm_so_far(&row)?.is_some_and(|algorithm| algorithm != digest.algorithm())
        {
            self.drop_session(&row).await?;
        }
        done
    }

    async fn complete(
        &self,
        row: &UploadRow,
        mut ingest: Ingest,
        digest: &Digest,
        headers: ChunkHeaders,
        body: impl Body,
    ) -> Result<StoredBlob, Error> {
        let received = self.receive(&mut ingest, body).await;
        let wrong_length = match (&received, headers.range) {
            (Ok(count), Some(range)) => *count != range.len(),
            _ => false,
        };
        if let Err(error) = received {
            give_up(ingest).await;
            return Err(error);
        }
        if wrong_length {
            give_up(ingest).await;
            return Err(Error::Size("the body's length is not that of its Content-Range".to_owned()));
        }
        let ingested = ingest.finish(digest).await.map_err(|error| ingest_error(error, digest))?;
        self.publish(row, &ingested).await
    }

    /// Commits the blob of a finished object and ends its session.
    async fn publish(&self, row: &UploadRow, ingested: &Ingested) -> Result<StoredBlob, Error> {
        let frames = &ingested.frames;
        self.store
            .replan(5, || async move {
                let known = self.store.blob(&ingested.digest).await?;
                let now = self.store.now();
                let mut tx = self.store.begin().await?;
                match known {
                    None => {
                        let fresh = BlobRow {
                            digest: ingested.digest,
                            size_bytes: ingested.size,
                            object_key: row.object_key.clone(),
                            corrupt: false,
                        };
                        blob::insert(&mut tx, &fresh, frames, now);
                    }
                    Some(known) if known.corrupt => {
                        blob::replace_object(
                            &mut tx,
                            &known.digest,
                            &row.object_key,
                            &known.object_key,
                            frames,
                            now,
                        );
                    }
                    Some(_) => collect::trash(&mut tx, &duplicate(row, ingested), now, now),
                }
                blob::link(&mut tx, row.repository, &ingested.digest, self.lease_end(now), row.principal);
                upload::delete(&mut tx, row);
                Ok::<_, Error>((Some(tx), ()))
            })
            .await?;
        Ok(StoredBlob { digest: ingested.digest, size_bytes: ingested.size })
    }

    pub(super) fn lease_end(&self, now: Timestamp) -> Timestamp {
        now.plus(self.settings.blob_lease)
    }
}

/// The algorithm that the bytes of a session were hashed with, if there are any.
fn algorithm_so_far(row: &UploadRow) -> Result<Option<Algorithm>, Error> {
    if row.state.is_empty() {
        return Ok(None);
    }
    Ok(Some(IngestState::from_bytes(&row.state).map_err(blob_error)?.algorithm()))
}

fn duplicate(row: &UploadRow, ingested: &Ingested) -> TrashRow {
    TrashRow {
        object_key: row.object_key.clone(),
        digest: Some(ingested.digest),
        size_bytes: ingested.size,
        reason: "duplicate".to_owned(),
        state: None,
    }
}
