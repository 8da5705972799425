//! `[audit]`: the record of who did what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::types::Duration;

/// The record of who did what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// Whether a pull, login or denial waits until its record is durable. Changes always do. Otherwise their records
    /// gather for half a second, equal ones of a caller as one that says how often.
    pub strict: bool,
    /// Whether pulls of manifests are recorded.
    pub pulls: bool,
    /// Time for which records are kept. Only `0s`, for ever, in this version.
    pub retention: Duration,
}

impl Default for Audit {
    fn default() -> Self {
        Self { strict: false, pulls: true, retention: Duration::from_secs(0) }
    }
}
