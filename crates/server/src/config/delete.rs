//! `[delete]`: how long what was deleted can be restored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::types::Duration;

/// How long what was deleted can be restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Delete {
    /// Time in which a deleted manifest can be restored with its tags (`/api/v1/projects/…/repositories/…/deleted`). A
    /// deleted tag leaves its manifest where it is. `0s`: it is gone at once.
    pub restore_window: Duration,
}

impl Default for Delete {
    fn default() -> Self {
        Self { restore_window: Duration::from_secs(7 * 24 * 3600) }
    }
}
