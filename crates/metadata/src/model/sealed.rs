//! Sealed things that all replicas share, by name: what a process needs to know and its database must not tell.
//!
//! The content is sealed by the caller, under the installation's master key.

use bytes::Bytes;

use crate::error::StoreError;
use crate::store::Store;
use crate::tx::{Expect, Tx};
use crate::{Timestamp, params};

crate::statements! {
    SEALED = Read "SELECT content, created_at FROM sealed WHERE name = $1 AND expires_at > $2";
    PUT_SEALED = Write "INSERT INTO sealed (name, content, created_at, expires_at, tx) VALUES ($1, $2, $3, $4, $5) \
        ON CONFLICT (name) DO UPDATE SET content = excluded.content, created_at = excluded.created_at, \
        expires_at = excluded.expires_at, tx = excluded.tx";
    DELETE_SEALED = Write "DELETE FROM sealed WHERE name = $1";
    DELETE_SEALED_EXPIRED = Write "DELETE FROM sealed WHERE expires_at <= $1";
}

/// A sealed thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedRow {
    /// Sealed content.
    pub content: Bytes,
    /// When it was put.
    pub created_at: Timestamp,
}

impl Store {
    /// The thing of this name, if it has not expired.
    pub async fn sealed(&self, name: &str) -> Result<Option<SealedRow>, StoreError> {
        let row = self.row(&SEALED, &params![name, self.now()]).await?;
        row.map(|row| Ok(SealedRow { content: row.bytes(0)?, created_at: row.id(1)? })).transpose()
    }
}

/// Puts a thing, or puts it anew.
pub fn put_sealed(tx: &mut Tx, name: &str, row: &SealedRow, expires_at: Timestamp) {
    let by = tx.id();
    tx.step(&PUT_SEALED, params![name, row.content.clone(), row.created_at, expires_at, by], Expect::Rows(1));
}

/// Forgets a thing.
pub fn delete_sealed(tx: &mut Tx, name: &str) {
    tx.step(&DELETE_SEALED, params![name], Expect::Any);
}

/// Forgets things that expired.
pub fn delete_expired_sealed(tx: &mut Tx, now: Timestamp) {
    tx.step(&DELETE_SEALED_EXPIRED, params![now], Expect::Any);
}
