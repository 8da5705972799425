//! Keys that sign tokens, shared by all replicas, and refresh tokens (stored only as hashes).

use bytes::Bytes;

use super::PrincipalId;
use crate::error::StoreError;
use crate::store::Store;
use crate::tx::{Expect, Tx};
use crate::{Timestamp, params};

crate::statements! {
    KEYS = Read "SELECT id, private_key, public_key, created_at, signs_until, verifies_until FROM signing_key ORDER BY created_at DESC, id DESC LIMIT 100";
    INSERT_KEY = Write "INSERT INTO signing_key (id, private_key, public_key, created_at, signs_until, verifies_until, tx) SELECT $1, $2, $3, $4, $5, $6, $7 WHERE NOT EXISTS (SELECT 1 FROM signing_key WHERE created_at > $8 AND signs_until > $4)";
    DELETE_KEYS = Write "DELETE FROM signing_key WHERE verifies_until < $1";
    REFRESH = Read "SELECT family, principal_id, epoch, expires_at FROM refresh_token WHERE id = $1";
    INSERT_REFRESH = Write "INSERT INTO refresh_token (id, family, principal_id, epoch, expires_at, tx) VALUES ($1, $2, $3, $4, $5, $6)";
    DELETE_REFRESH_EXPIRED = Write "DELETE FROM refresh_token WHERE expires_at < $1";
}

/// A key pair that signs tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKeyRow {
    /// Key id (`kid`).
    pub id: i64,
    /// Sealed private key.
    pub private_key: Bytes,
    /// Public key.
    pub public_key: Bytes,
    /// When it was made.
    pub created_at: Timestamp,
    /// New tokens are signed with it until then.
    pub signs_until: Timestamp,
    /// Its tokens are accepted until then.
    pub verifies_until: Timestamp,
}

/// A refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshRow {
    /// Tokens that come from one login.
    pub family: i64,
    /// Whose it is.
    pub principal: PrincipalId,
    /// The principal's epoch when it was issued.
    pub epoch: i64,
    /// End of its life.
    pub expires_at: Timestamp,
}

impl Store {
    /// Signing keys, newest first.
    pub async fn signing_keys(&self) -> Result<Vec<SigningKeyRow>, StoreError> {
        let rows = self.rows(&KEYS, &[]).await?;
        rows.iter()
            .map(|row| {
                Ok(SigningKeyRow {
                    id: row.int(0)?,
                    private_key: row.bytes(1)?,
                    public_key: row.bytes(2)?,
                    created_at: row.id(3)?,
                    signs_until: row.id(4)?,
                    verifies_until: row.id(5)?,
                })
            })
            .collect()
    }

    /// The refresh token whose hash is `id`.
    pub async fn refresh_token(&self, id: &[u8]) -> Result<Option<RefreshRow>, StoreError> {
        let Some(row) = self.row(&REFRESH, &params![id]).await? else { return Ok(None) };
        Ok(Some(RefreshRow {
            family: row.int(0)?,
            principal: row.id(1)?,
            epoch: row.int(2)?,
            expires_at: row.id(3)?,
        }))
    }
}

/// Inserts a signing key unless one signs that was made after `old`; two replicas that rotate at once make one key.
pub fn insert_key(tx: &mut Tx, key: &SigningKeyRow, old: Timestamp) {
    let id = tx.id();
    tx.step_or(
        &INSERT_KEY,
        params![
            key.id,
            key.private_key.clone(),
            key.public_key.clone(),
            key.created_at,
            key.signs_until,
            key.verifies_until,
            id,
            old
        ],
        Expect::Any,
        "signing_key",
    );
}

/// Forgets keys whose tokens have all expired.
pub fn delete_expired_keys(tx: &mut Tx, now: Timestamp) {
    tx.step(&DELETE_KEYS, params![now], Expect::Any);
}

/// Stores a refresh token under the hash `id`.
pub fn insert_refresh(tx: &mut Tx, id: &[u8], row: &RefreshRow) {
    let by = tx.id();
    tx.step(
        &INSERT_REFRESH,
        params![id, row.family, row.principal, row.epoch, row.expires_at, by],
        Expect::Rows(1),
    );
}

/// Forgets refresh tokens that expired.
pub fn delete_expired_refresh(tx: &mut Tx, now: Timestamp) {
    tx.step(&DELETE_REFRESH_EXPIRED, params![now], Expect::Any);
}
