//! Referrers: the manifests whose subject is a given one.

use oci::Digest;

use super::RepositoryId;
use crate::error::StoreError;
use crate::params;
use crate::store::Store;
use crate::value::Row;

crate::statements! {
    ALL = Scan "SELECT digest, media_type, artifact_type, size_bytes, annotations FROM manifest WHERE repository_id = $1 AND subject = $2 AND digest > $3 ORDER BY digest LIMIT $4";
    OF_TYPE = Scan "SELECT digest, media_type, artifact_type, size_bytes, annotations FROM manifest WHERE repository_id = $1 AND subject = $2 AND digest > $3 AND artifact_type = $5 ORDER BY digest LIMIT $4";
}

/// One referrer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferrerRow {
    /// Digest of its manifest.
    pub digest: Digest,
    /// Media type of its manifest.
    pub media_type: String,
    /// Its artifact type, or its configuration's media type.
    pub artifact_type: Option<String>,
    /// Size of its manifest.
    pub size_bytes: u64,
    /// Its annotations as JSON.
    pub annotations: String,
}

fn parse(row: &Row) -> Result<ReferrerRow, StoreError> {
    Ok(ReferrerRow {
        digest: row.digest(0)?,
        media_type: row.text(1)?.to_owned(),
        artifact_type: row.opt_text(2)?.map(str::to_owned),
        size_bytes: row.uint(3)?,
        annotations: row.text(4)?.to_owned(),
    })
}

impl Store {
    /// Referrers of `subject` in order of digest after `last`.
    pub async fn referrers(
        &self,
        repository: RepositoryId,
        subject: &Digest,
        last: &str,
        limit: u32,
    ) -> Result<Vec<ReferrerRow>, StoreError> {
        self.rows(&ALL, &params![repository, subject, last, limit]).await?.iter().map(parse).collect()
    }

    /// The same of one artifact type.
    pub async fn referrers_of_type(
        &self,
        repository: RepositoryId,
        subject: &Digest,
        artifact_type: &str,
        last: &str,
        limit: u32,
    ) -> Result<Vec<ReferrerRow>, StoreError> {
        let params = params![repository, subject, last, limit, artifact_type];
        self.rows(&OF_TYPE, &params).await?.iter().map(parse).collect()
    }
}
