//! Reactions: what happens because something was pushed, asked for or has come due – never on a request's path.
//!
//! One [`Runner`] per process with the role `jobs`. Events of the outbox become jobs ([`Reaction`]), schedules become
//! jobs, jobs run under leases ([`Job`], [`JobContext`]), duties that exactly one process does run under named leases
//! ([`Duty`]). All of it lives in the database, so any number of processes share the work.

pub mod audit;
pub mod checkpoint;
mod context;
mod dispatch;
mod duty;
mod figures;
mod files;
pub mod housekeeping;
pub mod index;
mod job;
pub mod maintenance;
mod runner;
mod running;
pub mod scan;
mod schedule;
pub mod upkeep;

pub use context::JobContext;
pub use dispatch::Reaction;
pub use duty::Duty;
pub use figures::{Backlog, Ended, Figures};
pub use job::{Job, JobError, LONGEST_PAUSE};
pub use runner::{Idle, NotIdle, Runner, RunnerBuilder, Settings};
pub use schedule::Declared;
