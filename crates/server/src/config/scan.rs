//! `[scan]`: what is in artifacts, what is wrong with them, and where advisories come from.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::types::Duration;

/// The scanning of artifacts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Scan {
    /// Whether what is pushed is scanned, where its project does not decide.
    pub on_push: bool,
    /// Advisories, each as `NAME=PLACE`: a file, archive or directory of the server, an https address
    /// (`#sha256:…` pins its digest), or `oci://HOST/NAME:TAG`. Without any, no verdict is complete.
    pub feeds: Vec<String>,
    /// Time after which feeds are asked whether they changed.
    pub feeds_interval: Duration,
    /// Age from which a feed that was not renewed makes verdicts incomplete.
    pub max_feed_age: Duration,
    /// Certificate authorities (PEM) that the feeds' hosts, and registries of others, may have beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Credentials of registries that hold feeds, as `docker login` writes them.
    pub auth_file: Option<PathBuf>,
    /// Forms of bills of materials that are attached to images, where the project does not decide otherwise: `spdx-json`,
    /// `spdx3-json`, `cyclonedx-json`, each with a version (`cyclonedx-json@1.6`) where it has several. Empty: none.
    pub sbom: Vec<String>,
    /// Key that signs those in JSON as attestations, beside the documents themselves: ECDSA on P-256 as PKCS#8 in a PEM file.
    pub attest_key_file: Option<PathBuf>,
    /// Address under which other scanners pull from this registry (`http(s)://HOST[:PORT]`); `server.external_url` when not
    /// said.
    pub registry_url: Option<String>,
    /// Images whose layers one process reads at the same time.
    pub parallel: u16,
    /// Longest processor time for one layer.
    pub layer_timeout: Duration,
    /// Hosts (`core.harbor.internal`), addresses and networks (`10.0.0.0/8`) beside the public internet's from which images
    /// are fetched for those who use this registry as their scanner. Addresses within a network of your own are refused
    /// otherwise.
    pub permit: Vec<String>,
    /// Whether these images may be fetched in clear text from other machines.
    pub plain_http: bool,
}

impl Default for Scan {
    fn default() -> Self {
        Self {
            on_push: true,
            feeds: Vec::new(),
            feeds_interval: Duration::from_secs(6 * 3600),
            max_feed_age: Duration::from_secs(7 * 24 * 3600),
            ca_file: None,
            auth_file: None,
            sbom: vec!["spdx-json".to_owned()],
            attest_key_file: None,
            registry_url: None,
            parallel: 1,
            layer_timeout: Duration::from_secs(600),
            permit: Vec::new(),
            plain_http: false,
        }
    }
}
