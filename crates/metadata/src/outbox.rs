//! The outbox: events inserted with the state they tell of, so that none is lost and none tells of what never was.
//!
//! A dispatcher deletes an event in the transaction that enqueues the jobs it causes, expecting to delete one row:
//! whoever is second conflicts, so an event causes its jobs once. Order: by time, then id. Ids come from blocks of
//! several processes, hence no cursor over them.

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::ids::EventId;
use crate::jobs::cut;
use crate::params;
use crate::store::Store;
use crate::tx::{Expect, Tx};
use crate::value::Row;

/// The tag of settling an event that another dispatcher has settled.
pub const SETTLED: &str = "event_settled";

crate::statements! {
    APPEND = Write "INSERT INTO outbox (id, tx, kind, project, payload, created_at) VALUES ($1, $2, $3, $4, $5, $6)";
    PENDING = Read "SELECT id, kind, project, payload, created_at, attempts FROM outbox WHERE retry_at <= $1 \
        ORDER BY created_at, id LIMIT $2";
    SETTLE = Write "DELETE FROM outbox WHERE id = $1";
    POSTPONE = Write "UPDATE outbox SET attempts = attempts + 1, retry_at = $2, error = $3 WHERE id = $1";
    BACKLOG = Scan "SELECT count(*), min(created_at) FROM outbox";
}

/// An event that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id: the idempotency key of what it causes.
    pub id: EventId,
    /// Its kind, past tense: `manifest_pushed`.
    pub kind: String,
    /// The project it happened in.
    pub project: Option<i64>,
    /// JSON.
    pub payload: String,
    /// When it happened.
    pub created_at: Timestamp,
    /// Dispatches that failed.
    pub attempts: i64,
}

/// Appends an event to the transaction that makes it true.
pub fn append(tx: &mut Tx, id: EventId, at: Timestamp, kind: &str, project: Option<i64>, payload: &str) {
    let owner = tx.id();
    tx.step(&APPEND, params![id, owner, kind, project, payload, at], Expect::Rows(1));
}

/// Events that wait, oldest first.
pub async fn pending(store: &Store, limit: u32) -> Result<Vec<Event>, StoreError> {
    let rows = store.rows(&PENDING, &params![store.now(), limit]).await?;
    let event = |row: &Row| {
        Ok(Event {
            id: row.id(0)?,
            kind: row.text(1)?.to_owned(),
            project: row.opt_int(2)?,
            payload: row.text(3)?.to_owned(),
            created_at: row.id(4)?,
            attempts: row.int(5)?,
        })
    };
    rows.iter().map(event).collect()
}

/// Appends the removal of an event whose consequences are in the same transaction.
pub fn settle(tx: &mut Tx, id: EventId) {
    tx.step_or(&SETTLE, params![id], Expect::Rows(1), SETTLED);
}

/// Appends that an event could not be dispatched and waits until `retry_at`.
pub fn postpone(tx: &mut Tx, id: EventId, retry_at: Timestamp, error: &str) {
    tx.step_or(&POSTPONE, params![id, retry_at, cut(error)], Expect::Rows(1), SETTLED);
}

/// How many events wait, and since when the oldest does.
pub async fn backlog(store: &Store) -> Result<(u64, Option<Timestamp>), StoreError> {
    match store.row(&BACKLOG, &[]).await? {
        Some(row) => Ok((row.uint(0)?, row.opt_id(1)?)),
        None => Ok((0, None)),
    }
}
