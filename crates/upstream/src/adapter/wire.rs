//! The words of Harbor's scanner-adapter API 1.2 (goharbor/pluggable-scanner-spec), for both of its sides.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Media type of the metadata.
pub const METADATA: &str = "application/vnd.scanner.adapter.metadata+json; version=1.1";
/// Media type of the metadata before SBOMs.
pub const METADATA_1_0: &str = "application/vnd.scanner.adapter.metadata+json; version=1.0";
/// Media type of a request that names capabilities.
pub const SCAN_REQUEST: &str = "application/vnd.scanner.adapter.scan.request+json; version=1.1";
/// Media type of a request that does not.
pub const SCAN_REQUEST_1_0: &str = "application/vnd.scanner.adapter.scan.request+json; version=1.0";
/// Media type of the answer to a request.
pub const SCAN_RESPONSE: &str = "application/vnd.scanner.adapter.scan.response+json; version=1.0";
/// Media type of an error.
pub const ERROR: &str = "application/vnd.scanner.adapter.error+json; version=1.0";
/// Media type of the vulnerability report.
pub const VULNERABILITY_REPORT: &str = "application/vnd.security.vulnerability.report; version=1.1";
/// Media type of its predecessor.
pub const VULNERABILITY_REPORT_1_0: &str =
    "application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0";
/// Media type of the SBOM report.
pub const SBOM_REPORT: &str = "application/vnd.security.sbom.report+json; version=1.0";
/// Property with the time of the vulnerability database.
pub const DATABASE_UPDATED: &str = "harbor.scanner-adapter/vulnerability-database-updated-at";
/// Property with the kind of scanner.
pub const SCANNER_TYPE: &str = "harbor.scanner-adapter/scanner-type";

/// A scanner's name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scanner {
    /// Name.
    pub name: String,
    /// Provider.
    pub vendor: String,
    /// Version.
    pub version: String,
}

/// What a scanner makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CapabilityKind {
    /// Vulnerability reports; meant where no kind is stated.
    #[default]
    Vulnerability,
    /// SBOMs.
    Sbom,
    /// Something that later versions of the API define.
    #[serde(other)]
    Other,
}

/// What only some capabilities have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SbomMediaTypes {
    /// `application/spdx+json`, `application/vnd.cyclonedx+json`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sbom_media_types: Vec<String>,
}

impl SbomMediaTypes {
    fn is_empty(&self) -> bool {
        self.sbom_media_types.is_empty()
    }
}

/// A capability.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// What it makes.
    #[serde(rename = "type", default)]
    pub kind: CapabilityKind,
    /// Media types of manifests that it takes.
    pub consumes_mime_types: Vec<String>,
    /// Media types of reports that it makes.
    pub produces_mime_types: Vec<String>,
    /// Forms of SBOMs.
    #[serde(default, skip_serializing_if = "SbomMediaTypes::is_empty")]
    pub additional_attributes: SbomMediaTypes,
}

/// What an adapter says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The scanner.
    pub scanner: Scanner,
    /// What it can do.
    pub capabilities: Vec<Capability>,
    /// Its own facts; those of Harbor begin with `harbor.scanner-adapter/`.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
}

/// The part of a media type before its parameters, which adapters write with and without a blank.
pub fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

impl Metadata {
    /// The media type in which the scanner would report on a manifest of this type: the first wanted one that a
    /// capability of the kind produces.
    pub fn produces<'w>(&self, kind: CapabilityKind, manifest: &str, wanted: &[&'w str]) -> Option<&'w str> {
        let fitting = self.capabilities.iter().filter(|capability| {
            capability.kind == kind
                && capability.consumes_mime_types.iter().any(|own| essence(own) == essence(manifest))
        });
        let made: Vec<&str> =
            fitting.flat_map(|capability| &capability.produces_mime_types).map(|own| essence(own)).collect();
        wanted.iter().copied().find(|wanted| made.contains(&essence(wanted)))
    }

    /// When the scanner's database was made, as it says.
    pub fn database_updated(&self) -> Option<&str> {
        self.properties.get(DATABASE_UPDATED).map(String::as_str)
    }
}

/// Where the artifact is to be pulled from.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegistryAccess {
    /// Base address of the registry.
    pub url: String,
    /// Value of the `Authorization` header, a secret.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub authorization: String,
}

impl fmt::Debug for RegistryAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authorization = if self.authorization.is_empty() { "none" } else { "(kept secret)" };
        f.debug_struct("RegistryAccess")
            .field("url", &self.url)
            .field("authorization", &authorization)
            .finish()
    }
}

/// The artifact to scan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Artifact {
    /// Repository.
    pub repository: String,
    /// Manifest digest.
    pub digest: String,
    /// Tag.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tag: String,
    /// Media type of the manifest.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mime_type: String,
}

/// A capability that a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnabledCapability {
    /// What is to be made.
    #[serde(rename = "type")]
    pub kind: CapabilityKind,
    /// Media types of the reports; none: all that the scanner makes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub produces_mime_types: Vec<String>,
    /// Forms of the SBOM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<SbomMediaTypes>,
}

/// A request to scan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanRequest {
    /// Where from.
    pub registry: RegistryAccess,
    /// What.
    pub artifact: Artifact,
    /// What for; none: everything that the scanner can do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enabled_capabilities: Vec<EnabledCapability>,
}

/// The answer to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanResponse {
    /// Identifier to ask for the report with.
    pub id: String,
}

/// An error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorResponse {
    /// The error.
    pub error: ErrorMessage,
}

/// Its text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorMessage {
    /// What went wrong.
    pub message: String,
}
