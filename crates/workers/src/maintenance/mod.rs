//! Maintenance of what is stored: giving disk back, checking bytes, comparing rows with objects.
//!
//! Pure sequences of small steps over the use cases and the stores: each may be stopped at any point and started again.

mod collect;
mod fsck;
mod scrub;

pub use collect::{CollectReport, collect};
pub use fsck::{FsckOptions, FsckProblem, FsckReport, fsck};
pub use scrub::{ScrubReport, scrub};
