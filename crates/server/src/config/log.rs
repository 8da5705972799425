//! `[log]`: what is written to standard error. Never tokens, bodies or secrets, at any level.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The forms of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object on each line.
    Json,
}

/// Which requests are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// None.
    Off,
    /// Those answered with 5xx, and those cut off.
    Errors,
    /// Each but successful health and metrics requests.
    #[default]
    All,
}

/// What is written to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,registry=debug`.
    pub level: String,
    /// Form of a line.
    pub format: Format,
    /// Which requests are logged.
    pub access: Access,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: Format::Text, access: Access::All }
    }
}
