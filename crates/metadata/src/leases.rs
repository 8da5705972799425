//! Named leases: one holder at a time among all processes, for what must not run twice at once (sealing the audit,
//! ordering a certificate).
//!
//! Invariant: safety rests on the term, not on the time: what a holder writes carries [`fence`], and conflicts once
//! another has taken over.

use crate::clock::Timestamp;
use crate::error::CommitError;
use crate::params;
use crate::store::Store;
use crate::tx::{Expect, Tx};
use std::time::Duration;

/// The tag of a step that finds the lease held by another.
pub const LEASE_HELD: &str = "lease_held";

crate::statements! {
    TAKE = Write "INSERT INTO lease (name, owner, term, until) VALUES ($1, $2, 1, $3) ON CONFLICT (name) DO UPDATE \
        SET owner = excluded.owner, term = lease.term + 1, until = excluded.until WHERE lease.until < $4";
    TERM = Read "SELECT term FROM lease WHERE name = $1 AND owner = $2 AND until >= $3";
    EXTEND = Write "UPDATE lease SET until = $4 WHERE name = $1 AND owner = $2 AND term = $3";
    FENCE = Check "SELECT 1 FROM lease WHERE name = $1 AND owner = $2 AND term = $3 FOR SHARE";
    GIVE_BACK = Write "UPDATE lease SET until = 0 WHERE name = $1 AND owner = $2 AND term = $3";
}

/// A lease that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    name: &'static str,
    owner: String,
    term: i64,
}

impl Held {
    /// The fencing term.
    pub fn term(&self) -> i64 {
        self.term
    }
}

/// Takes the lease if it is free or expired. `owner` is unique to the process and its start.
pub async fn take(
    store: &Store,
    name: &'static str,
    owner: &str,
    lease: Duration,
) -> Result<Option<Held>, CommitError> {
    let now = store.now();
    let mut tx = store.begin().await?;
    tx.step_or(&TAKE, params![name, owner, now.plus(lease), now], Expect::Rows(1), LEASE_HELD).relaxed();
    match store.commit(tx).await {
        Err(CommitError::Conflict { .. }) => return Ok(None),
        result => result?,
    }
    let row = store.row(&TERM, &params![name, owner, now]).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Held { name, owner: owner.to_owned(), term: row.int(0)? }))
}

/// Renews it; false when another has it.
pub async fn renew(store: &Store, held: &Held, lease: Duration) -> Result<bool, CommitError> {
    let mut tx = store.begin().await?;
    let until: Timestamp = store.now().plus(lease);
    tx.step_or(&EXTEND, params![held.name, &held.owner, held.term, until], Expect::Rows(1), LEASE_HELD)
        .relaxed();
    match store.commit(tx).await {
        Err(CommitError::Conflict { .. }) => Ok(false),
        result => result.map(|()| true),
    }
}

/// Appends the proof that the lease is still held.
pub fn fence(tx: &mut Tx, held: &Held) {
    tx.step_or(&FENCE, params![held.name, &held.owner, held.term], Expect::Rows(1), LEASE_HELD);
}

/// Gives it back; another may take it at once.
pub async fn give_back(store: &Store, held: &Held) -> Result<(), CommitError> {
    let mut tx = store.begin().await?;
    tx.step(&GIVE_BACK, params![held.name, &held.owner, held.term], Expect::Any).relaxed();
    store.commit(tx).await
}
