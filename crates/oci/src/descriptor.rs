//! Content descriptors (OCI image specification, "Descriptors").

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::digest::Digest;
use crate::media_type::MediaType;
use crate::object::Object;

/// A reference to content by digest, as stated inside a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Media type of the content.
    pub media_type: MediaType,
    /// Digest of the content.
    pub digest: Digest,
    /// Size of the content in bytes.
    pub size_bytes: u64,
    /// Artifact type, where stated.
    pub artifact_type: Option<String>,
    /// Platform of an index entry, where stated.
    pub platform: Option<Platform>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// The platform of an index entry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Platform {
    /// CPU architecture (GOARCH).
    pub architecture: String,
    /// Operating system (GOOS).
    pub os: String,
    /// Variant of the CPU.
    #[serde(default)]
    pub variant: Option<String>,
    /// Version of the operating system.
    #[serde(default, rename = "os.version")]
    pub os_version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawDescriptor {
    media_type: String,
    digest: String,
    size: serde_json::Number,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    platform: Option<Object<Platform>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl RawDescriptor {
    pub(crate) fn parse(self) -> Result<Descriptor, &'static str> {
        let size = self.size.as_i64().ok_or("a descriptor's size is not a whole number of bytes")?;
        Ok(Descriptor {
            media_type: self
                .media_type
                .parse()
                .map_err(|_| "a descriptor's mediaType is not a media type")?,
            digest: self
                .digest
                .parse()
                .map_err(|_| "a descriptor's digest is not a sha256 or sha512 digest")?,
            size_bytes: size.try_into().map_err(|_| "a descriptor's size is negative")?,
            artifact_type: self.artifact_type.filter(|text| !text.is_empty()),
            platform: self.platform.map(|platform| platform.0),
            annotations: self.annotations.unwrap_or_default(),
        })
    }
}
