//! `[gc]`: the collection of blobs that nothing refers to, and the background check of those that are kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::types::{Duration, Size};

/// The collection of blobs that nothing refers to, and the background check of those that are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Gc {
    /// Whether it runs by itself; `bonded gc` works either way.
    pub enabled: bool,
    /// Time between two runs.
    pub interval: Duration,
    /// Time for which a blob that nothing refers to is kept. Correct with `0s` too.
    pub grace: Duration,
    /// Time, from when it was found, for which a damaged object is kept for inspection once its blob was pushed again.
    pub quarantine: Duration,
    /// Time in which every stored byte is read and checked once. `0s`: never.
    pub scrub_period: Duration,
    /// Most bytes per second that the check reads.
    pub scrub_rate: Size,
}

impl Default for Gc {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(3600),
            grace: Duration::from_secs(24 * 3600),
            quarantine: Duration::from_secs(30 * 24 * 3600),
            scrub_period: Duration::from_secs(30 * 24 * 3600),
            scrub_rate: Size::from_mib(16),
        }
    }
}
