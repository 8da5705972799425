//! One budget of upload memory for the whole process.
//!
//! Invariant: however many uploads there are, the bytes they hold never exceed the budget. Over it they wait; after
//! `patience` without a byte they fail with [`BlobError::Overloaded`]. Uploads may keep bytes back between two chunks
//! only while at least half of the budget is free, so that idle ones cannot starve the others.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::BlobError;

/// The unit of accounting in bytes.
const UNIT: usize = 4096;

/// Upload memory shared by all writers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Budget {
    free: Arc<Semaphore>,
    units: usize,
    patience: Duration,
}

/// Bytes taken from a budget; dropping it gives them back.
#[derive(Debug)]
pub struct Permit {
    inner: OwnedSemaphorePermit,
}

impl Budget {
    /// A budget of `bytes` (at least 16 MiB, so that one S3 part and one batch always fit).
    pub fn new(bytes: usize, patience: Duration) -> Self {
        let units = (bytes.max(16 << 20) / UNIT).min(u32::MAX as usize / 2);
        Self { free: Arc::new(Semaphore::new(units)), units, patience }
    }

    /// Bytes not taken now.
    pub fn free_bytes(&self) -> usize {
        self.free.available_permits() * UNIT
    }

    /// Whether less than half is free: hold nothing back then.
    pub fn is_tight(&self) -> bool {
        self.free.available_permits() < self.units / 2
    }

    /// Takes `bytes` if they are free now.
    pub fn try_take(&self, bytes: usize) -> Option<Permit> {
        let inner = Arc::clone(&self.free).try_acquire_many_owned(self.units_of(bytes)).ok()?;
        Some(Permit { inner })
    }

    /// Takes `bytes`, in the order of asking; a single request above a quarter of the budget counts as a quarter.
    pub async fn take(&self, bytes: usize) -> Result<Permit, BlobError> {
        if let Some(permit) = self.try_take(bytes) {
            return Ok(permit);
        }
        let wait = Arc::clone(&self.free).acquire_many_owned(self.units_of(bytes));
        match tokio::time::timeout(self.patience, wait).await {
            Ok(Ok(inner)) => Ok(Permit { inner }),
            Ok(Err(_)) | Err(_) => Err(BlobError::Overloaded),
        }
    }

    fn units_of(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT).clamp(1, self.units / 4)).unwrap_or(u32::MAX)
    }
}

impl Permit {
    /// Adds another permit of the same budget to this one.
    pub fn join(&mut self, other: Self) {
        self.inner.merge(other.inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_exhausted_budget_waits_then_fails_and_recovers() {
        let budget = Budget::new(16 << 20, Duration::from_secs(5));
        let mut held: Vec<Permit> = (0..4).map(|_| budget.try_take(4 << 20).unwrap()).collect();
        assert!(budget.is_tight());
        assert!(matches!(budget.take(1).await, Err(BlobError::Overloaded)));
        held.pop();
        assert!(budget.take(4 << 20).await.is_ok());
    }
}
