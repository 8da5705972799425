//! Starting an upload.

use bytes::Bytes;
use metadata::model::upload::{self, UploadRow};
use oci::{Algorithm, Digest, UploadId};

use super::{UploadView, algorithm_of};
use crate::Registry;
use crate::access::{Grant, Push};
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

    pub(super) async fn new_session(
        &self,
        grant: &Grant<Push>,
        algorithm: Algorithm,
    ) -> Result<UploadRow, Error> {
        let limit = self.settings.max_uploads_per_principal;
        if self.store.upload_count(grant.principal).await? >= limit {
            return Err(Error::LimitReached(format!(
                "you have {limit} unfinished uploads; finish or cancel some of them"
            )));
        }
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
            expires_at: now.plus(self.settings.upload_ttl),
        };
        let row =
            if algorithm == Algorithm::Sha256 { row } else { self.with_algorithm(row, algorithm).await? };
        let mut tx = self.store.begin().await?;
        upload::insert(&mut tx, &row, now);
        tx.relaxed();
        self.store.commit(tx).await?;
        Ok(row)
    }

    /// A session for another algorithm than the default keeps it in its saved state from the beginning.
    async fn with_algorithm(&self, row: UploadRow, algorithm: Algorithm) -> Result<UploadRow, Error> {
        let ingest = self.own_ingest(&row, algorithm).await?;
        let state = ingest.pause().await.map_err(super::blob_error)?;
        Ok(UploadRow { state: state.to_bytes().into(), ..row })
    }
}
