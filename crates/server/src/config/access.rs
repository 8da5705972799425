//! `[access]`: how long facts about access may be stale.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::types::Duration;

/// How long facts about access may be stale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// How long already authorised pulls go on when the database cannot be asked.
    pub stale_max: Duration,
}

impl Default for Access {
    fn default() -> Self {
        Self { stale_max: Duration::from_secs(24 * 3600) }
    }
}
