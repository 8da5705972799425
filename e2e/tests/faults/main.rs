//! What is acknowledged is never lost: kills, power cuts, full disks, flipped bits, shutdowns.
//!
//! Each test breaks a real server in one way while clients record what it acknowledged, then holds the server to its
//! word. Kills run `BONDED_FAULT_CYCLES` cycles (few by default, 1,000 by hand, see docs/evidence.md), the power cut
//! `BONDED_FAULT_ACKS` acknowledgements.

mod bitrot;
mod disk_full;
mod history;
mod kill;
mod maintenance;
mod power;
mod rebuild;
mod shutdown;
mod space;
mod storm;

/// Settings with which nothing is kept longer than needed.
const NOTHING_KEPT: &[(&str, &str)] = &[("BONDED_GC__GRACE", "0s"), ("BONDED_DELETE__RESTORE_WINDOW", "0s")];

/// What a test that arranges, acts and asserts returns.
type Outcome = anyhow::Result<()>;
