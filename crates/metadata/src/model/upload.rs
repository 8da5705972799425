//! Upload sessions. A session's row owns its unfinished object: the janitor knows every started object from rows.
//!
//! The row carries all that another process needs to go on (state of hash, frames and parts); its version is the
//! compare-and-swap that lets one writer win.

use bytes::Bytes;
use oci::UploadId;

use super::{PrincipalId, RepositoryId};
use crate::error::StoreError;
use crate::store::Store;
use crate::tx::{Expect, Tx};
use crate::value::Row;
use crate::{Timestamp, params};

crate::statements! {
    INSERT = Write "INSERT INTO upload_session (id, repository_id, principal_id, object_key, state, offset_bytes, version, created_at, expires_at, tx) VALUES ($1, $2, $3, $4, $5, 0, 0, $6, $7, $8)";
    FIND = Read "SELECT id, repository_id, principal_id, object_key, state, offset_bytes, version, created_at, expires_at FROM upload_session WHERE id = $1";
    ADVANCE = Write "UPDATE upload_session SET state = $3, offset_bytes = $4, version = version + 1, expires_at = $5 WHERE id = $1 AND version = $2";
    MOVE = Write "UPDATE upload_session SET object_key = $3, version = version + 1 WHERE id = $1 AND version = $2";
    DELETE = Write "DELETE FROM upload_session WHERE id = $1 AND version = $2";
    EXPIRED = Scan "SELECT id, repository_id, principal_id, object_key, state, offset_bytes, version, created_at, expires_at FROM upload_session WHERE expires_at < $1 ORDER BY expires_at LIMIT $2";
    OF_REPOSITORY = Scan "SELECT id, repository_id, principal_id, object_key, state, offset_bytes, version, created_at, expires_at FROM upload_session WHERE repository_id = $1 ORDER BY id LIMIT $2";
    COUNT_OF = Read "SELECT count(*) FROM upload_session WHERE principal_id = $1 AND expires_at > $2";
}

/// An upload session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadRow {
    /// Name on the wire.
    pub id: UploadId,
    /// Where it uploads to.
    pub repository: RepositoryId,
    /// Whose it is.
    pub principal: PrincipalId,
    /// The object it writes.
    pub object_key: String,
    /// State of the ingest; empty before the first byte.
    pub state: Bytes,
    /// Bytes received and kept.
    pub offset_bytes: u64,
    /// Grows with each change.
    pub version: i64,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it ends and the janitor may take it.
    pub expires_at: Timestamp,
}

fn parse(row: &Row) -> Result<UploadRow, StoreError> {
    Ok(UploadRow {
        id: row.parse(0)?,
        repository: row.id(1)?,
        principal: row.id(2)?,
        object_key: row.text(3)?.to_owned(),
        state: row.bytes(4)?,
        offset_bytes: row.uint(5)?,
        version: row.int(6)?,
        created_at: row.id(7)?,
        expires_at: row.id(8)?,
    })
}

impl Store {
    /// A session.
    pub async fn upload(&self, id: UploadId) -> Result<Option<UploadRow>, StoreError> {
        self.row(&FIND, &params![id.to_string()]).await?.as_ref().map(parse).transpose()
    }

    /// Sessions that expired before `now`.
    pub async fn expired_uploads(&self, now: Timestamp, limit: u32) -> Result<Vec<UploadRow>, StoreError> {
        self.rows(&EXPIRED, &params![now, limit]).await?.iter().map(parse).collect()
    }

    /// Open sessions of a repository.
    pub async fn uploads_of(
        &self,
        repository: RepositoryId,
        limit: u32,
    ) -> Result<Vec<UploadRow>, StoreError> {
        self.rows(&OF_REPOSITORY, &params![repository, limit]).await?.iter().map(parse).collect()
    }

    /// Sessions of a principal that have not ended at `now`.
    pub async fn upload_count(&self, principal: PrincipalId, now: Timestamp) -> Result<u64, StoreError> {
        self.row(&COUNT_OF, &params![principal, now]).await?.map_or(Ok(0), |row| row.uint(0))
    }
}

/// Opens a session.
pub fn insert(tx: &mut Tx, row: &UploadRow) {
    let by = tx.id();
    tx.step_or(
        &INSERT,
        params![
            row.id.to_string(),
            row.repository,
            row.principal,
            &row.object_key,
            row.state.clone(),
            row.created_at,
            row.expires_at,
            by
        ],
        Expect::Rows(1),
        "upload",
    );
}

/// Saves progress made from `row`'s version; another writer's progress is a conflict at `upload`.
pub fn advance(tx: &mut Tx, row: &UploadRow, state: Bytes, offset_bytes: u64, expires_at: Timestamp) {
    let offset = i64::try_from(offset_bytes).unwrap_or(i64::MAX);
    tx.step_or(
        &ADVANCE,
        params![row.id.to_string(), row.version, state, offset, expires_at],
        Expect::Rows(1),
        "upload",
    );
}

/// Gives a session another object to write; another writer's progress is a conflict at `upload`.
pub fn move_to(tx: &mut Tx, row: &UploadRow, object_key: &str) {
    tx.step_or(&MOVE, params![row.id.to_string(), row.version, object_key], Expect::Rows(1), "upload");
}

/// Ends a session; another writer's progress is a conflict at `upload`.
pub fn delete(tx: &mut Tx, row: &UploadRow) {
    tx.step_or(&DELETE, params![row.id.to_string(), row.version], Expect::Rows(1), "upload");
}
