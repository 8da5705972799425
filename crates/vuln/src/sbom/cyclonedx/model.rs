//! The parts of a CycloneDX document that this program writes, in the order of the specification.

use serde::Serialize;
use serde_json::Value;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bom {
    #[serde(rename = "$schema")]
    pub schema: String,
    #[serde(rename = "bomFormat")]
    pub format: &'static str,
    pub spec_version: &'static str,
    pub serial_number: String,
    pub version: u32,
    pub metadata: Metadata,
    pub components: Vec<Component>,
    pub dependencies: Vec<Dependency>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compositions: Vec<Composition>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vulnerabilities: Vec<Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    pub tools: Tools,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authors: Vec<Contact>,
    pub component: Component,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<Property>,
}

/// A list in 1.4, an object of components since 1.5.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Tools {
    Legacy(Vec<Tool>),
    Components { components: Vec<Component> },
}

#[derive(Debug, Serialize)]
pub(crate) struct Tool {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Contact {
    pub name: String,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Component {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(rename = "bom-ref", skip_serializing_if = "Option::is_none")]
    pub bom_ref: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supplier: Option<Contact>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<License>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copyright: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpe: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swid: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external_references: Vec<ExternalReference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Occurrences>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<Property>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ExternalReference {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub url: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Occurrences {
    pub occurrences: Vec<Occurrence>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Occurrence {
    pub location: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Hash {
    pub alg: &'static str,
    pub content: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum License {
    License(NamedLicense),
    #[serde(untagged)]
    Expression {
        expression: String,
    },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum NamedLicense {
    Id(String),
    Name(String),
}

#[derive(Debug, Serialize)]
pub(crate) struct Property {
    pub name: String,
    pub value: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Dependency {
    #[serde(rename = "ref")]
    pub reference: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Composition {
    pub aggregate: &'static str,
    pub assemblies: Vec<String>,
}

/// Hash algorithms: our name, CycloneDX's, SPDX's, length in hexadecimal digits.
const HASHES: &[(&str, &str, &str, usize)] = &[
    ("md5", "MD5", "MD5", 32),
    ("sha1", "SHA-1", "SHA1", 40),
    ("sha256", "SHA-256", "SHA256", 64),
    ("sha384", "SHA-384", "SHA384", 96),
    ("sha512", "SHA-512", "SHA512", 128),
    ("sha3-256", "SHA3-256", "SHA3-256", 64),
    ("sha3-384", "SHA3-384", "SHA3-384", 96),
    ("sha3-512", "SHA3-512", "SHA3-512", 128),
    ("blake2b-256", "BLAKE2b-256", "BLAKE2b-256", 64),
    ("blake2b-384", "BLAKE2b-384", "BLAKE2b-384", 96),
    ("blake2b-512", "BLAKE2b-512", "BLAKE2b-512", 128),
];

/// `(our name, CycloneDX name, SPDX 2 name, hexadecimal length)` of an algorithm by any of its names.
pub(crate) fn hash_name(name: &str) -> Option<(&'static str, &'static str, &'static str, usize)> {
    HASHES
        .iter()
        .find(|(own, cyclonedx, spdx, _)| {
            [own, cyclonedx, spdx].into_iter().any(|entry| entry.eq_ignore_ascii_case(name))
        })
        .copied()
}
