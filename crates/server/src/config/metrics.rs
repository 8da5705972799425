//! `[metrics]`: who may read `/metrics`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::Secret;
use super::types::Listen;

/// Who may read `/metrics`. With neither key set it is not served.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// An address of its own for `/metrics`, `/healthz` and `/readyz`, in clear text and without a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<Listen>,
    /// Bearer token with which `/metrics` is served on `server.listen`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
}
