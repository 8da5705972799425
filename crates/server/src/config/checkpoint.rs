//! `[checkpoint]`: what blob storage holds beside the blobs, so that the registry survives its database.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::types::Duration;

/// The copy of the metadata in blob storage, from which `bonded rebuild` makes a lost database again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Checkpoint {
    /// Time after which what changed is written, `1s` to `1h`. A lost database costs at most this and, when its
    /// process was killed too, half a minute more.
    pub interval: Duration,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self { interval: Duration::from_secs(20) }
    }
}
