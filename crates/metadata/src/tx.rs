//! A transaction is a value: statements with their parameters and what each is expected to change, built by a planner
//! from what it read, and run by the engine without anybody waiting inside it.
//!
//! Invariants: a value is run whole or not at all; an unmet expectation is `Conflict` with the step's tag; its first
//! statement inserts its row into `tx`, so running it twice keeps it once. Lock order of the steps:
//! blob < manifest < tag < ledger.

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::ids::TxId;
use crate::statement::{Access, Statement};
use crate::store::Store;
use crate::value::Value;

/// How many rows a step must change (or, for a `Check`, find).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Any number, also none.
    Any,
    /// Exactly so many.
    Rows(u32),
    /// At least so many.
    AtLeast(u32),
}

impl Expect {
    /// Whether `rows` is as expected.
    pub fn met_by(self, rows: u64) -> bool {
        match self {
            Self::Any => true,
            Self::Rows(wanted) => rows == u64::from(wanted),
            Self::AtLeast(wanted) => rows >= u64::from(wanted),
        }
    }

    /// The bounds as `bonded_expect` takes them, none where any number will do.
    pub(crate) fn bounds(self) -> Option<[Value; 2]> {
        match self {
            Self::Any => None,
            Self::Rows(wanted) => Some(crate::params![wanted, wanted]),
            Self::AtLeast(wanted) => Some(crate::params![wanted, -1]),
        }
    }
}

/// Whether the answer waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Acknowledged means that it survives a power cut.
    Durable,
    /// Survives the death of the process, perhaps not a power cut: upload sessions, heartbeats, counters.
    Relaxed,
}

/// One statement of a transaction.
#[derive(Debug, Clone)]
pub struct Step {
    pub(crate) statement: &'static Statement,
    pub(crate) params: Vec<Value>,
    pub(crate) expect: Expect,
    pub(crate) tag: &'static str,
}

/// A transaction as a value.
#[derive(Debug, Clone)]
#[must_use = "a transaction does nothing until it is committed"]
pub struct Tx {
    pub(crate) id: TxId,
    pub(crate) durability: Durability,
    pub(crate) steps: Vec<Step>,
}

/// The tag of the step that inserts the value's own `tx` row.
pub(crate) const TX_STEP: &str = "tx";

crate::statements! {
    pub(crate) INSERT = Write "INSERT INTO tx (id, committed_at) VALUES ($1, $2)";
    PRUNE = Write "DELETE FROM tx WHERE id IN (SELECT id FROM tx WHERE committed_at < $1 LIMIT $2)";
    OLD = Read "SELECT 1 FROM tx WHERE committed_at < $1 LIMIT 1";
    pub(crate) EXISTS = Read "SELECT 1 FROM tx WHERE id = $1";
}

impl Tx {
    /// An empty durable transaction; its first step inserts its own row with the time `at`.
    pub fn new(id: TxId, at: Timestamp) -> Self {
        let row = Step {
            statement: &INSERT,
            params: crate::params![id, at].into(),
            expect: Expect::Rows(1),
            tag: TX_STEP,
        };
        Self { id, durability: Durability::Durable, steps: vec![row] }
    }

    /// Its id, for the rows that it makes.
    pub fn id(&self) -> TxId {
        self.id
    }

    /// Whether its answer waits for the disk.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// Appends a step; an unmet expectation is reported with the statement's name.
    pub fn step(
        &mut self,
        statement: &'static Statement,
        params: impl Into<Vec<Value>>,
        expect: Expect,
    ) -> &mut Self {
        self.step_or(statement, params, expect, statement.name)
    }

    /// Appends a step whose failure is reported as `Conflict { step: tag }`.
    pub fn step_or(
        &mut self,
        statement: &'static Statement,
        params: impl Into<Vec<Value>>,
        expect: Expect,
        tag: &'static str,
    ) -> &mut Self {
        debug_assert!(
            matches!(statement.access, Access::Write | Access::Check),
            "{} is a read; a step is Write or Check",
            statement.name
        );
        self.steps.push(Step { statement, params: params.into(), expect, tag });
        self
    }

    /// Lets the answer come before the disk has it. Only for values that touch nothing but sessions and leases.
    pub fn relaxed(&mut self) -> &mut Self {
        self.durability = Durability::Relaxed;
        self
    }

    /// How many steps were added, beside its own.
    pub fn len(&self) -> usize {
        self.steps.len().saturating_sub(1)
    }

    /// Whether it does nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of its parameters, for the bounds of a group commit.
    pub fn heap_bytes(&self) -> usize {
        self.steps.iter().flat_map(|step| &step.params).map(Value::heap_bytes).sum()
    }
}

/// Appends the removal of at most `limit` rows of `tx` committed before `before`. They serve only the answer to a
/// commit whose connection was lost, so an hour is plenty.
pub fn prune(tx: &mut Tx, before: Timestamp, limit: u32) {
    tx.step(&PRUNE, crate::params![before, limit], Expect::Any);
}

/// Whether [`prune`] would find something.
pub async fn has_older(store: &Store, before: Timestamp) -> Result<bool, StoreError> {
    Ok(store.row(&OLD, &crate::params![before]).await?.is_some())
}
