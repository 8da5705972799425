//! What the server knows about a request before anybody looks at it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls_pki_types::CertificateDer;

use super::request_id::RequestId;
use super::sendfile::FileRanges;

/// What TLS said about the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsInfo {
    /// Name that the client asked for (SNI).
    pub server_name: Option<String>,
    /// Certificate chain of the client, verified against `tls.client_ca_file`; empty without one.
    pub client_certificates: Vec<CertificateDer<'static>>,
}

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The other end of the socket; behind a proxy the proxy's.
    pub peer: SocketAddr,
    /// Our end of the socket.
    pub local: SocketAddr,
    /// Set when the connection is encrypted.
    pub tls: Option<TlsInfo>,
}

/// Extension of every request.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// The request's name.
    pub id: RequestId,
    /// Its connection.
    pub connection: Arc<ConnectionInfo>,
    /// The client's address: the peer's, or what trusted proxies say it is.
    pub client: IpAddr,
    /// Where the kernel can send files itself: connections in clear text.
    pub files: Option<Arc<FileRanges>>,
}
