//! Pulling a blob.

use blobs::verify::OpenBlob;
use std::ops::Range;
use std::time::Duration;

use blobs::{BlobBody, BlobError, BlobKey, Presign};
use metadata::StoreError;
use metadata::model::blob::BlobRow;
use oci::Digest;

use crate::Registry;
use crate::access::{Grant, Pull};
use crate::error::Error;
use crate::last_known::Place;
use crate::upload::blob_error;

/// A blob that the caller may read.
pub struct PulledBlob {
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub size_bytes: u64,
    /// Its bytes, opened; checked against their checksums while they are read.
    pub open: OpenBlob,
}

impl Registry {
    /// Size of a blob, without opening it.
    pub async fn stat_blob(&self, grant: &Grant<Pull>, digest: &Digest) -> Result<u64, Error> {
        Ok(self.find_blob(grant, digest).await?.size_bytes)
    }

    /// Opens a blob for reading.
    pub async fn pull_blob(&self, grant: &Grant<Pull>, digest: &Digest) -> Result<PulledBlob, Error> {
        let row = self.find_blob(grant, digest).await?;
        let key = BlobKey::parse(&row.object_key)
            .map_err(|_| Error::Internal(format!("blob {digest} has no object key")))?;
        match self.reader.open(key, row.size_bytes).await {
            Ok(Some(open)) => Ok(PulledBlob { digest: *digest, size_bytes: row.size_bytes, open }),
            // What is known of it may be older than its deletion elsewhere.
            Ok(None) if self.access.is_cut_off() => Err(Error::Unavailable),
            Ok(None) => {
                self.quarantine_missing(key).await?;
                Err(Error::Corrupt)
            }
            Err(BlobError::Truncated { .. } | BlobError::Corrupt { .. }) => Err(Error::Corrupt),
            Err(error) => Err(blob_error(error)),
        }
    }

    /// The bytes of a range that lies within the blob. A small range of a damaged blob is an error; a large one breaks
    /// off before the damage.
    pub async fn read_blob(&self, blob: &PulledBlob, range: Range<u64>) -> Result<BlobBody, Error> {
        blob.open.body(range).await.map_err(blob_error)
    }

    /// An address from which anybody may read the blob for a while, where the store can make one.
    pub async fn presign_blob(
        &self,
        grant: &Grant<Pull>,
        digest: &Digest,
        expires_in: Duration,
    ) -> Result<Option<String>, Error> {
        let row = self.find_blob(grant, digest).await?;
        let key = BlobKey::parse(&row.object_key)
            .map_err(|_| Error::Internal(format!("blob {digest} has no object key")))?;
        let presign = Presign { expires_in, content_type: Some("application/octet-stream".to_owned()) };
        let url = self.blobs.presign(key, &presign).await.map_err(blob_error)?;
        Ok(url.map(String::from))
    }

    /// A blob found corrupt is unknown, so that the next push brings it again. While the database cannot be asked, a
    /// blob is where it was last.
    async fn find_blob(&self, grant: &Grant<Pull>, digest: &Digest) -> Result<BlobRow, Error> {
        if grant.tags().is_some() {
            let row = self.readable_blob(grant, digest).await?;
            return row.filter(|row| !row.corrupt).ok_or(Error::BlobUnknown);
        }
        let place = Place { project: grant.project, repository: grant.repo.repository() };
        if self.access.is_cut_off()
            && let Some(known) = self.last_known.blob(place, digest)
        {
            return Ok(known);
        }
        match self.store.blob_in(grant.project, grant.repo.repository(), digest).await {
            Ok(row) => {
                let row = row.filter(|row| !row.corrupt);
                self.last_known.note_blob(place, digest, row.as_ref());
                row.ok_or(Error::BlobUnknown)
            }
            Err(StoreError::Unavailable { reason }) => match self.last_known.blob(place, digest) {
                Some(known) => Ok(known),
                None => Err(StoreError::Unavailable { reason }.into()),
            },
            Err(error) => Err(error.into()),
        }
    }
}
