//! HTTP clients of this process towards services that the operator names: a certificate authority, a collector.
//!
//! Every request ends; proxies of the environment are used as every other program uses them.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The file of authorities cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The client cannot be made.
    #[error("cannot set up an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// A client whose requests end within `timeout`. With a PEM file of authorities only these are trusted.
pub fn client(ca_file: Option<&Path>, timeout: Duration) -> Result<reqwest::Client, OutboundError> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(timeout)
        .user_agent(concat!("bonded/", env!("CARGO_PKG_VERSION")));
    if let Some(path) = ca_file {
        let pem = std::fs::read(path);
        let pem = pem.map_err(|source| OutboundError::File { path: path.to_owned(), source })?;
        builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem)?);
    }
    Ok(builder.build()?)
}
