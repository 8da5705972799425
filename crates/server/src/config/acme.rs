//! `[tls.acme]`: a certificate authority that speaks ACME (RFC 8555), public or private.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::Secret;

/// How the authority is shown that a name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Challenge {
    /// By a TLS handshake: the authority must reach the TLS listener at port 443 of each name.
    #[default]
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// By a page: the authority must reach `server.listen` at port 80 of each name; needs `tls.listen`.
    #[serde(rename = "http-01")]
    Http01,
}

/// A certificate authority that speaks ACME, public or private.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Acme {
    /// Address of the authority's directory, such as `https://acme-v02.api.letsencrypt.org/directory`; needed.
    pub directory: String,
    /// Whether the authority's terms of service are accepted; it issues nothing otherwise.
    pub accept_terms: bool,
    /// Mail addresses that the authority may write to.
    pub contact: Vec<String>,
    /// Names in the certificate. Empty: the host of `server.external_url`.
    pub domains: Vec<String>,
    /// How the authority is shown that a name is ours.
    pub challenge: Challenge,
    /// PEM file of the certificate authorities to trust for the directory instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Key id of an external account, where the authority asks for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eab_key_id: Option<String>,
    /// Key of the external account, in base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eab_hmac_key: Option<Secret>,
}
