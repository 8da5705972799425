//! A registry as its clients see it: an address, credentials, and the handful of calls that most tests make.
//!
//! These calls assert nothing but transport; what an answer must be is for the test to say. The `ensure_*` and `push_*`
//! helpers are for arranging, and fail loudly when the registry does not do the ordinary thing.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest as _, Sha256, Sha512};

use crate::http::{Body, Connection, Request, Response};

/// The media type of an OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The media type of a Docker manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// The media type of a Docker manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Where a registry listens and who we are there.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its plain HTTP socket.
    pub addr: SocketAddr,
    /// User name and password, `None` for a caller without a name.
    pub credentials: Option<(String, String)>,
}

impl Target {
    /// The same registry for somebody else.
    #[must_use]
    pub fn as_user(&self, user: &str, password: &str) -> Self {
        Self { addr: self.addr, credentials: Some((user.to_owned(), password.to_owned())) }
    }

    /// The same registry without credentials.
    #[must_use]
    pub fn anonymous(&self) -> Self {
        Self { addr: self.addr, credentials: None }
    }

    /// The value of `Authorization` for HTTP Basic.
    pub fn basic(&self) -> Option<String> {
        let (user, password) = self.credentials.as_ref()?;
        Some(format!("Basic {}", BASE64.encode(format!("{user}:{password}").as_bytes())))
    }

    /// A connection with these credentials.
    pub fn connect(&self) -> Connection {
        Connection::new(self.addr, self.basic())
    }

    /// One request on a connection of its own.
    pub fn send(&self, request: &Request<'_>) -> anyhow::Result<Response> {
        self.connect().send(request).with_context(|| format!("{} {}", request.method, request.target))
    }

    /// GET without headers.
    pub fn fetch(&self, target: impl Into<String>) -> anyhow::Result<Response> {
        self.send(&Request::new("GET", target))
    }

    /// Uploads a blob with POST and PUT; its digest.
    pub fn push_blob(&self, repo: &str, bytes: &[u8]) -> anyhow::Result<String> {
        let digest = sha256(bytes);
        let mut connection = self.connect();
        let opened = connection.send(&Request::new("POST", format!("/v2/{repo}/blobs/uploads/")))?;
        let location = opened.location().filter(|_| opened.status == 202);
        let location = location
            .with_context(|| format!("POST upload in {repo}: {} {}", opened.status, opened.text()))?;
        let put = Request::new("PUT", with_query(&location, &format!("digest={digest}")))
            .header("Content-Type", "application/octet-stream")
            .body(Body::Bytes(bytes));
        let done = connection.send(&put)?;
        if done.status != 201 {
            bail!("PUT blob in {repo}: {} {}", done.status, done.text());
        }
        Ok(digest)
    }

    /// Puts a manifest and answers what the registry said.
    pub fn put_manifest(
        &self,
        repo: &str,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> anyhow::Result<Response> {
        let put = Request::new("PUT", format!("/v2/{repo}/manifests/{reference}"))
            .header("Content-Type", media_type)
            .body(Body::Bytes(bytes));
        self.send(&put)
    }

    /// Puts a manifest that must be accepted; its digest.
    pub fn push_manifest(
        &self,
        repo: &str,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> anyhow::Result<String> {
        let done = self.put_manifest(repo, reference, media_type, bytes)?;
        if done.status != 201 {
            bail!("PUT manifest {repo}:{reference}: {} {}", done.status, done.text());
        }
        Ok(sha256(bytes))
    }
}

/// `target` with one more query parameter.
pub fn with_query(target: &str, query: &str) -> String {
    let separator = if target.contains('?') { '&' } else { '?' };
    format!("{target}{separator}{query}")
}

/// `sha256:…` of these bytes.
pub fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(bytes)))
}

/// `sha512:…` of these bytes.
pub fn sha512(bytes: &[u8]) -> String {
    format!("sha512:{}", HEXLOWER.encode(&Sha512::digest(bytes)))
}
