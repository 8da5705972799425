//! Ids: 64-bit integers from blocks that a process reserves in the database, so that a planner knows the ids of the
//! rows it is about to insert.
//!
//! Invariants: an id is handed out once, whatever restarts; ids grow within a process but not across processes (order
//! by time, not by id); gaps are normal.

use crate::engine::Engine;
use crate::error::StoreError;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// How many ids a process reserves at once. A crash loses at most these.
pub const BLOCK: u32 = 4096;

/// The ids of this process.
#[derive(Debug)]
pub struct Ids {
    engine: Arc<dyn Engine>,
    block: Mutex<Range<i64>>,
    refill: tokio::sync::Mutex<()>,
}

impl Ids {
    /// Draws from `engine`; reserves nothing yet.
    pub fn new(engine: Arc<dyn Engine>) -> Self {
        Self { engine, block: Mutex::new(0..0), refill: tokio::sync::Mutex::new(()) }
    }

    /// The next id. Reads the database once in [`BLOCK`] calls.
    pub async fn next(&self) -> Result<i64, StoreError> {
        Ok(self.many(1).await?.start)
    }

    /// `count` consecutive ids (at most [`BLOCK`]; more is cut to it).
    pub async fn many(&self, count: u32) -> Result<Range<i64>, StoreError> {
        let count = i64::from(count.min(BLOCK));
        loop {
            if let Some(taken) = self.take(count) {
                return Ok(taken);
            }
            let _refilling = self.refill.lock().await;
            if let Some(taken) = self.take(count) {
                return Ok(taken);
            }
            let first = self.engine.reserve_ids(BLOCK).await?;
            *self.lock() = first..first + i64::from(BLOCK);
        }
    }

    fn take(&self, count: i64) -> Option<Range<i64>> {
        let mut block = self.lock();
        let end = block.start.checked_add(count).filter(|end| *end <= block.end)?;
        let taken = block.start..end;
        block.start = end;
        Some(taken)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Range<i64>> {
        self.block.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Declares id types over `i64`: `typed_id! { /// A project. pub ProjectId; }`.
#[macro_export]
macro_rules! typed_id {
    ($( $(#[$meta:meta])* $vis:vis $name:ident ;)+) => { $(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        $vis struct $name(i64);

        impl $name {
            /// The number as it is stored.
            pub const fn get(self) -> i64 { self.0 }
        }
        impl From<i64> for $name {
            fn from(id: i64) -> Self { Self(id) }
        }
        impl From<$name> for $crate::Value {
            fn from(id: $name) -> Self { $crate::Value::Int(id.0) }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { self.0.fmt(f) }
        }
        impl std::str::FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(text: &str) -> Result<Self, Self::Err> { text.parse().map(Self) }
        }
    )+ };
}

typed_id! {
    /// A transaction; rows carry the one that made them.
    pub TxId;
    /// A job.
    pub JobId;
    /// An event of the outbox.
    pub EventId;
}
