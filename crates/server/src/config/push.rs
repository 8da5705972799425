//! `[push]`: what a push may bring into being, and what it must bring along.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::types::Duration;

/// What a push may bring into being, and what it must bring along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Push {
    /// Whether who may create projects creates one by pushing into it.
    pub create_projects_on_push: bool,
    /// Whether an image is refused while a blob that it refers to is missing.
    pub require_blobs: bool,
    /// Whether an index is refused while a manifest that it lists is missing.
    pub require_children: bool,
    /// Time after its last byte at which an unfinished upload is dropped.
    pub upload_expiry: Duration,
}

impl Default for Push {
    fn default() -> Self {
        Self {
            create_projects_on_push: true,
            require_blobs: true,
            require_children: false,
            upload_expiry: Duration::from_secs(24 * 3600),
        }
    }
}
