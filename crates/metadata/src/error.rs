//! What can go wrong with the store, said as what the caller can do about it.
//!
//! Invariants: `Unavailable` and `NoSpace` are never turned into "not found"; a `Conflict` means that nothing of the
//! value was kept; only `CommitError::Unavailable { outcome: Unknown }` leaves open whether it was kept.

use thiserror::Error;

/// Why a read, a reservation of ids or opening the store failed.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum StoreError {
    /// The database cannot be reached or answers too slowly: try again later (503).
    #[error("database unavailable: {reason}")]
    Unavailable {
        /// What the driver said, for the log.
        reason: String,
    },
    /// The disk of the database is full (507).
    #[error("no space left for the database")]
    NoSpace,
    /// The database answered something that the program does not understand: a defect, or foreign changes.
    #[error("inconsistent database: {what}")]
    Inconsistent {
        /// Where and what, for the log.
        what: String,
    },
    /// The data directory belongs to another running process.
    #[error("{path} is in use by another process")]
    Locked {
        /// The lock file.
        path: String,
    },
}

impl StoreError {
    /// Shorthand for [`StoreError::Inconsistent`].
    pub fn inconsistent(what: impl Into<String>) -> Self {
        Self::Inconsistent { what: what.into() }
    }

    /// Shorthand for [`StoreError::Unavailable`].
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into() }
    }
}

/// Why a value conflicted with the state it met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConflictReason {
    /// A step changed (or found) another number of rows than expected.
    Expectation,
    /// A unique constraint.
    Unique,
    /// A foreign key constraint.
    ForeignKey,
    /// PostgreSQL could not serialise it or broke a deadlock.
    Serialization,
}

/// Whether a value whose answer was lost may have been kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was kept.
    NotCommitted,
    /// The connection was lost when the value may have been committed.
    Unknown,
}

/// Why a transaction was not acknowledged.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum CommitError {
    /// The state is not the one the plan was made for; nothing was kept: read again, plan again.
    #[error("conflict at step {step}: {reason:?}")]
    Conflict {
        /// The tag of the step that failed.
        step: &'static str,
        /// How it failed.
        reason: ConflictReason,
    },
    /// The database cannot be reached or answers too slowly.
    #[error("database unavailable: {reason}")]
    Unavailable {
        /// What the driver said, for the log.
        reason: String,
        /// Whether the value may nevertheless have been kept.
        outcome: Outcome,
    },
    /// The disk of the database is full; nothing was kept.
    #[error("no space left for the database")]
    NoSpace,
    /// A defect: a statement failed for a reason no plan should meet; nothing was kept.
    #[error("inconsistent database: {what}")]
    Inconsistent {
        /// Where and what, for the log.
        what: String,
    },
}

impl CommitError {
    /// Whether planning again from fresh reads may succeed.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    /// Whether this is the conflict of the step so tagged.
    pub fn conflicts_at(&self, tag: &str) -> bool {
        matches!(self, Self::Conflict { step, .. } if *step == tag)
    }
}

impl From<StoreError> for CommitError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { reason } => {
                Self::Unavailable { reason, outcome: Outcome::NotCommitted }
            }
            StoreError::NoSpace => Self::NoSpace,
            StoreError::Inconsistent { what } => Self::Inconsistent { what },
            StoreError::Locked { path } => {
                Self::Unavailable { reason: format!("{path} is locked"), outcome: Outcome::NotCommitted }
            }
        }
    }
}
