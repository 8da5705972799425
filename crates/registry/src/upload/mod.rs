//! Uploads: sessions whose rows any process can continue, and the commit that makes a blob.
//!
//! A session's row owns its object from before the first byte. In one process a session has one writer at a time;
//! across processes the row's version decides who wins. Bytes are durable before the blob's row is committed.

mod chunk;
mod finish;
mod mount;
mod start;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use blobs::{BlobError, BlobKey, Ingest, IngestError, IngestState};
use bytes::Bytes;
use futures_util::Stream;
use metadata::model::RepositoryId;
use metadata::model::collect::TrashRow;
use metadata::model::upload::UploadRow;
use oci::{Algorithm, Digest, UploadId};

use crate::Registry;
use crate::access::{Grant, Push};
use crate::error::Error;

pub use chunk::ChunkHeaders;
pub use finish::StoredBlob;

/// A request's body: items end with an error when the client went away.
pub trait Body: Stream<Item = Result<Bytes, BodyError>> + Send + Unpin {}

impl<T: Stream<Item = Result<Bytes, BodyError>> + Send + Unpin> Body for T {}

/// The client did not send the whole body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("request body ended early")]
pub struct BodyError;

/// An upload session as its owner sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadView {
    /// Its name.
    pub id: UploadId,
    /// Bytes received and kept.
    pub offset: u64,
}

/// Sessions that a request of this process is writing.
#[derive(Debug, Default)]
pub(crate) struct ActiveUploads(Mutex<HashSet<UploadId>>);

/// The right of one request to write a session; ends with it.
pub(crate) struct Turn<'a> {
    active: &'a ActiveUploads,
    id: UploadId,
}

impl ActiveUploads {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<UploadId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, id: UploadId) -> Option<Turn<'_>> {
        // Only whoever inserted the id may hold a turn: its end removes the id, under the same lock.
        let fresh = self.lock().insert(id);
        fresh.then(|| Turn { active: self, id })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.active.lock().remove(&self.id);
    }
}

impl Registry {
    /// How far a session is.
    pub async fn upload_status(&self, grant: &Grant<Push>, id: UploadId) -> Result<UploadView, Error> {
        let row = self.session(grant, id).await?;
        Ok(UploadView { id, offset: row.offset_bytes })
    }

    /// Ends a session; its bytes are deleted in the background.
    pub async fn cancel_upload(&self, grant: &Grant<Push>, id: UploadId) -> Result<(), Error> {
        let _turn = self.uploads.turn(id).ok_or_else(|| busy("it is being written to"))?;
        let row = self.session(grant, id).await?;
        self.drop_session(&row).await
    }

    /// Hands a session's object to the sweeper and forgets the session.
    pub async fn drop_session(&self, row: &UploadRow) -> Result<(), Error> {
        let now = self.store.now();
        let mut tx = self.store.begin().await?;
        metadata::model::upload::delete(&mut tx, row);
        metadata::model::collect::trash(&mut tx, &unfinished(row), now, now);
        tx.relaxed();
        match self.store.commit(tx).await {
            Err(error) if error.conflicts_at("upload") => Err(Error::UploadUnknown),
            other => Ok(other?),
        }
    }

    /// The session, if it is the caller's and of this repository; anything else is unknown to the caller.
    async fn session(&self, grant: &Grant<Push>, id: UploadId) -> Result<UploadRow, Error> {
        let row = self.store.upload(id).await?.ok_or(Error::UploadUnknown)?;
        let repository = self.store.repository(grant.project, grant.repo.repository()).await?;
        let own = repository.is_some_and(|repository| repository.id == row.repository);
        if own && row.principal == grant.principal && row.expires_at > self.store.now() {
            Ok(row)
        } else {
            Err(Error::UploadUnknown)
        }
    }

    /// Opens a session's object for writing, where it was left.
    ///
    /// Without a saved state another process may have begun the object: it died, or it writes at this moment. The
    /// session then goes on with an object of its own, taken by its row, so that one of the two wins and nobody touches
    /// what the other has committed. Local stores have one process: only a former one can have begun.
    async fn open_ingest(&self, row: &mut UploadRow, algorithm: Algorithm) -> Result<Ingest, Error> {
        if row.state.is_empty() {
            let former = row.created_at <= self.started_at;
            if former || self.blobs.local().is_none() {
                self.take_over(row).await?;
            }
        }
        self.own_ingest(row, algorithm).await
    }

    /// Opens the object of a session that no other process writes to.
    async fn own_ingest(&self, row: &UploadRow, algorithm: Algorithm) -> Result<Ingest, Error> {
        let key = BlobKey::parse(&row.object_key)
            .map_err(|_| Error::Internal(format!("session {} has no object key", row.id)))?;
        let budget = self.budget.of(row.principal.get());
        if row.state.is_empty() {
            return Ok(Ingest::begin(self.blobs.clone(), key, algorithm, budget));
        }
        let state = IngestState::from_bytes(&row.state).map_err(blob_error)?;
        Ingest::resume(self.blobs.clone(), key, &state, budget).await.map_err(blob_error)
    }

    async fn take_over(&self, row: &mut UploadRow) -> Result<(), Error> {
        let now = self.store.now();
        let key = self.new_object_key().to_string();
        let mut tx = self.store.begin().await?;
        metadata::model::upload::move_to(&mut tx, row, &key);
        metadata::model::collect::trash(&mut tx, &unfinished(row), now, now);
        tx.relaxed();
        match self.store.commit(tx).await {
            // A database that died may have forgotten the session, which did not wait for its disk.
            Err(error) if error.conflicts_at("upload") => match self.store.upload(row.id).await? {
                None => Err(Error::UploadUnknown),
                Some(_) => Err(busy("another replica writes to it")),
            },
            other => {
                other?;
                row.object_key = key;
                row.version += 1;
                Ok(())
            }
        }
    }

    pub(crate) async fn repository_id(&self, grant: &Grant<Push>) -> Result<RepositoryId, Error> {
        for _ in 0..3 {
            if let Some(row) = self.store.repository(grant.project, grant.repo.repository()).await? {
                return Ok(row.id);
            }
            let id = self.store.next_id().await?;
            let mut tx = self.store.begin().await?;
            let now = self.store.now();
            let (name, full) = (grant.repo.repository(), grant.repo.as_str());
            metadata::model::repository::insert(&mut tx, id, grant.project, name, full, now);
            tx.relaxed();
            match self.store.commit(tx).await {
                Ok(()) => return Ok(id),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::NameUnknown)
    }
}

/// Rolls an upload back to its last saved state. What made it fail is what the client hears, not this.
async fn give_up(ingest: Ingest) {
    if let Err(error) = ingest.discard().await {
        tracing::debug!(%error, "a failed upload was rolled back by its writer already");
    }
}

fn busy(why: &str) -> Error {
    Error::Conflict(format!("this upload cannot be changed now: {why}"))
}

/// The algorithm that a session hashes with when the client did not say: the one of the digest to come, if known.
fn algorithm_of(digest: Option<&Digest>, stated: Option<Algorithm>) -> Algorithm {
    stated.or_else(|| digest.map(Digest::algorithm)).unwrap_or(Algorithm::Sha256)
}

pub(crate) fn blob_error(error: BlobError) -> Error {
    match error {
        BlobError::NoSpace => Error::NoSpace,
        BlobError::Overloaded | BlobError::Unavailable { .. } | BlobError::Busy { .. } => {
            tracing::warn!(%error, "blob storage cannot do this now");
            Error::Unavailable
        }
        // `Exists`: an earlier request made the object whole, its commit is not known; the client starts again.
        BlobError::Lost { .. } | BlobError::State(_) | BlobError::Exists { .. } => Error::UploadUnknown,
        BlobError::Corrupt { .. } | BlobError::Truncated { .. } => Error::Corrupt,
        other => {
            let source = std::error::Error::source(&other).map(|source| format!(": {source}"));
            Error::Internal(format!("{other}{}", source.unwrap_or_default()))
        }
    }
}

pub(crate) fn ingest_error(error: IngestError, expected: &Digest) -> Error {
    match error {
        IngestError::Digest { .. } => Error::DigestMismatch { expected: *expected },
        IngestError::Blob(error) => blob_error(error),
        other => Error::Internal(other.to_string()),
    }
}

/// A session's object, for the sweeper.
fn unfinished(row: &UploadRow) -> TrashRow {
    TrashRow {
        object_key: row.object_key.clone(),
        digest: None,
        size_bytes: row.offset_bytes,
        reason: "upload".to_owned(),
        state: Some(row.state.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_one_writer_and_a_refused_one_leaves_the_turn_alone() {
        let active = ActiveUploads::default();
        let id = UploadId::from_random(7);
        let turn = active.turn(id).unwrap();
        assert!(active.turn(id).is_none());
        assert!(active.turn(id).is_none(), "the refusal did not end the turn of the first");
        drop(turn);
        assert!(active.turn(id).is_some());
    }
}
