//! `[tls]`: encryption of the registry's listener.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::acme::Acme;
use super::types::{Duration, Listen};

/// Where the certificate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// No TLS: a proxy in front ends it, or only this machine connects.
    #[default]
    Off,
    /// From `cert_file` and `key_file`, read again when they change.
    Files,
    /// Made by Bonded at the first start and kept in `server.data_dir`, for trials.
    SelfSigned,
    /// From the authority of `tls.acme`, shared by all replicas and renewed by itself.
    Acme,
}

/// Encryption of the registry's listener.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Where the certificate comes from.
    pub mode: Mode,
    /// An address of its own for TLS; `server.listen` then stays clear text. Unset: `server.listen` speaks TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<Listen>,
    /// PEM file of the certificate and its chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// PEM file of the private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// PEM file of authorities whose client certificates are accepted. Unset: none is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca_file: Option<PathBuf>,
    /// Whether a client without a certificate is refused.
    pub client_cert_required: bool,
    /// Names and addresses in the self-signed certificate, beside `localhost` and the host of `server.external_url`.
    pub self_signed_names: Vec<String>,
    /// How often the files, or what another replica was issued, are looked at for a change.
    pub reload_interval: Duration,
    /// A certificate authority that speaks ACME, public or private.
    pub acme: Acme,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            mode: Mode::Off,
            listen: None,
            cert_file: None,
            key_file: None,
            client_ca_file: None,
            client_cert_required: false,
            self_signed_names: Vec::new(),
            reload_interval: Duration::from_secs(10),
            acme: Acme::default(),
        }
    }
}
