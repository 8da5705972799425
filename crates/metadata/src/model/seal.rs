//! The sealed audit: records in the order in which they were numbered, their chain of hashes, and its signatures.
//!
//! Records are written by the transactions that they tell of, in no order that readers could rely on; one process at a
//! time numbers those that have no number yet. Who follows the audit follows positions, and misses none.

use bytes::Bytes;

use super::audit::{self, AuditRow};
use crate::error::StoreError;
use crate::store::Store;
use crate::tx::{Expect, Tx};
use crate::{Timestamp, params};

crate::statements! {
    UNSEALED = Scan "SELECT id, at, principal_id, principal, action, project_id, target, outcome, details, address, request_id FROM audit WHERE position IS NULL ORDER BY id LIMIT $1";
    UNSEALED_COUNT = Scan "SELECT count(*) FROM audit WHERE position IS NULL";
    SEALED = Scan "SELECT id, at, principal_id, principal, action, project_id, target, outcome, details, address, request_id, position, chain FROM audit WHERE position > $1 ORDER BY position, id LIMIT $2";
    // By position and id: a forged record may have any position, or one that another has.
    SEALED_FROM = Scan "SELECT id, at, principal_id, principal, action, project_id, target, outcome, details, address, request_id, position, chain FROM audit WHERE (position, id) >= ($1, $2) ORDER BY position, id LIMIT $3";
    SET_POSITION = Write "UPDATE audit SET position = $2, chain = $3 WHERE id = $1 AND position IS NULL";
    LAST_SEAL = Read "SELECT position, chain, signature, key_id FROM audit_seal ORDER BY position DESC LIMIT 1";
    SEALS = Scan "SELECT position, chain, signature, key_id FROM audit_seal WHERE position > $1 ORDER BY position LIMIT $2";
    INSERT_SEAL = Write "INSERT INTO audit_seal (position, chain, signature, key_id, sealed_at, tx) VALUES ($1, $2, $3, $4, $5, $6)";
    KEYS = Read "SELECT id, private_key, public_key FROM audit_key ORDER BY id LIMIT 1000";
    INSERT_KEY = Write "INSERT INTO audit_key (id, private_key, public_key, created_at, tx) VALUES ($1, $2, $3, $4, $5)";
}

/// A record with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedRow {
    /// Its number, from 1 without gaps.
    pub position: i64,
    /// The hash of all records up to and with this one.
    pub chain: Bytes,
    /// The record.
    pub row: AuditRow,
}

/// A signature over the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealRow {
    /// Up to where.
    pub position: i64,
    /// The hash there.
    pub chain: Bytes,
    /// Its signature.
    pub signature: Bytes,
    /// By which key.
    pub key_id: i64,
}

/// A key pair that signs the audit.
#[derive(Clone, PartialEq, Eq)]
pub struct AuditKeyRow {
    /// Its id.
    pub id: i64,
    /// Sealed private key.
    pub private_key: Bytes,
    /// Public key.
    pub public_key: Bytes,
}

fn seal(row: &crate::Row) -> Result<SealRow, StoreError> {
    Ok(SealRow { position: row.int(0)?, chain: row.bytes(1)?, signature: row.bytes(2)?, key_id: row.int(3)? })
}

fn sealed(row: &crate::Row) -> Result<SealedRow, StoreError> {
    Ok(SealedRow {
        row: audit::parse(row)?,
        position: row.int(11)?,
        chain: row.opt_bytes(12)?.unwrap_or_default(),
    })
}

impl Store {
    /// Records without a number, oldest ids first.
    pub async fn unsealed_audit(&self, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        self.rows(&UNSEALED, &params![limit]).await?.iter().map(audit::parse).collect()
    }

    /// How many records have no number yet.
    pub async fn unsealed_audit_count(&self) -> Result<u64, StoreError> {
        self.row(&UNSEALED_COUNT, &[]).await?.map_or(Ok(0), |row| row.uint(0))
    }

    /// Sealed records in order of their positions after `after`.
    pub async fn sealed_audit(&self, after: i64, limit: u32) -> Result<Vec<SealedRow>, StoreError> {
        self.rows(&SEALED, &params![after, limit]).await?.iter().map(sealed).collect()
    }

    /// Every record that has a position, right or not, in order of positions and ids, from this one.
    pub async fn sealed_audit_from(
        &self,
        (position, id): (i64, i64),
        limit: u32,
    ) -> Result<Vec<SealedRow>, StoreError> {
        self.rows(&SEALED_FROM, &params![position, id, limit]).await?.iter().map(sealed).collect()
    }

    /// The last signature.
    pub async fn last_seal(&self) -> Result<Option<SealRow>, StoreError> {
        self.row(&LAST_SEAL, &[]).await?.as_ref().map(seal).transpose()
    }

    /// Signatures in order of their positions after `after`.
    pub async fn seals(&self, after: i64, limit: u32) -> Result<Vec<SealRow>, StoreError> {
        self.rows(&SEALS, &params![after, limit]).await?.iter().map(seal).collect()
    }

    /// Keys that sign or signed the audit.
    pub async fn audit_keys(&self) -> Result<Vec<AuditKeyRow>, StoreError> {
        let rows = self.rows(&KEYS, &[]).await?;
        rows.iter()
            .map(|row| {
                Ok(AuditKeyRow { id: row.int(0)?, private_key: row.bytes(1)?, public_key: row.bytes(2)? })
            })
            .collect()
    }
}

/// Numbers a record; one that has a number is a conflict at `position`.
pub fn number(tx: &mut Tx, id: i64, position: i64, chain: &[u8]) {
    tx.step_or(&SET_POSITION, params![id, position, chain], Expect::Rows(1), "position");
}

/// Signs the chain; a second signature at a position is a conflict at `seal`.
pub fn insert(tx: &mut Tx, row: &SealRow, at: Timestamp) {
    let by = tx.id();
    tx.step_or(
        &INSERT_SEAL,
        params![row.position, row.chain.clone(), row.signature.clone(), row.key_id, at, by],
        Expect::Rows(1),
        "seal",
    );
}

/// Keeps a key.
pub fn insert_key(tx: &mut Tx, key: &AuditKeyRow, at: Timestamp) {
    let by = tx.id();
    tx.step(
        &INSERT_KEY,
        params![key.id, key.private_key.clone(), key.public_key.clone(), at, by],
        Expect::Rows(1),
    );
}
