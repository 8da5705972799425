//! What one layer states.
//!
//! Serialisable and self-contained. File paths are kept only where something was found; of all other paths a 64-bit
//! fingerprint is kept, enough to know that an upper layer replaced a file.

use oci::Digest;
use serde::{Deserialize, Serialize};

use crate::package::{Package, Problem};

/// Everything that one layer (or directory) states about packages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerResult {
    /// [`crate::layer::CATALOGUER_VERSION`] that made it; another version must be made anew.
    pub version: u32,
    /// Digest of the uncompressed bytes; absent for a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff_id: Option<Digest>,
    /// Files in which something was found, in archive order.
    pub files: Vec<FileResult>,
    /// Paths that this layer deletes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub whiteouts: Vec<String>,
    /// Directories whose content of lower layers this layer hides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opaque: Vec<String>,
    /// Symbolic links near the root, by which an upper layer may reach a directory: (link, resolved target).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<(String, String)>,
    /// Sorted fingerprints of every path that is not a directory.
    #[serde(default, with = "packed", skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<u64>,
    /// Sorted fingerprints of every directory.
    #[serde(default, with = "packed", skip_serializing_if = "Vec::is_empty")]
    pub directories: Vec<u64>,
    /// Tar entries read.
    pub entries: u64,
    /// Bytes after decompression.
    pub uncompressed_bytes: u64,
}

impl LayerResult {
    /// Whether this layer deletes or replaces a file of a lower layer: its bytes stay readable in that layer.
    pub fn hides(&self, path: &str) -> bool {
        let replaced = |path: &str| self.replaced.binary_search(&super::path::fingerprint(path)).is_ok();
        let gone = |path: &str| self.whiteouts.iter().any(|entry| entry == path);
        gone(path)
            || replaced(path)
            || super::path::ancestors(path)
                .any(|dir| gone(dir) || replaced(dir) || self.opaque.iter().any(|entry| entry == dir))
    }

    /// Whether this layer states a directory, with permissions of its own.
    pub fn states_directory(&self, path: &str) -> bool {
        self.directories.binary_search(&super::path::fingerprint(path)).is_ok()
    }
}

/// What one extractor found in one file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileResult {
    /// Path without a leading slash.
    pub path: String,
    /// Name of the extractor.
    pub extractor: String,
    /// Packages stated, their evidence still empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<Package>,
    /// Files that packages own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owned: Vec<Owned>,
    /// Text of a file that is only understood together with others (os-release and its relatives).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What could not be understood.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// Files that a distribution package owns, by fingerprint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    /// Name of the owning package.
    pub package: String,
    /// Licences stated in the package's documentation, if this is such a record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<String>,
    /// Sorted fingerprints of the paths.
    #[serde(default, with = "packed", skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<u64>,
}

/// Fingerprints as one base64 string: a tenth of the size and time of a list of numbers.
mod packed {
    use data_encoding::BASE64;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(values: &[u64], serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        serializer.serialize_str(&BASE64.encode(&bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64.decode(text.as_bytes()).map_err(D::Error::custom)?;
        Ok(bytes
            .chunks_exact(8)
            .map(|chunk| chunk.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
            .collect())
    }
}
