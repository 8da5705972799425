//! Scans of images in others' registries, asked for by the scanner-adapter API: what was asked (sealed by the caller of
//! this module), how it ended, what was found; and which layers a principal's registries gave us.

use bytes::Bytes;
use oci::Digest;

use super::PrincipalId;
use crate::error::StoreError;
use crate::ids::JobId;
use crate::store::Store;
use crate::tx::{Expect, Tx};
use crate::value::{Row, Value};
use crate::{Timestamp, params};

crate::statements! {
    INSERT = Write "INSERT INTO adapter_scan (id, principal, state, artifact, request, job, expires_at, tx) VALUES ($1, $2, 'waiting', $3, $4, $5, $6, $7)";
    FIND = Read "SELECT id, principal, state, reason, artifact, request, content, job FROM adapter_scan WHERE id = $1 AND expires_at > $2";
    WAITING = Read "SELECT count(*) FROM adapter_scan WHERE principal = $1 AND state = 'waiting' AND expires_at > $2";
    END = Write "UPDATE adapter_scan SET state = $2, reason = $3, content = $4, request = NULL, expires_at = $5, tx = $6 WHERE id = $1 AND state = 'waiting'";
    EXPIRED = Read "SELECT 1 FROM adapter_scan WHERE expires_at <= $1 LIMIT 1";
    FORGET = Write "DELETE FROM adapter_scan WHERE id IN (SELECT id FROM adapter_scan WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)";
    KNOWN = Read "SELECT l.digest, l.content FROM adapter_layer a JOIN layer_catalogue l ON l.digest = a.digest WHERE a.principal = $1 AND a.digest IN (SELECT value FROM bonded_texts($2)) AND l.version = $3";
    USE = Write "INSERT INTO adapter_layer (principal, digest, used_at) VALUES ($1, $2, $3) ON CONFLICT (principal, digest) DO UPDATE SET used_at = excluded.used_at";
    UNUSED = Read "SELECT 1 FROM adapter_layer WHERE used_at < $1 LIMIT 1";
    FORGET_UNUSED = Write "DELETE FROM adapter_layer WHERE used_at < $1";
}

/// Where a scan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdapterState {
    /// It waits or runs.
    Waiting,
    /// What is in the image is known.
    Ready,
    /// The image could not be read.
    Failed,
}

impl AdapterState {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }
}

impl std::str::FromStr for AdapterState {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        [Self::Waiting, Self::Ready, Self::Failed]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| StoreError::inconsistent(format!("state of an adapter's scan {text}")))
    }
}

/// A scan that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterScanRow {
    /// Its id, unguessable.
    pub id: String,
    /// Who asked.
    pub principal: PrincipalId,
    /// Where it is.
    pub state: AdapterState,
    /// Why it failed.
    pub reason: Option<String>,
    /// The artifact as the other side named it: JSON.
    pub artifact: String,
    /// What was asked, sealed; none once it has ended.
    pub request: Option<Bytes>,
    /// What was found.
    pub content: Option<Bytes>,
    /// The job.
    pub job: JobId,
}

fn parse(row: &Row) -> Result<AdapterScanRow, StoreError> {
    Ok(AdapterScanRow {
        id: row.text(0)?.to_owned(),
        principal: row.id(1)?,
        state: row.parse(2)?,
        reason: row.opt_text(3)?.map(str::to_owned),
        artifact: row.text(4)?.to_owned(),
        request: row.opt_bytes(5)?,
        content: row.opt_bytes(6)?,
        job: row.id(7)?,
    })
}

impl Store {
    /// A scan that was asked for, if it is still kept.
    pub async fn adapter_scan(&self, id: &str) -> Result<Option<AdapterScanRow>, StoreError> {
        self.row(&FIND, &params![id, self.now()]).await?.as_ref().map(parse).transpose()
    }

    /// How many scans of a principal wait or run.
    pub async fn adapter_scans_waiting(&self, principal: PrincipalId) -> Result<u64, StoreError> {
        let row = self.row(&WAITING, &params![principal, self.now()]).await?;
        row.map_or(Ok(0), |row| row.uint(0))
    }

    /// Whether scans expired by `now`.
    pub async fn has_expired_adapter_scans(&self, now: Timestamp) -> Result<bool, StoreError> {
        Ok(self.row(&EXPIRED, &params![now]).await?.is_some())
    }

    /// What those of the layers state that a principal's registries gave us before, as extractors of `version` read them.
    pub async fn adapter_layers(
        &self,
        principal: PrincipalId,
        digests: &[Digest],
        version: u32,
    ) -> Result<Vec<(Digest, Bytes)>, StoreError> {
        let list = Value::texts(digests.iter().map(Digest::to_string));
        let rows = self.rows(&KNOWN, &params![principal, list, version]).await?;
        rows.iter().map(|row| Ok((row.digest(0)?, row.bytes(1)?))).collect()
    }

    /// Whether layers were not used since `before`.
    pub async fn has_unused_adapter_layers(&self, before: Timestamp) -> Result<bool, StoreError> {
        Ok(self.row(&UNUSED, &params![before]).await?.is_some())
    }
}

/// A scan to be kept.
#[derive(Clone, Debug)]
pub struct NewAdapterScan<'a> {
    /// Its id.
    pub id: &'a str,
    /// Who asks.
    pub principal: PrincipalId,
    /// The artifact as the other side names it: JSON.
    pub artifact: &'a str,
    /// What is asked, sealed.
    pub request: Vec<u8>,
    /// The job.
    pub job: JobId,
    /// When it is forgotten, should it not have ended before.
    pub expires_at: Timestamp,
}

/// Keeps a scan that somebody asks for.
pub fn insert(tx: &mut Tx, new: NewAdapterScan<'_>) {
    let by = tx.id();
    let NewAdapterScan { id, principal, artifact, request, job, expires_at } = new;
    tx.step(&INSERT, params![id, principal, artifact, request, job, expires_at, by], Expect::Rows(1));
}

/// Keeps what was found; one that has ended meanwhile stays as it is.
pub fn put_content(tx: &mut Tx, id: &str, content: Bytes, expires_at: Timestamp) {
    end(tx, id, AdapterState::Ready, None, Some(content), expires_at);
}

/// Keeps why nothing could be found; one that has ended meanwhile stays as it is.
pub fn put_failure(tx: &mut Tx, id: &str, reason: &str, expires_at: Timestamp) {
    end(tx, id, AdapterState::Failed, Some(reason), None, expires_at);
}

fn end(
    tx: &mut Tx,
    id: &str,
    state: AdapterState,
    reason: Option<&str>,
    content: Option<Bytes>,
    expires_at: Timestamp,
) {
    let by = tx.id();
    tx.step(&END, params![id, state.as_str(), reason, content, expires_at, by], Expect::Any);
}

/// Forgets scans that expired by `now`.
pub fn forget(tx: &mut Tx, now: Timestamp, limit: u32) {
    tx.step(&FORGET, params![now, limit], Expect::Any);
}

/// Notes that a principal's registry gave us a layer, or that it was used again.
pub fn use_layer(tx: &mut Tx, principal: PrincipalId, digest: &Digest, at: Timestamp) {
    tx.step(&USE, params![principal, digest, at], Expect::Rows(1));
}

/// Forgets which layers were given to us by whom, where nobody used them since `before`.
pub fn forget_unused(tx: &mut Tx, before: Timestamp) {
    tx.step(&FORGET_UNUSED, params![before], Expect::Any);
}
