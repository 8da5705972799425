//! `[timeouts]`: when a connection is given up.
//!
//! A transfer has no total time: that would be a size limit in disguise. It is cut when it moves less than a floor of
//! bytes over a window in which the server waited for the client at least half of the time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::types::{Duration, Size};

/// When a connection is given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// Time from the first byte of a request (or from the connection) to the end of its headers.
    pub header: Duration,
    /// Time for the TLS handshake.
    pub tls_handshake: Duration,
    /// Time that a connection may rest between two requests.
    pub idle: Duration,
    /// Window over which the progress of a body, sent or received, is measured.
    pub progress_window: Duration,
    /// Bytes per second below which a body counts as stalled. `0B`: never.
    pub progress_floor: Size,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            header: Duration::from_secs(10),
            tls_handshake: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            progress_window: Duration::from_secs(30),
            progress_floor: Size::from_kib(1),
        }
    }
}
