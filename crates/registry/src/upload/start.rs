//! Starting an upload.

use bytes::Bytes;
use metadata::model::PrincipalId;
use metadata::model::upload::{self, UploadRow};
use oci::{Algorithm, Digest, UploadId};

use super::chunk::ChunkHeaders;
use super::{UploadView, algorithm_of};
use crate::Registry;
use crate::access::{Grant, Push};
use crate::caller::Caller;
use crate::error::Error;

impl Registry {
    /// Opens an upload session. The digest's algorithm, if the client says it, is hashed while the bytes come.
    pub async fn start_upload(
        &self,
        grant: &Grant<Push>,
        digest: Option<&Digest>,
        algorithm: Option<Algorithm>,
    ) -> Result<UploadView, Error> {
        let row = self.new_session(grant, algorithm_of(digest, algorithm)).await?;
        Ok(UploadView { id: row.id, offset: 0 })
    }

    /// Refuses an upload, of these headers if its body comes with the request, that could not even begin.
    pub async fn check_upload_start(&self, caller: &Caller, headers: ChunkHeaders) -> Result<(), Error> {
        headers.check(0, self.settings.max_blob_bytes)?;
        self.check_upload_count(caller.principal.row_id()).await
    }

    pub(super) async fn new_session(
        &self,
        grant: &Grant<Push>,
        algorithm: Algorithm,
    ) -> Result<UploadRow, Error> {
        self.check_upload_count(grant.principal).await?;
        let repository = self.repository_id(grant).await?;
        let now = self.store.now();
        let row = UploadRow {
            id: UploadId::from_random(self.store.random().id128()),
            repository,
            principal: grant.principal,
            object_key: self.new_object_key().to_string(),
            state: Bytes::new(),
            offset_bytes: 0,
            version: 0,
            created_at: now,
            expires_at: now.plus(self.settings.upload_ttl),
        };
        let row =
            if algorithm == Algorithm::Sha256 { row } else { self.with_algorithm(row, algorithm).await? };
        let mut tx = self.store.begin().await?;
        upload::insert(&mut tx, &row);
        tx.relaxed();
        self.store.commit(tx).await?;
        Ok(row)
    }

    /// Refuses one more upload of who has as many as one may have.
    async fn check_upload_count(&self, principal: PrincipalId) -> Result<(), Error> {
        let limit = self.settings.max_uploads_per_principal;
        if self.store.upload_count(principal, self.store.now()).await? >= limit {
            return Err(Error::LimitReached(format!(
                "you have {limit} unfinished uploads; finish or cancel some of them"
            )));
        }
        Ok(())
    }

    /// A session for another algorithm than the default keeps it in its saved state from the beginning.
    async fn with_algorithm(&self, row: UploadRow, algorithm: Algorithm) -> Result<UploadRow, Error> {
        let ingest = self.own_ingest(&row, algorithm).await?;
        let state = ingest.pause().await.map_err(super::blob_error)?;
        Ok(UploadRow { state: state.to_bytes().into(), ..row })
    }
}
