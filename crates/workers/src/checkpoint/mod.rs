//! The checkpoint: what blob storage must hold so that a registry can be brought back without its database.
//!
//! One process at a time (a leased duty) writes what changed as numbered segments, some seconds after it was committed;
//! from time to time a full copy of all rows goes between them, so that the number and the size of the segments stay
//! bounded. `bonded rebuild` reads the newest full copy and what changed since.
//!
//! Invariants: a change is forgotten in the database only after the segment that holds it is durable; every segment
//! names its predecessor by its digest; only a segment that ends a page at which nothing else had changed is a state to
//! return to; what an older full copy needs is deleted only after a newer one can be returned to.
//!
//! An object that collection deletes may still be named by the newest segment until the next one is written. With
//! `gc.grace` above `checkpoint.interval` it is not deleted before; else a rebuild at just that moment reports it.

mod chain;
mod rebuild;
mod segment;
mod writer;

pub(crate) use chain::publish;
pub use rebuild::{RebuildError, RebuildOptions, RebuildReport, WrongObject, is_of_other_database, rebuild};
pub use writer::CheckpointDuty;

/// What a password hash in a segment was sealed as.
const PASSWORD: &str = "checkpoint password";
