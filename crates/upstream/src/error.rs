//! Why something could not be fetched.

use std::net::IpAddr;

use oci::Digest;
use reqwest::StatusCode;

/// Why something could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Text that names no image.
    #[error("`{0}` is no image reference; write HOST/NAME:TAG or HOST/NAME@DIGEST")]
    Reference(String),
    /// A certificate authority that cannot be read, or a client that cannot be made.
    #[error("the client cannot be made")]
    Client(#[source] reqwest::Error),
    /// Clear text where it was not asked for.
    #[error("{0} is clear text; use https, or allow plain HTTP if that is meant")]
    PlainHttp(String),
    /// An address that may not be connected to.
    #[error(
        "{place} is not asked: {host} is at {address}, which is not of the public internet and was not permitted"
    )]
    Address {
        /// What was to be asked.
        place: String,
        /// Host of the address, of a redirect or token service too.
        host: String,
        /// The address.
        address: IpAddr,
    },
    /// Text that permits nothing.
    #[error("`{0}` is no network, address or host name; write 10.0.0.0/8 or registry.internal")]
    Permission(String),
    /// No answer.
    #[error("{place} cannot be reached")]
    Connection {
        /// What was asked.
        place: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// An answer that is no success.
    #[error("{place} answers {status}{}", hint(*status))]
    Status {
        /// What was asked.
        place: String,
        /// The status.
        status: StatusCode,
    },
    /// A challenge that cannot be met.
    #[error("{host} asks for credentials in a way that is not understood: {challenge}")]
    Challenge {
        /// Registry.
        host: String,
        /// Its header.
        challenge: String,
    },
    /// A token service outside of the registry's domain.
    #[error("{host} sends its clients to {realm} for tokens; credentials are not sent to another domain")]
    ForeignRealm {
        /// Registry.
        host: String,
        /// Token service.
        realm: String,
    },
    /// More bytes than allowed.
    #[error("{place} has more than {limit} bytes")]
    TooLarge {
        /// What was asked.
        place: String,
        /// The bound.
        limit: u64,
    },
    /// Other content than its name says.
    #[error("{place} has the digest {found}")]
    Digest {
        /// What was asked.
        place: String,
        /// Digest of what came.
        found: Digest,
    },
    /// A document that cannot be understood.
    #[error("{place} is not what it should be: {reason}")]
    Document {
        /// What was asked.
        place: String,
        /// Why.
        reason: String,
    },
    /// The caller's time is over.
    #[error("the time allowed is over")]
    Time,
    /// What came cannot be kept.
    #[error("what was fetched cannot be written")]
    Write(#[source] std::io::Error),
    /// A header that is neither `Basic` nor `Bearer`.
    #[error("the authorization for the registry is neither `Basic BASE64` nor `Bearer TOKEN`")]
    Authorization,
    /// More bytes of an image than allowed.
    #[error("the image has more than {limit} bytes, which is the bound for images of others")]
    Image {
        /// The bound.
        limit: u64,
    },
    /// A file of credentials that cannot be understood.
    #[error("the file of credentials is not understood: {0}")]
    Credentials(String),
}

impl UpstreamError {
    /// Whether the same question may be answered a moment later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::Write(_) => true,
            Self::Status { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            _ => false,
        }
    }
}

fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "; are credentials needed, or others?",
        StatusCode::NOT_FOUND => "; is the name right, and may these credentials see it?",
        StatusCode::TOO_MANY_REQUESTS => "; try again later, or with credentials",
        _ => "",
    }
}
