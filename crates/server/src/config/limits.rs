//! `[limits]`: how much of anything one client may make the process hold. Over a limit is a clear error, never a hang.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::types::Size;

/// How much of anything one client may make the process hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Largest manifest. The specification asks for 4 MiB at least.
    pub manifest: Size,
    /// Largest blob. `0B`: no limit but the space.
    pub blob: Size,
    /// Largest body of a management request.
    pub api_body: Size,
    /// Largest request head: request line and headers together.
    pub header: Size,
    /// Connections open at the same time; further ones wait in the kernel's queue.
    pub connections: u32,
    /// Requests running at the same time on one HTTP/2 connection.
    pub http2_streams: u32,
    /// Memory that all uploads together may hold, at least 32 MiB; one principal's at most a quarter of it.
    pub upload_memory: Size,
    /// Unfinished uploads of one principal.
    pub uploads_per_principal: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest: Size::from_mib(4),
            blob: Size::from_bytes(0),
            api_body: Size::from_mib(1),
            header: Size::from_kib(16),
            connections: 16_384,
            http2_streams: 128,
            upload_memory: Size::from_mib(256),
            uploads_per_principal: 1000,
        }
    }
}
