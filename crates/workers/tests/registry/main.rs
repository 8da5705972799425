//! Background work on a registry in memory.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod audit;
mod checkpoint;
mod collect;
mod fsck;
mod storage;
mod support;
mod uploads;
