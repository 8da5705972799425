//! The bounds of a connection, as the server uses them.

use std::time::Duration;

use crate::config::Config;

/// Bounds of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest request head, in bytes.
    pub header_bytes: usize,
    /// Connections open at the same time.
    pub connections: usize,
    /// Requests running at the same time on one HTTP/2 connection.
    pub http2_streams: u32,
    /// From the first byte of a request (or from the connection) to the end of its head.
    pub header: Duration,
    /// For the TLS handshake.
    pub tls_handshake: Duration,
    /// Rest between two requests.
    pub idle: Duration,
    /// Window over which progress is measured.
    pub progress_window: Duration,
    /// Bytes per second below which a body counts as stalled; 0 is never.
    pub progress_floor_bytes: u64,
}

impl From<&Config> for Limits {
    fn from(config: &Config) -> Self {
        Self {
            header_bytes: config.limits.header.as_usize(),
            connections: config.limits.connections as usize,
            http2_streams: config.limits.http2_streams,
            header: config.timeouts.header.std(),
            tls_handshake: config.timeouts.tls_handshake.std(),
            idle: config.timeouts.idle.std(),
            progress_window: config.timeouts.progress_window.std(),
            progress_floor_bytes: config.timeouts.progress_floor.bytes(),
        }
    }
}
