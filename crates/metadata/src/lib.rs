//! The store: entities, ids, time, events and jobs, and all SQL, for SQLite and PostgreSQL.
//!
//! A read is a registered [`Statement`]; a change is a [`Tx`] value that a planner builds and an [`Engine`] runs whole
//! or not at all. Nothing outside this crate knows SQL, and nothing is ever held across an await inside a transaction.

pub mod clock;
mod dialect;
pub mod engine;
pub mod error;
pub mod ids;
pub mod jobs;
pub mod leases;
pub mod migrate;
pub mod model;
pub mod outbox;
pub mod postgres;
pub mod random;
pub mod schedules;
pub mod sqlite;
pub mod statement;
pub mod store;
pub mod suite;
pub mod tx;
pub mod value;

pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use engine::{Dialect, Engine};
pub use error::{CommitError, ConflictReason, Outcome, StoreError};
pub use ids::{EventId, Ids, JobId, TxId};
pub use postgres::Postgres;
pub use random::{Random, SeededRandom, SystemRandom};
pub use sqlite::Sqlite;
pub use statement::{Access, Sql, Statement};
pub use store::Store;
pub use tx::{Durability, Expect, Tx};
pub use value::{Row, Value};
