//! `[server]`: where the process listens, what it does, how clients reach it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::types::{Duration, ExternalUrl, Listen, Network};

/// What a process does; one process does all unless told otherwise.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Serves the registry and management interfaces.
    Api,
    /// Runs jobs: garbage collection, checks, checkpoints, the audit's seal.
    Jobs,
    /// Serves the web interface.
    Ui,
}

/// Headers by which a proxy tells from where a request came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Forwarding {
    /// `X-Forwarded-For`, `-Proto` and `-Host`, as nginx, Envoy, HAProxy, Traefik and the cloud balancers write them.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl Role {
    /// As written in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Jobs => "jobs",
            Self::Ui => "ui",
        }
    }
}

/// Where the process listens, what it does, how clients reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Address of the registry. `:5000` listens on every IPv4 address.
    pub listen: Listen,
    /// Address by which clients reach the registry. Unset: scheme and Host of each request, which suffices where no proxy changes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_url: Option<ExternalUrl>,
    /// Proxies whose forwarding headers are believed. Empty: nobody's.
    pub trusted_proxies: Vec<Network>,
    /// Which headers these proxies write; the other kind comes from clients and is ignored.
    pub forwarding: Forwarding,
    /// What this process does. Without `api` its address answers only `/healthz`, `/readyz` and `/metrics`.
    pub roles: Vec<Role>,
    /// Directory of the database, the blobs and the keys, unless their sections name another place.
    pub data_dir: PathBuf,
    /// Whether HTTP/2 is spoken beside HTTP/1.1: by prior knowledge in clear text, by ALPN under TLS. Off, since clients that choose HTTP/2 send all their transfers through one connection.
    pub http2: bool,
    /// Threads that serve requests. 0: one for each core.
    pub worker_threads: u16,
    /// Time between "not ready" on `/readyz` and closing the listener, so that load balancers notice first.
    pub shutdown_delay: Duration,
    /// Time that running transfers get to finish after the listener closed. What runs longer is cut.
    pub shutdown_deadline: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: Listen::from(std::net::SocketAddr::from(([127, 0, 0, 1], 5000))),
            external_url: None,
            trusted_proxies: Vec::new(),
            forwarding: Forwarding::XForwarded,
            roles: vec![Role::Api, Role::Jobs, Role::Ui],
            data_dir: PathBuf::from("./bonded-data"),
            http2: false,
            worker_threads: 0,
            shutdown_delay: Duration::from_secs(0),
            shutdown_deadline: Duration::from_secs(300),
        }
    }
}

impl Server {
    /// Whether this process has the role.
    pub fn has_role(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}
