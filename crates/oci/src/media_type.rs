//! Media types (RFC 6838) and those that the registry knows by name.

use std::fmt;
use std::str::FromStr;

/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker image manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker schema 1 manifest, unsigned.
pub const DOCKER_V1: &str = "application/vnd.docker.distribution.manifest.v1+json";
/// Docker schema 1 manifest, signed.
pub const DOCKER_V1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
/// OCI artifact manifest of the 1.1 release candidates, still pushed by old clients.
pub const OCI_ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";
/// The empty JSON configuration.
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// A media type `type/subtype` without parameters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MediaType(String);

/// Why a text is not a media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("media type is not of the form `type/subtype` of RFC 6838")]
pub struct MediaTypeError;

impl MediaType {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Layers that a registry need not hold: OCI non-distributable and Docker foreign layers.
    pub fn is_nondistributable(&self) -> bool {
        self.0.starts_with("application/vnd.oci.image.layer.nondistributable.v1.")
            || self.0.starts_with("application/vnd.docker.image.rootfs.foreign.diff.")
    }

    /// Parses the value of a `Content-Type` header; parameters are dropped.
    pub fn from_header(value: &str) -> Result<Self, MediaTypeError> {
        value.split(';').next().unwrap_or_default().trim().parse()
    }
}

fn is_restricted_name(part: &str) -> bool {
    let bytes = part.as_bytes();
    !bytes.is_empty()
        && bytes.len() <= 127
        && bytes[0].is_ascii_alphanumeric()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(byte))
}

impl FromStr for MediaType {
    type Err = MediaTypeError;

    fn from_str(text: &str) -> Result<Self, MediaTypeError> {
        match text.split_once('/') {
            Some((kind, subtype)) if is_restricted_name(kind) && is_restricted_name(subtype) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(MediaTypeError),
        }
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_parameters_are_dropped() {
        let parsed = MediaType::from_header("application/json; charset=utf-8").unwrap();
        assert_eq!(parsed.as_str(), "application/json");
    }

    #[test]
    fn texts_outside_rfc_6838_are_refused() {
        for bad in ["", "a", "a/", "/b", "a b/c", "a/b/c", "a/\u{e4}", "a/b\r\nX: y"] {
            assert!(bad.parse::<MediaType>().is_err(), "{bad:?}");
        }
    }
}
