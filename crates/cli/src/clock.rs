//! Where time enters the serverless subcommands: nothing below reads a clock.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use vuln::Pulse;

/// The time of the system.
pub(crate) fn now() -> Timestamp {
    #[expect(
        clippy::disallowed_methods,
        reason = "the command line is the composition root of its subcommands"
    )]
    Timestamp::now()
}

/// A watch that ends a scan after `allowed`.
pub(crate) fn deadline(allowed: Duration) -> impl Fn() -> Pulse + Sync {
    let start = Instant::now();
    move || if start.elapsed() > allowed { Pulse::TimeOver } else { Pulse::Go }
}
